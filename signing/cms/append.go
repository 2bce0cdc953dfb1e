package cms

import (
	"bytes"
	"math/bits"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Append appends the message in DER with every part as received: for a message
// that was DER, the bytes that were parsed.
func (d *SignedData) Append(dst []byte) ([]byte, error) {
	b := cryptobyte.NewBuilder(dst)
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addOID(b, OIDSignedData)
		b.AddASN1(explicit(0), func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, d.addBody)
		})
	})
	return b.Bytes()
}

func (d *SignedData) addBody(b *cryptobyte.Builder) {
	d.addAlgorithms(b)
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addOID(b, d.ContentType)
		if d.hasContent {
			b.AddASN1(explicit(0), func(b *cryptobyte.Builder) { b.AddASN1OctetString(d.Content) })
		}
	})
	d.addSets(b)
}

func (d *SignedData) addAlgorithms(b *cryptobyte.Builder) {
	b.AddASN1Int64(d.Version)
	b.AddASN1(asn1.SET, func(b *cryptobyte.Builder) {
		for _, a := range d.DigestAlgorithms {
			addAlgorithm(b, a)
		}
	})
}

// addMaterial writes certificates and crls.
func (d *SignedData) addMaterial(b *cryptobyte.Builder) {
	if d.hasCertificates {
		b.AddASN1(explicit(0), func(b *cryptobyte.Builder) { b.AddBytes(bytes.Join(d.Certificates, nil)) })
	}
	if d.hasCRLs {
		b.AddASN1(explicit(1), func(b *cryptobyte.Builder) { b.AddBytes(bytes.Join(d.CRLs, nil)) })
	}
}

// addSets writes what follows the content.
func (d *SignedData) addSets(b *cryptobyte.Builder) {
	d.addMaterial(b)
	b.AddASN1(asn1.SET, func(b *cryptobyte.Builder) {
		for i := range d.SignerInfos {
			d.SignerInfos[i].add(b)
		}
	})
}

func (si *SignerInfo) add(b *cryptobyte.Builder) {
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(si.fields)
		b.AddBytes(si.unsigned)
	})
}

// Frame returns what stands before and behind size bytes of content in the DER
// of a message whose content is elsewhere. For a detached message tail is empty.
func (d *SignedData) Frame(size int64) (head, tail []byte, err error) {
	if !d.hasContent {
		head, err = d.Append(nil)
		return head, nil, err
	}
	bytesOf := func(f func(*cryptobyte.Builder)) []byte {
		raw, failure := built(f)
		if failure != nil {
			err = failure
		}
		return raw
	}
	outerType := bytesOf(func(b *cryptobyte.Builder) { addOID(b, OIDSignedData) })
	algorithms := bytesOf(d.addAlgorithms)
	tail = bytesOf(d.addSets)
	octets, failure := d.EncapsulatedHead(size)
	if failure != nil {
		err = failure
	}
	octets = append(algorithms, octets...)
	body := int64(len(octets)) + size + int64(len(tail))
	octets = append(appendHeader(nil, asn1.SEQUENCE, body), octets...)
	inner := int64(len(octets)) + size + int64(len(tail))
	octets = append(appendHeader(nil, explicit(0), inner), octets...)
	octets = append(outerType, octets...)
	all := int64(len(octets)) + size + int64(len(tail))
	return append(appendHeader(nil, asn1.SEQUENCE, all), octets...), tail, err
}

// EncapsulatedHead returns what stands before size bytes of content in the DER of
// encapContentInfo; it is all of it for a detached message.
func (d *SignedData) EncapsulatedHead(size int64) ([]byte, error) {
	contentType, err := built(func(b *cryptobyte.Builder) { addOID(b, d.ContentType) })
	if !d.hasContent {
		return append(appendHeader(nil, asn1.SEQUENCE, int64(len(contentType))), contentType...), err
	}
	octets := appendHeader(nil, asn1.OCTET_STRING, size)
	wrapped := int64(len(octets)) + size
	octets = append(appendHeader(nil, explicit(0), wrapped), octets...)
	octets = append(contentType, octets...)
	return append(appendHeader(nil, asn1.SEQUENCE, int64(len(octets))+size), octets...), err
}

// Material returns the DER of the elements certificates and crls, those that are there.
func (d *SignedData) Material() ([]byte, error) { return built(d.addMaterial) }

// UnsignedWithout returns the DER of the unsigned attributes less some of their values,
// with the rest as received and in their order; nothing where none are left.
func (si *SignerInfo) UnsignedWithout(drop func(OID, []byte) bool) ([]byte, error) {
	var kept [][]byte
	for _, a := range si.UnsignedAttributes {
		var values []byte
		for _, v := range a.Values {
			if !drop(a.Type, v) {
				values = append(values, v...)
			}
		}
		if len(values) == 0 {
			continue
		}
		raw, err := built(func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				addOID(b, a.Type)
				b.AddASN1(asn1.SET, func(b *cryptobyte.Builder) { b.AddBytes(values) })
			})
		})
		if err != nil {
			return nil, err
		}
		kept = append(kept, raw)
	}
	if len(kept) == 0 {
		return nil, nil
	}
	return built(func(b *cryptobyte.Builder) {
		b.AddASN1(explicit(1), func(b *cryptobyte.Builder) { b.AddBytes(bytes.Join(kept, nil)) })
	})
}

func built(f func(*cryptobyte.Builder)) ([]byte, error) {
	var b cryptobyte.Builder
	f(&b)
	return b.Bytes()
}

// appendHeader appends tag and definite length (X.690 8.1.3).
func appendHeader(dst []byte, tag asn1.Tag, length int64) []byte {
	dst = append(dst, byte(tag))
	if length < 0x80 {
		return append(dst, byte(length))
	}
	n := (bits.Len64(uint64(length)) + 7) / 8
	dst = append(dst, 0x80|byte(n))
	for i := n - 1; i >= 0; i-- {
		dst = append(dst, byte(length>>(8*i)))
	}
	return dst
}
