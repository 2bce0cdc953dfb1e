package pkcs15

import (
	"fmt"
	"unicode"
	"unicode/utf8"

	"github.com/eidbridge/eidbridge/cardreader/iso7816"
	"github.com/eidbridge/eidbridge/cardreader/tlv"
)

// Tags of the directory files (ISO/IEC 8824-1 8.4, PKCS #15 v1.1 annex A).
const (
	tagBoolean     tlv.Tag = 0x01
	tagInteger     tlv.Tag = 0x02
	tagBits        tlv.Tag = 0x03
	tagOctets      tlv.Tag = 0x04
	tagEnumerated  tlv.Tag = 0x0A
	tagUTF8        tlv.Tag = 0x0C
	tagSequence    tlv.Tag = 0x30
	tagContext0    tlv.Tag = 0x80
	tagConstruct0  tlv.Tag = 0xA0
	tagConstruct1  tlv.Tag = 0xA1
	tagConstruct2  tlv.Tag = 0xA2
	tagApplication tlv.Tag = 0x61
)

func malformed(what string) error { return fmt.Errorf("%w: %s", iso7816.ErrContent, what) }

// entries splits a directory file into its objects; the first 00 or FF is
// padding to the end of the file.
func entries(file []byte) ([]tlv.Element, error) {
	var all []tlv.Element
	for len(file) > 0 && file[0] != 0x00 && file[0] != 0xFF {
		if len(all) == maxEntries {
			return nil, malformed(fmt.Sprintf("more than %d objects", maxEntries))
		}
		e, rest, err := tlv.Next(file)
		if err != nil {
			return nil, err
		}
		all, file = append(all, e), rest
	}
	return all, nil
}

// number reads a small unsigned INTEGER or ENUMERATED.
func number(value []byte) (int, error) {
	if len(value) == 0 || len(value) > 4 || value[0] >= 0x80 {
		return 0, malformed("number out of bounds")
	}
	n := 0
	for _, b := range value {
		n = n<<8 | int(b)
	}
	return n, nil
}

// reference reads a key or PIN reference, one byte. Some cards encode those above
// 7F as a negative INTEGER.
func reference(value []byte) (byte, error) {
	if len(value) == 2 && (value[0] == 0 || value[0] == 0xFF) {
		value = value[1:]
	}
	if len(value) != 1 {
		return 0, malformed("reference out of bounds")
	}
	return value[0], nil
}

// bits is a BIT STRING; bit 0 is the first of the string.
type bits []byte

func parseBits(value []byte) (bits, error) {
	if len(value) == 0 || value[0] > 7 || len(value) == 1 && value[0] != 0 {
		return nil, malformed("bit string")
	}
	return bits(value[1:]), nil
}

func (b bits) has(n int) bool { return n/8 < len(b) && b[n/8]&(0x80>>(n%8)) != 0 }

// text is a label that can be shown: what cannot is left out of it.
func text(value []byte) string {
	if len(value) > maxText || !utf8.Valid(value) {
		return ""
	}
	for _, r := range string(value) {
		if !unicode.IsPrint(r) {
			return ""
		}
	}
	return string(value)
}

// path is where a file is, or a part of one.
type path struct {
	// file is a list of identifiers, two bytes each; absolute ones begin with
	// 3F00, others with the application's directory.
	file []byte
	// offset and length are a part of the file; length -1 is all of it.
	offset, length int
}

// parsePath reads the content of Path: path, index, length (PKCS #15 6.1.5). The
// path of an empty sequence is empty.
func parsePath(value []byte) (path, error) {
	p := path{length: -1}
	parts, err := tlv.Parse(value)
	if err != nil {
		return path{}, err
	}
	for _, part := range parts {
		switch part.Tag {
		case tagOctets:
			// Some cards write an odd number of bytes for "the MF and nothing".
			if len(part.Value) > maxPath || len(part.Value)%2 != 0 {
				return path{}, malformed(fmt.Sprintf("path of %d bytes", len(part.Value)))
			}
			p.file = part.Value
		case tagInteger:
			p.offset, err = number(part.Value)
		case tagContext0:
			p.length, err = number(part.Value)
		}
		if err != nil {
			return path{}, err
		}
	}
	if p.offset > iso7816.MaxFile || p.length > iso7816.MaxFile {
		return path{}, malformed("path outside of any file")
	}
	return p, nil
}
