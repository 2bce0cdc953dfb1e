package desktop

import (
	"crypto"
	"crypto/x509"
	"slices"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/desktop/origins"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/outfile"
	"github.com/eidbridge/eidbridge/signing/pades"
)

// Door is the way a request came in.
type Door string

// The doors.
const (
	DoorCommandLine Door = "command-line"
	DoorLocalAPI    Door = "local-api"
)

// Kind is what is asked of the citizen.
type Kind string

// The kinds: a signature under documents, and a login to a page.
const (
	KindSign         Kind = "sign"
	KindAuthenticate Kind = "authenticate"
)

// Request is what a door hands in. Strings that come from a page are shown
// quoted and escaped, and prove nothing.
type Request struct {
	Door Door
	// Origin is who asks, as the browser vouches for it; the zero value is the
	// person at this computer.
	Origin origins.Origin
	Kind   Kind
	// Documents to be signed: one, or from this computer up to MaxDocuments, for
	// which there is one consent.
	Documents  []Document
	Output     Output
	Credential Wanted
	// Nonce is the page's challenge of a login, and AppVersion what the token says of
	// the agent.
	Nonce, AppVersion string
	// Locale is a BCP 47 tag for the prompt; empty leaves it to the prompt.
	Locale string
	// Purpose and Reference are the asker's words.
	Purpose, Reference string
	// ExpiresIn ends the request; zero means five minutes.
	ExpiresIn time.Duration
	// Written, unless nil, is told of documents of a batch that are signed and on the
	// disk, before they get their names: whoever keeps a list has them on it before
	// anybody finds them. Some may yet fail to get their names. An error ends the
	// request, and puts none of them in place.
	Written func([]DocumentResult) error
	// Progress, unless nil, is told of all documents that are signed, and durable, or
	// failed: of several at once, in the order of the request. It must not block.
	Progress func([]DocumentResult)
	// CardWait is how long an absent card is waited for, within ExpiresIn. Zero
	// fails at once.
	CardWait time.Duration
}

// Output is the kind of signature that is asked for.
type Output struct {
	Format   signing.Format
	Baseline signing.Baseline
	// Packaging is for XAdES and CAdES; empty is the usual one.
	Packaging signing.Packaging
	// CAdES makes CAdES signatures in containers, in place of XAdES.
	CAdES bool
	// Services are asked for what levels above B-B need; nil with B-B.
	Services *pades.Services
	// Certify, LegalAttestation and Lock say what may happen to a PDF afterwards.
	Certify          pades.Certification
	LegalAttestation string
	Lock             *pades.FieldLock
	// Reason and Location go into the signature as claims of the signer. Claims are
	// further ones, for other formats than PAdES.
	Reason, Location string
	Claims           signing.Claims
	// Elements are the identifiers of the parts of an XML document that are signed in
	// place of all of it. Parallel leaves other signatures out of what is signed, so
	// that more can be added; Manifest signs a list of the references. For XAdES.
	Elements           []string
	Parallel, Manifest bool
	// Countersign is the signature whose value is signed in place of the document:
	// its number from 1 or, in XML, its Id. For XAdES and CAdES; empty is none.
	Countersign string
	// Visible makes the signature show on pages; its values are filled in from the
	// certificate. Nil is a hidden signature.
	Visible *pades.Visible
	// Field is the name of the form field to sign; empty leaves the choice.
	Field string

	// group takes the files of a batch, which are put in place together; nil leaves
	// that to each.
	group *outfile.Group
}

// Wanted narrows the choice of card and certificate. The usage follows from the
// kind of request and is no choice.
type Wanted struct {
	// Reader is a part of a reader's name.
	Reader string
	// CertificateSHA256 is lower-case hex.
	CertificateSHA256 string
	// IssuerCountries are two-letter codes; empty takes all.
	IssuerCountries []string
	// Qualified, when set, wants a certificate that says so, or one that does
	// not.
	Qualified *bool
}

// fits tells whether a certificate is one of those wanted.
func (w Wanted) fits(c *x509.Certificate) bool {
	if w.Qualified != nil && *w.Qualified != HolderOf(c).Qualified {
		return false
	}
	if len(w.IssuerCountries) == 0 {
		return true
	}
	for _, country := range c.Issuer.Country {
		if slices.Contains(w.IssuerCountries, country) {
			return true
		}
	}
	return false
}

// Snapshot is what can be told of a request at one moment.
type Snapshot struct {
	ID     string
	Door   Door
	Origin origins.Origin
	State  State
	// Seq counts the changes of state and detail, from 1.
	Seq    int
	Detail Detail
	// Err and Code say why the state is failed, expired or declined.
	Err  error
	Code Code
	// Created, Expires and Finished are UTC; Finished is zero until the end.
	Created, Expires, Finished time.Time
	// Certificate and Signed are set when the state is done.
	Certificate *x509.Certificate
	Signed      []Signed
	// Token is set when a login is done.
	Token *Token
}

// CardPresence is what a page may learn of the card while it waits.
type CardPresence string

// The presences.
const (
	CardAbsent      CardPresence = "absent"
	CardPresent     CardPresence = "present"
	CardUnsupported CardPresence = "unsupported"
)

// Detail accompanies a state.
type Detail struct {
	// Card is empty while it is not known.
	Card CardPresence
	// TriesLeft is nil while it is not known.
	TriesLeft *int
	// Document and Of count from 1.
	Document, Of int
}

// Signed is a finished document.
type Signed struct {
	// N counts from 1 in the order of the request.
	N    int
	Name string
	// Data is the signed document, nil when it went into a file.
	Data []byte
	// Path is the file, empty when Data is set.
	Path string
	// SHA256 of the signed document.
	SHA256 [32]byte
	// Algorithm is the name of the signature algorithm: "ECDSA with SHA-384".
	Algorithm string
	// Baseline is the level that was reached; Shortfall says why it is not the one
	// asked for, empty when it is.
	Baseline  signing.Baseline
	Shortfall string
	// Scan is what the document was found to do or hide before it was signed.
	Scan *pades.Scan
}

// Hash is the digest algorithm of consent and journal.
const Hash = crypto.SHA256

// usage is the only usage whose key may serve the kind: an authentication key
// never signs documents (threats L-33).
func (k Kind) usage() cardreader.Usage {
	switch k {
	case KindSign:
		return cardreader.UsageSignature
	case KindAuthenticate:
		return cardreader.UsageAuthentication
	}
	return ""
}
