package pkcs12

import (
	"encoding/binary"
	"fmt"
)

// definite rewrites BER with indefinite lengths and octet strings in pieces
// (X.690 8.1.3.6, 8.7.3) with definite lengths and whole strings, as some
// browsers and older systems export. The rest is left to the DER parser. It
// returns the element and what follows it.
func definite(in []byte, depth int) (out, rest []byte, err error) {
	if depth > maxDepth {
		return nil, nil, malformed("nested too deep")
	}
	if len(in) < 2 {
		return nil, nil, malformed("cut off")
	}
	tag := in[0]
	if tag&0x1f == 0x1f {
		return nil, nil, malformed("long tag")
	}
	length, headed, indefinite, err := berLength(in)
	if err != nil {
		return nil, nil, err
	}
	body := in[headed:]
	if !indefinite {
		if length > len(body) {
			return nil, nil, malformed("cut off")
		}
		body, rest = body[:length], body[length:]
	}
	constructed := tag&0x20 != 0
	if !constructed {
		if indefinite {
			return nil, nil, malformed("primitive without length")
		}
		return appendElement(nil, tag, body), rest, nil
	}
	var content []byte
	for {
		if indefinite && len(body) >= 2 && body[0] == 0 && body[1] == 0 {
			rest = body[2:]
			break
		}
		if len(body) == 0 {
			if indefinite {
				return nil, nil, malformed("no end of contents")
			}
			break
		}
		var element []byte
		if element, body, err = definite(body, depth+1); err != nil {
			return nil, nil, err
		}
		if tag == constructedOctets {
			if element, err = octetsOf(element); err != nil {
				return nil, nil, err
			}
		}
		content = append(content, element...)
	}
	if tag == constructedOctets {
		tag = octets
	}
	return appendElement(nil, tag, content), rest, nil
}

// Tags of an octet string, in one piece and in several (X.690 8.7).
const (
	octets            = 0x04
	constructedOctets = 0x24
)

// octetsOf is the content of a piece of an octet string.
func octetsOf(element []byte) ([]byte, error) {
	if element[0] != octets {
		return nil, malformed("octet string of other pieces")
	}
	_, headed, _, err := berLength(element)
	if err != nil {
		return nil, err
	}
	return element[headed:], nil
}

func berLength(in []byte) (length, headed int, indefinite bool, err error) {
	first := in[1]
	switch {
	case first < 0x80:
		return int(first), 2, false, nil
	case first == 0x80:
		return 0, 2, true, nil
	}
	n := int(first & 0x7f)
	if n > 4 || len(in) < 2+n {
		return 0, 0, false, fmt.Errorf("%w: length", ErrMalformed)
	}
	for _, b := range in[2 : 2+n] {
		length = length<<8 | int(b)
	}
	return length, 2 + n, false, nil
}

func appendElement(dst []byte, tag byte, content []byte) []byte {
	dst = append(dst, tag)
	if len(content) < 0x80 {
		dst = append(dst, byte(len(content)))
	} else {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(content)))
		i := 0
		for length[i] == 0 {
			i++
		}
		dst = append(dst, 0x80|byte(len(length)-i))
		dst = append(dst, length[i:]...)
	}
	return append(dst, content...)
}
