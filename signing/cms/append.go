package cms

import (
	"bytes"

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
	b.AddASN1Int64(d.Version)
	b.AddASN1(asn1.SET, func(b *cryptobyte.Builder) {
		for _, a := range d.DigestAlgorithms {
			addAlgorithm(b, a)
		}
	})
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addOID(b, d.ContentType)
		if d.hasContent {
			b.AddASN1(explicit(0), func(b *cryptobyte.Builder) { b.AddASN1OctetString(d.Content) })
		}
	})
	if d.hasCertificates {
		b.AddASN1(explicit(0), func(b *cryptobyte.Builder) { b.AddBytes(bytes.Join(d.Certificates, nil)) })
	}
	if d.hasCRLs {
		b.AddASN1(explicit(1), func(b *cryptobyte.Builder) { b.AddBytes(bytes.Join(d.CRLs, nil)) })
	}
	b.AddASN1(asn1.SET, func(b *cryptobyte.Builder) {
		for i := range d.SignerInfos {
			d.SignerInfos[i].add(b)
		}
	})
}

func (si *SignerInfo) add(b *cryptobyte.Builder) {
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(si.Version)
		if si.SubjectKeyID != nil {
			b.AddASN1(asn1.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(si.SubjectKeyID) })
		} else {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddBytes(si.Issuer)
				b.AddASN1BigInt(si.Serial)
			})
		}
		addAlgorithm(b, si.DigestAlgorithm)
		b.AddBytes(si.signed)
		addAlgorithm(b, si.SignatureAlgorithm)
		b.AddASN1OctetString(si.Signature)
		b.AddBytes(si.unsigned)
	})
}
