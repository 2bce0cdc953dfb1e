package dnie

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/iso7816"
)

// keyEntry is one object of the PrKDF (ISO/IEC 7816-15 8.4): a private key.
type keyEntry struct {
	id string
	// usage is empty for a key that signs nothing.
	usage cardreader.Usage
	// reference is what MSE SET names: the last two bytes of the path.
	reference [2]byte
}

// certificateEntry is one object of the CDF (ISO/IEC 7816-15 8.7).
type certificateEntry struct {
	id   string
	file path
	// subject is the holder's DER Name.
	subject []byte
}

// Bits of a key's usage, counted from the most significant (ISO/IEC 7816-15
// 8.4.1, KeyUsageFlags).
const (
	usageSign           = 2
	usageNonRepudiation = 9
)

// objects splits a directory into its SEQUENCEs. The file ends with the first 00
// or FF. Objects of other kinds are left out.
func objects(file []byte) ([]cryptobyte.String, error) {
	if len(file) > maxDirectory {
		return nil, fmt.Errorf("%w: directory of %d bytes", iso7816.ErrContent, len(file))
	}
	var entries []cryptobyte.String
	rest := cryptobyte.String(file)
	for count := 0; !ended(rest); count++ {
		var entry cryptobyte.String
		var tag asn1.Tag
		if count == maxEntries {
			return nil, fmt.Errorf("%w: more than %d objects in a directory", iso7816.ErrContent, maxEntries)
		}
		if !rest.ReadAnyASN1(&entry, &tag) {
			return nil, fmt.Errorf("%w: object %d of a directory", iso7816.ErrContent, count)
		}
		if tag == asn1.SEQUENCE {
			entries = append(entries, entry)
		}
	}
	return entries, nil
}

func ended(rest cryptobyte.String) bool { return len(rest) == 0 || rest[0] == 0x00 || rest[0] == 0xFF }

// whole tells that a directory's end is among the bytes read so far.
func whole(content []byte) bool {
	rest := cryptobyte.String(content)
	for count := 0; len(rest) > 0 && count <= maxEntries; count++ {
		if ended(rest) {
			return true
		}
		var entry cryptobyte.String
		var tag asn1.Tag
		if !rest.ReadAnyASN1(&entry, &tag) {
			return false
		}
	}
	return false
}

// attributes are the parts of an object: common, of its class, of its type.
type attributes struct {
	class, kind cryptobyte.String
}

// split reads SEQUENCE { common, class, [0] subclass OPTIONAL, [1] type }.
func split(entry cryptobyte.String) (a attributes, ok bool) {
	var common cryptobyte.String
	subclass, kind := asn1.Tag(0).ContextSpecific().Constructed(), asn1.Tag(1).ContextSpecific().Constructed()
	var wrapped cryptobyte.String
	ok = entry.ReadASN1(&common, asn1.SEQUENCE) && entry.ReadASN1(&a.class, asn1.SEQUENCE) &&
		entry.SkipOptionalASN1(subclass) && entry.ReadASN1(&wrapped, kind) && entry.Empty() &&
		wrapped.ReadASN1(&a.kind, asn1.SEQUENCE)
	return a, ok
}

// readID reads the iD that links a key and its certificate: not empty.
func readID(class *cryptobyte.String) (id string, ok bool) {
	var raw cryptobyte.String
	ok = class.ReadASN1(&raw, asn1.OCTET_STRING) && len(raw) > 0
	return string(raw), ok
}

// readPath reads SEQUENCE { path OCTET STRING, … }. A path of one file is below
// DF 5015; the others begin at the MF.
func readPath(kind *cryptobyte.String) (path, []byte, bool) {
	var reference, raw cryptobyte.String
	if !kind.ReadASN1(&reference, asn1.SEQUENCE) || !reference.ReadASN1(&raw, asn1.OCTET_STRING) {
		return nil, nil, false
	}
	p, ok := parsePath(raw)
	return p, raw, ok
}

const masterID = 0x3F00

func parsePath(raw []byte) (path, bool) {
	if len(raw) == 0 || len(raw)%2 != 0 || len(raw) > 2*(maxPath+1) {
		return nil, false
	}
	var p path
	for i := 0; i < len(raw); i += 2 {
		p = append(p, binary.BigEndian.Uint16(raw[i:]))
	}
	switch {
	case p[0] == masterID:
		p = p[1:]
	case len(p) == 1:
		p = path{pathObjects()[0], p[0]}
	}
	return p, len(p) > 0 && len(p) <= maxPath
}

// parsePrivateKeys reads the PrKDF. The error is ErrContent.
func parsePrivateKeys(file []byte) ([]keyEntry, error) {
	entries, err := objects(file)
	if err != nil {
		return nil, err
	}
	keys := make([]keyEntry, 0, len(entries))
	for i, entry := range entries {
		a, ok := split(entry)
		var key keyEntry
		var usage []byte
		var raw []byte
		if ok {
			key.id, ok = readID(&a.class)
		}
		if ok {
			usage, ok = readBits(&a.class)
		}
		if ok {
			_, raw, ok = readPath(&a.kind)
		}
		if !ok || len(raw) < len(key.reference) {
			return nil, fmt.Errorf("%w: private key object %d", iso7816.ErrContent, i)
		}
		copy(key.reference[:], raw[len(raw)-len(key.reference):])
		switch {
		case bit(usage, usageNonRepudiation):
			key.usage = cardreader.UsageSignature
		case bit(usage, usageSign):
			key.usage = cardreader.UsageAuthentication
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func readBits(class *cryptobyte.String) ([]byte, bool) {
	// The unused bits need not be zero on a card, so this is no DER BIT STRING.
	var raw cryptobyte.String
	var unused uint8
	ok := class.ReadASN1(&raw, asn1.BIT_STRING) && raw.ReadUint8(&unused) && unused < 8 && (unused == 0 || len(raw) > 0)
	return raw, ok
}

func bit(bits []byte, n int) bool { return n/8 < len(bits) && bits[n/8]&(0x80>>(n%8)) != 0 }

// parseCertificates reads the CDF. The error is ErrContent.
func parseCertificates(file []byte) ([]certificateEntry, error) {
	entries, err := objects(file)
	if err != nil {
		return nil, err
	}
	certificates := make([]certificateEntry, 0, len(entries))
	for i, entry := range entries {
		a, ok := split(entry)
		var c certificateEntry
		if ok {
			c.id, ok = readID(&a.class)
		}
		if ok {
			c.file, _, ok = readPath(&a.kind)
		}
		var subject cryptobyte.String
		if ok && a.kind.PeekASN1Tag(asn1.SEQUENCE) {
			ok = a.kind.ReadASN1Element(&subject, asn1.SEQUENCE)
		}
		if !ok {
			return nil, fmt.Errorf("%w: certificate object %d", iso7816.ErrContent, i)
		}
		c.subject = subject
		certificates = append(certificates, c)
	}
	return certificates, nil
}

// parseObjects reads the ODF (ISO/IEC 7816-15 8.3) for the directories of private
// keys, [0], and of certificates, [4]: where they are when not in their usual
// place.
func parseObjects(file []byte) (keys, certificates path, err error) {
	if len(file) > maxDirectory {
		return nil, nil, fmt.Errorf("%w: directory of %d bytes", iso7816.ErrContent, len(file))
	}
	rest := cryptobyte.String(file)
	for count := 0; !ended(rest); count++ {
		var entry, reference, raw cryptobyte.String
		var tag asn1.Tag
		if count == maxEntries || !rest.ReadAnyASN1(&entry, &tag) || !entry.ReadASN1(&reference, asn1.SEQUENCE) ||
			!reference.ReadASN1(&raw, asn1.OCTET_STRING) {
			return nil, nil, fmt.Errorf("%w: object directory, entry %d", iso7816.ErrContent, count)
		}
		p, ok := parsePath(raw)
		if !ok {
			return nil, nil, fmt.Errorf("%w: object directory, path of entry %d", iso7816.ErrContent, count)
		}
		switch tag {
		case asn1.Tag(0).ContextSpecific().Constructed():
			keys = p
		case asn1.Tag(4).ContextSpecific().Constructed():
			certificates = p
		}
	}
	return keys, certificates, nil
}

// readDirectory reads one directory, from its usual place or from where the ODF
// says. No file is read twice, so that directories cannot lead in a circle.
func (c *card) readDirectory(ctx context.Context, usual path, listed func(keys, certificates path) path) ([]byte, error) {
	content, err := c.read(ctx, usual, maxDirectory, whole)
	if !missing(err) {
		return content, err
	}
	file, odfErr := c.read(ctx, pathObjects(), maxDirectory, whole)
	if missing(odfErr) {
		// Residence permits answer to radio like a DNIe and have no PKCS #15.
		return nil, fmt.Errorf("%w: no certificates: %w", cardreader.ErrCardUnsupported, err)
	}
	if odfErr != nil {
		return nil, odfErr
	}
	keys, certificates, odfErr := parseObjects(file)
	if odfErr != nil {
		return nil, odfErr
	}
	other := listed(keys, certificates)
	if len(other) == 0 || slices.Equal(other, usual) || slices.Equal(other, pathObjects()) {
		return nil, err
	}
	return c.read(ctx, other, maxDirectory, whole)
}
