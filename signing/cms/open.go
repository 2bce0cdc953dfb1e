package cms

import (
	"bytes"
	"errors"
	"io"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// part is a stretch of the content in its source.
type part struct{ at, size int64 }

// Open reads a ContentInfo with SignedData of size bytes and leaves the content
// where it is, so that memory does not grow with it. Indefinite lengths and
// content in pieces are accepted, as streaming signers write them (BER).
// Errors match ErrFormat or ErrLimit, or are those of src.
func Open(src io.ReaderAt, size int64) (*SignedData, error) {
	d := &SignedData{src: src}
	c := &cursor{src: src, end: size, d: d}
	open, err := c.enter(asn1.SEQUENCE, 0)
	if err != nil {
		return nil, err
	}
	oid, err := c.oid()
	if err != nil || oid != OIDSignedData {
		return nil, orFormat(err, "content type is not SignedData")
	}
	if open, err = c.enter(explicit(0), open); err != nil {
		return nil, err
	}
	if open, err = c.enter(asn1.SEQUENCE, open); err != nil {
		return nil, err
	}
	if err := c.algorithms(); err != nil {
		return nil, err
	}
	if err := c.content(); err != nil {
		return nil, err
	}
	rest, err := c.rest()
	if err != nil {
		return nil, err
	}
	if after, err := d.parseSets(rest); err == nil && len(after) == 2*open && allZero(after) {
		return d, nil
	} else if d.Certificates, d.CRLs, d.SignerInfos = nil, nil, nil; err != nil && errors.Is(err, ErrLimit) {
		return nil, err
	}
	// Indefinite lengths further inside are made definite; what is signed has none.
	definite, err := toDefinite(rest, 2*open)
	if err != nil {
		return nil, err
	}
	d.Indefinite = true
	after, err := d.parseSets(definite)
	if err != nil {
		return nil, err
	}
	if len(after) > 0 {
		return nil, formatError("bytes behind the signers")
	}
	return d, nil
}

func orFormat(err error, what string) error {
	if err != nil {
		return err
	}
	return formatError(what)
}

// ContentReader returns the encapsulated content as a stream, nil for a detached
// message.
func (d *SignedData) ContentReader() io.Reader {
	switch {
	case !d.hasContent:
		return nil
	case d.src == nil:
		return bytes.NewReader(d.Content)
	}
	return &partReader{src: d.src, parts: d.parts}
}

// partReader reads parts one after the other.
type partReader struct {
	src   io.ReaderAt
	parts []part
	at    int64 // in the first part
}

func (r *partReader) Read(p []byte) (int, error) {
	for len(r.parts) > 0 && r.at == r.parts[0].size {
		r.parts, r.at = r.parts[1:], 0
	}
	if len(r.parts) == 0 {
		return 0, io.EOF
	}
	first := r.parts[0]
	n, err := r.src.ReadAt(p[:min(int64(len(p)), first.size-r.at)], first.at+r.at)
	r.at += int64(n)
	if n > 0 {
		return n, nil
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return 0, err
}

// ContentSize returns the length of the encapsulated content in bytes, 0 for a
// detached message.
func (d *SignedData) ContentSize() int64 {
	if d.src == nil {
		return int64(len(d.Content))
	}
	var size int64
	for _, p := range d.parts {
		size += p.size
	}
	return size
}

// cursor walks over the head of a message.
type cursor struct {
	src     io.ReaderAt
	at, end int64
	d       *SignedData
}

// header reads tag and length at the cursor; length is -1 when indefinite.
func (c *cursor) header() (tag asn1.Tag, length int64, err error) {
	var buf [10]byte
	n, err := c.src.ReadAt(buf[:min(int64(len(buf)), c.end-c.at)], c.at)
	if n < 2 {
		if err == nil || errors.Is(err, io.EOF) {
			err = formatError("message ends too early")
		}
		return 0, 0, err
	}
	if buf[0]&0x1F == 0x1F {
		return 0, 0, formatError("tag of several bytes")
	}
	tag = asn1.Tag(buf[0])
	switch first := buf[1]; {
	case first < 0x80:
		length = int64(first)
		c.at += 2
	case first == 0x80:
		if buf[0]&0x20 == 0 {
			return 0, 0, formatError("indefinite length of a primitive")
		}
		c.d.Indefinite = true
		c.at += 2
		return tag, -1, nil
	default:
		size := int(first & 0x7F)
		if size > 7 || 2+size > n {
			return 0, 0, formatError("length")
		}
		for _, b := range buf[2 : 2+size] {
			length = length<<8 | int64(b)
		}
		c.at += int64(2 + size)
	}
	if length > c.end-c.at {
		return 0, 0, formatError("an element is longer than the message")
	}
	return tag, length, nil
}

// enter goes into an element that reaches to the end of what is around it. open
// counts the end-of-contents octet pairs that must follow what was entered.
func (c *cursor) enter(want asn1.Tag, open int) (int, error) {
	tag, length, err := c.header()
	if err != nil {
		return 0, err
	}
	if tag != want {
		return 0, formatError("no SignedData")
	}
	if length < 0 {
		return open + 1, nil
	}
	if c.at+length != c.end-int64(2*open) {
		return 0, formatError("bytes behind the message")
	}
	c.end = c.at + length
	return 0, nil
}

// element reads a whole small element with a definite length.
func (c *cursor) element() (cryptobyte.String, error) {
	begin := c.at
	_, length, err := c.header()
	if err != nil {
		return nil, err
	}
	const most = 64 << 10
	if length < 0 || length > most {
		return nil, formatError("head of SignedData")
	}
	raw := make([]byte, c.at+length-begin)
	if _, err := c.src.ReadAt(raw, begin); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	c.at += length
	return raw, nil
}

func (c *cursor) oid() (OID, error) {
	raw, err := c.element()
	var oid OID
	if err == nil && (!ReadOID(&raw, &oid) || !raw.Empty()) {
		err = formatError("content type")
	}
	return oid, err
}

func (c *cursor) algorithms() error {
	version, err := c.element()
	if err != nil {
		return err
	}
	if !version.ReadASN1Integer(&c.d.Version) {
		return formatError("version")
	}
	raw, err := c.element()
	if err != nil {
		return err
	}
	var set cryptobyte.String
	if !raw.ReadASN1(&set, asn1.SET) {
		return formatError("digestAlgorithms")
	}
	return c.d.readAlgorithms(set)
}

// content finds the parts of eContent.
func (c *cursor) content() error {
	tag, length, err := c.header()
	if err != nil || tag != asn1.SEQUENCE {
		return orFormat(err, "encapContentInfo")
	}
	end := c.at + length
	if c.d.ContentType, err = c.oid(); err != nil {
		return err
	}
	ended, err := c.ends(length < 0, end)
	if err != nil || ended {
		return err
	}
	tag, inner, err := c.header()
	if err != nil || tag != explicit(0) {
		return orFormat(err, "eContent")
	}
	innerEnd := c.at + inner
	c.d.hasContent = true
	if err := c.octets(0); err != nil {
		return err
	}
	if ended, err = c.ends(inner < 0, innerEnd); err != nil || !ended {
		return orFormat(err, "eContent")
	}
	if ended, err = c.ends(length < 0, end); err != nil || !ended {
		return orFormat(err, "encapContentInfo")
	}
	return nil
}

// ends tells whether an element ends here, and steps over its end-of-contents
// octets.
func (c *cursor) ends(indefinite bool, end int64) (bool, error) {
	if !indefinite {
		if c.at > end {
			return false, formatError("an element is longer than what is around it")
		}
		return c.at == end, nil
	}
	var mark [2]byte
	if c.end-c.at < 2 {
		return false, formatError("message ends too early")
	}
	if _, err := c.src.ReadAt(mark[:], c.at); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	if mark != [2]byte{} {
		return false, nil
	}
	c.at += 2
	return true, nil
}

// octets reads an OCTET STRING in one piece or in several (X.690 8.7).
func (c *cursor) octets(depth int) error {
	if depth == maxDepth {
		return limitError("depth")
	}
	tag, length, err := c.header()
	switch {
	case err != nil:
		return err
	case tag == asn1.OCTET_STRING:
		if len(c.d.parts) == maxParts {
			return limitError("pieces of content")
		}
		c.d.parts = append(c.d.parts, part{c.at, length})
		c.at += length
		return nil
	case tag != asn1.OCTET_STRING.Constructed():
		return formatError("eContent")
	}
	c.d.Indefinite = true
	end := c.at + length
	for {
		ended, err := c.ends(length < 0, end)
		if err != nil || ended {
			return err
		}
		if err := c.octets(depth + 1); err != nil {
			return err
		}
	}
}

// rest reads everything behind the content.
func (c *cursor) rest() (cryptobyte.String, error) {
	if c.end-c.at > maxSets {
		return nil, limitError("certificates and signers")
	}
	raw := make([]byte, c.end-c.at)
	if _, err := c.src.ReadAt(raw, c.at); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return raw, nil
}

// toDefinite rewrites a sequence of elements with definite lengths; trailing
// end-of-contents octets, so many bytes, are left out.
func toDefinite(b []byte, trailing int) ([]byte, error) {
	out, rest, err := definiteElements(b, len(b)-trailing, 0)
	if err != nil {
		return nil, err
	}
	if len(rest) != trailing || !allZero(rest) {
		return nil, formatError("bytes behind the signers")
	}
	return out, nil
}

// definiteElements converts the elements in the first size bytes; size is -1 when
// end-of-contents octets end them.
func definiteElements(b []byte, size, depth int) (out, rest []byte, err error) {
	if depth == maxDepth {
		return nil, nil, limitError("depth")
	}
	limit := len(b) - size
	for size < 0 || len(b) > limit {
		if size < 0 && len(b) >= 2 && b[0] == 0 && b[1] == 0 {
			return out, b[2:], nil
		}
		c := &cursor{src: bytes.NewReader(b), end: int64(len(b)), d: new(SignedData)}
		tag, length, err := c.header()
		if err != nil {
			return nil, nil, err
		}
		body := b[c.at:]
		if size >= 0 && length >= 0 && int64(len(body))-length < int64(limit) {
			return nil, nil, formatError("an element is longer than what is around it")
		}
		switch {
		case length >= 0 && tag&0x20 == 0:
			out = append(out, b[:c.at+length]...)
			b = body[length:]
			continue
		case length < 0:
			length = -1
		}
		content, after, err := definiteElements(body, int(length), depth+1)
		if err != nil {
			return nil, nil, err
		}
		out = append(appendHeader(out, tag, int64(len(content))), content...)
		b = after
		if size >= 0 && len(b) < limit { // after an indefinite length
			return nil, nil, formatError("an element is longer than what is around it")
		}
	}
	return out, b, nil
}
