package cades

import (
	"crypto"
	"io"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/attributes"
	"github.com/eidbridge/eidbridge/signing/cms"
)

// Options says what goes into the signature besides key and content. The zero
// value makes B-B with the content inside.
type Options struct {
	// Detached leaves the content out of the message.
	Detached bool
	// SigningTime becomes the signing-time attribute; zero means now.
	SigningTime time.Time
	// MediaType is the type of the content, for the mime-type attribute of a
	// detached signature (EN 319 122-1 5.2.5.2); empty leaves it out.
	MediaType string
	signing.Claims
	// PSS makes RSA keys sign with RSASSA-PSS instead of PKCS #1 v1.5.
	PSS bool
	// Digest is SHA-256, SHA-384 or SHA-512; zero takes the one that fits the key.
	Digest crypto.Hash
	// Level is the baseline level to make; empty is B-B. A level above it needs
	// Services. When those cannot be reached, the level that was reached is made,
	// and the Result says so; Extend finishes it later.
	Level    signing.Baseline
	Services *signing.Services
	// Overwrite lets SignFile replace an existing regular file.
	Overwrite bool
	// Rand feeds the signer; nil means crypto/rand.Reader.
	Rand io.Reader
}

// maxMediaType bounds the type of the content, in bytes.
const maxMediaType = 4096

// stampDigest is the digest that time-stamps are made over.
const stampDigest = crypto.SHA256

// template is the CMS template for a credential.
func (o *Options) template(cred signing.Credential) (*cms.Template, error) {
	at := o.SigningTime
	if at.IsZero() {
		at = time.Now()
	}
	if err := cred.Check(at); err != nil {
		return nil, err
	}
	algorithm, err := cms.AlgorithmFor(cred.Certificate.PublicKey, o.Digest, o.PSS)
	if err != nil {
		return nil, signing.Refuse(signing.RefusedKey, "use another key", "the key cannot be used: %v", err)
	}
	claimed, err := attributes.Encode(o.Claims, signing.CAdES.Title())
	if err != nil {
		return nil, err
	}
	if o.MediaType != "" {
		mimeType, err := o.mimeType()
		if err != nil {
			return nil, err
		}
		claimed = append(claimed, mimeType)
	}
	return &cms.Template{
		Certificate: cred.Certificate, Chain: cred.Chain, Algorithm: algorithm,
		SigningTime: at.UTC().Truncate(time.Second), Attributes: claimed,
	}, nil
}

// mimeType is the type of the content as an attribute.
func (o *Options) mimeType() (cms.Attribute, error) {
	var b cryptobyte.Builder
	b.AddASN1(asn1.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(o.MediaType)) })
	value, err := b.Bytes()
	if err != nil || !utf8.ValidString(o.MediaType) || len(o.MediaType) > maxMediaType {
		return cms.Attribute{}, signing.Refuse(signing.RefusedOption, "leave it out", "the media type is too long or no UTF-8")
	}
	return cms.Attribute{Type: cms.OIDMimeType, Values: [][]byte{value}}, nil
}
