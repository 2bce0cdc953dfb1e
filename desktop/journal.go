package desktop

import (
	"crypto/x509"
	"encoding/hex"
	"strings"
	"time"
)

// Journal keeps one entry for every request that ended, of whatever door. Append
// returns when the entry is safe.
type Journal interface {
	Append(e Entry) error
}

// Entry is one line of the journal. It holds no PIN and no personal number.
type Entry struct {
	Time time.Time `json:"time"` // UTC, when the request ended
	ID   string    `json:"id"`
	Door Door      `json:"door"`
	// Origin is empty for this computer.
	Origin string `json:"origin,omitempty"`
	// Kind is a Kind or "pairing".
	Kind      Kind            `json:"kind"`
	Documents []EntryDocument `json:"documents,omitempty"`
	// Credential names the certificate without naming its holder: initials,
	// country and the start of its SHA-256.
	Credential string `json:"credential,omitempty"`
	Outcome    State  `json:"outcome"`
	Code       Code   `json:"code,omitempty"`
}

// EntryDocument is a document as it was shown.
type EntryDocument struct {
	Name string `json:"name"`
	// SHA256 is lower-case hex of the document before it was signed.
	SHA256 string `json:"sha256"`
	// Active are the kinds of active content that the document had, as was shown.
	Active []string `json:"active,omitempty"`
	// Outcome is done or failed in a request of several documents; empty for those
	// that its end left unsigned.
	Outcome State `json:"outcome,omitempty"`
}

// kindPairing is the journal's word for an approved or refused page.
const kindPairing Kind = "pairing"

// maskCredential is the journal's form of a certificate: "J. J., EE, 1a2b3c4d5e6f".
func maskCredential(c *x509.Certificate) string {
	h := HolderOf(c)
	sum := Hash.New()
	sum.Write(c.Raw)
	parts := []string{hex.EncodeToString(sum.Sum(nil)[:6])}
	if h.Country != "" {
		parts = append([]string{h.Country}, parts...)
	}
	if h.Initials != "" {
		parts = append([]string{h.Initials}, parts...)
	}
	return strings.Join(parts, ", ")
}
