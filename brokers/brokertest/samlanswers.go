package brokertest

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/eidbridge/eidbridge/brokers"
)

// Replay remembers assertions in memory, for ever. The zero value is ready.
type Replay struct {
	mu   sync.Mutex
	used map[string]bool
}

// UseAssertionID implements saml.ReplayStore.
func (r *Replay) UseAssertionID(_ context.Context, issuer, id string, _ time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.used[issuer+" "+id] {
		return brokers.ErrReplayed
	}
	if r.used == nil {
		r.used = map[string]bool{}
	}
	r.used[issuer+" "+id] = true
	return nil
}

// SignSAML signs an element as goxmldsig does it, with an RSA key and exclusive canonical form,
// and puts the signature behind its first child, the Issuer. It panics over a text that
// is no XML.
func SignSAML(key crypto.Signer, certificate *x509.Certificate, hash crypto.Hash, text string) string {
	signing, err := dsig.NewSigningContext(key, [][]byte{certificate.Raw})
	if err != nil {
		panic(err)
	}
	signing.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	signing.Hash = hash
	if err := signing.SetSignatureMethod(map[crypto.Hash]string{crypto.SHA256: dsig.RSASHA256SignatureMethod, crypto.SHA512: dsig.RSASHA512SignatureMethod}[hash]); err != nil {
		panic(err)
	}
	document := etree.NewDocument()
	if err := document.ReadFromString(text); err != nil {
		panic(err)
	}
	signature, err := signing.ConstructSignature(document.Root(), true)
	if err != nil {
		panic(err)
	}
	document.Root().InsertChildAt(1, signature)
	out, err := document.WriteToString()
	if err != nil {
		panic(err)
	}
	return out
}

// WantRejected ends the test unless an answer was refused for this reason, with an
// error that says nothing of the person.
func WantRejected(t *testing.T, event *brokers.AuthenticationEvent, err error, reason string, category brokers.Category, personal ...string) {
	t.Helper()
	var rejected *brokers.RejectedError
	if event != nil || !errors.As(err, &rejected) {
		t.Fatalf("event %v, error %v", event, err)
	}
	if rejected.Reason != reason || rejected.Category != category {
		t.Fatalf("reason %q category %q (%v), want %q %q", rejected.Reason, rejected.Category, err, reason, category)
	}
	for _, secret := range personal {
		if strings.Contains(err.Error(), secret) {
			t.Fatalf("error names the citizen: %v", err)
		}
	}
}

// Fault is what one answer of a misbehaving identity provider is about.
type Fault struct {
	// Valid answers are taken, all others refused.
	Valid bool
	What  string
	// Checks are the reasons that will do.
	Checks []string
}

// WantVerdict judges what an upstream of the SAML schemes made of such an answer.
func (f Fault) WantVerdict(t *testing.T, event *brokers.AuthenticationEvent, err error) {
	t.Helper()
	var rejected *brokers.RejectedError
	switch {
	case f.Valid && err != nil:
		t.Errorf("control is refused: %v", err)
	case f.Valid:
	case err == nil || event != nil:
		t.Errorf("accepted: %s", f.What)
	case errors.Is(err, brokers.ErrCancelled), errors.As(err, &rejected) && rejected.Reason == "login_failed":
		if !slices.Contains(f.Checks, "status") {
			t.Errorf("refused for %v, want one of %v", err, f.Checks)
		}
	case rejected == nil || !slices.Contains(f.Checks, strings.Replace(rejected.Reason, "loa_too_low", "level", 1)):
		t.Errorf("refused for %v, want one of %v", err, f.Checks)
	}
}
