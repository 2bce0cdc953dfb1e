package pades

import (
	"crypto"
	"crypto/sha256"
	"io"
	"time"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/outfile"
)

// Options says what goes into the signature besides key and document. The zero
// value signs with the current time, in the first empty signature field or in a
// new hidden one.
type Options struct {
	// Reason, Location, ContactInfo and Name become the entries of the same name
	// in the signature dictionary (ISO 32000-2 table 255); empty ones are left
	// out. They are claims of the signer and prove nothing.
	Reason, Location, ContactInfo, Name string
	// Claims become signed attributes of the CMS: at most one commitment type, a policy
	// with OID and digest, and roles. Commitment type and policy exclude a Reason
	// (EN 319 142-1 6.3). Place stays empty, since the place is the Location.
	signing.Claims
	// SigningTime becomes /M; zero means now.
	SigningTime time.Time
	// FieldName is the fully qualified name of the field to sign. An existing
	// empty signature field of that name is signed, otherwise a new one is made.
	FieldName string
	// Certify makes the signature a certification (12.8.2.2), which must be the
	// first signature of the document and says what may be changed later.
	Certify Certification
	// LegalAttestation explains, in a certification, what can make the document
	// look different (12.8.7); empty is none.
	LegalAttestation string
	// Lock names form fields that nobody may change after this signature
	// (12.8.2.4); nil locks none. A lock that the field brings along stays.
	Lock *FieldLock
	// Visible makes the signature show on pages; nil keeps a new one hidden.
	Visible *Visible
	// PSS makes RSA keys sign with RSASSA-PSS instead of PKCS #1 v1.5.
	PSS bool
	// Digest is SHA-256, SHA-384 or SHA-512; zero takes the one that fits the
	// key: SHA-384 for P-384, SHA-512 for P-521, SHA-256 for the rest.
	Digest crypto.Hash
	// Level is the baseline level to make; empty is B-B. A level above it needs
	// Services. When those cannot be reached, the level that was reached is made,
	// and the Result says so; Extend finishes it later.
	Level    signing.Baseline
	Services *Services
	// Password opens an encrypted document: that of its user or its owner. Those
	// that open without one need none.
	Password []byte
	// Overwrite lets SignFile replace an existing regular file.
	Overwrite bool
	// SourceSHA256, unless nil, is the digest of the document that was agreed to.
	// SignFile returns ErrSourceChanged before the key is used where it reads another
	// one.
	SourceSHA256 *[sha256.Size]byte
	// Group, unless nil, takes what SignFile made, and puts it in place together with
	// others.
	Group *outfile.Group
	// Memory, unless nil, lends what SignFile holds of a document to a run of files; a
	// Group has its own.
	Memory *outfile.Memory
	// Rand feeds the signer; nil means crypto/rand.Reader.
	Rand io.Reader
}

func (o Options) memory() *outfile.Memory {
	if o.Memory == nil {
		return o.Group.Memory()
	}
	return o.Memory
}
