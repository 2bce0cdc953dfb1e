package xades

import (
	"crypto"
	"crypto/sha256"
	"io"
	"time"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/c14n"
	"github.com/eidbridge/eidbridge/signing/outfile"
	"github.com/eidbridge/eidbridge/signing/xmldsig"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// Packaging says where signature and data stand.
type Packaging string

// The packagings of a document.
const (
	// Enveloped puts the signature at the end of the document element.
	Enveloped Packaging = "enveloped"
	// Enveloping puts the document into the signature: an XML document as it is,
	// anything else as base64.
	Enveloping Packaging = "enveloping"
	// Detached puts the document element of an XML document beside the signature,
	// under a new document element.
	Detached Packaging = "detached"
)

// Options says what goes into the signature besides key and data. The zero value
// makes an enveloped signature at the current time over the whole document.
type Options struct {
	Packaging Packaging
	// Elements are the identifiers of the parts that are signed instead of the
	// whole document; for Enveloped.
	Elements []string
	// Parallel leaves every signature out of what is signed and not only this one,
	// so that further signatures of this kind can be added. A plain enveloped
	// signature breaks when another is put beside it.
	Parallel bool
	// Manifest signs a ds:Manifest of the references instead of the references.
	Manifest bool
	// Claims are policy, commitments, roles and place.
	Claims signing.Claims
	// SigningTime is written in UTC; zero means now.
	SigningTime time.Time
	// MimeType is that of the document; empty is text/xml for XML and
	// application/octet-stream for the rest.
	MimeType string
	// Canonicalization is the form of ds:SignedInfo and of what is signed by
	// reference to the document; empty is exclusive canonicalization.
	Canonicalization c14n.Method
	// Classic writes SigningCertificate, SignatureProductionPlace and SignerRole in
	// the form of ETSI TS 101 903, which older receivers want.
	Classic bool
	// SignKeyInfo makes a reference to ds:KeyInfo.
	SignKeyInfo bool
	// Container makes asic:XAdESSignatures the document element (EN 319 162-1
	// A.2); for PrepareObjects.
	Container bool
	// PSS makes RSA keys sign with RSASSA-PSS instead of PKCS #1 v1.5.
	PSS bool
	// Digest is SHA-256, SHA-384 or SHA-512; zero takes the one that fits the key.
	Digest crypto.Hash
	// Level is the baseline level to make; empty is B-B. A level above it needs
	// Services. When those cannot be reached, the level that was reached is made,
	// and the Result says so; Extend finishes it later.
	Level    signing.Baseline
	Services *signing.Services
	// Limits bound the document; IDAttributes names further attributes that hold
	// identifiers.
	Limits       xmltext.Limits
	IDAttributes []string
	// Overwrite lets SignFile replace an existing regular file.
	Overwrite bool
	// SourceSHA256, unless nil, is the digest of the document that was agreed to.
	// SignFile and CountersignFile return signing.ErrSourceChanged before the key is used
	// where they read another one, and their Result has the digests.
	SourceSHA256 *[sha256.Size]byte
	// Group, unless nil, takes what SignFile made, and puts it in place together with
	// others.
	Group *outfile.Group
	// Rand feeds the signer and makes identifiers; nil means crypto/rand.Reader.
	Rand io.Reader
}

// Object is data that a detached signature is about and that stays where it is.
type Object struct {
	// URI names it in the signature, as a URI reference: the escaping is the
	// caller's.
	URI string
	// MimeType goes into DataObjectFormat.
	MimeType string
	// Digest is that of its bytes, by the algorithm that Options or DefaultDigest
	// gives.
	Digest []byte
}

// DefaultDigest is the digest that a signature by the key uses when Options name
// none: the one of Object.Digest.
func DefaultDigest(key crypto.PublicKey) (crypto.Hash, error) {
	a, err := algorithmFor(key, 0, false)
	return a.Digest, err
}

func (o *Options) xml() xmldsig.Options {
	return xmldsig.Options{Limits: o.Limits, IDAttributes: o.IDAttributes, XPointer: true}
}

func (o *Options) canonicalization() c14n.Method {
	if o.Canonicalization == "" {
		return c14n.Exclusive10
	}
	return o.Canonicalization
}
