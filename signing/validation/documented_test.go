package validation_test

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/signers"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/revocation"
	"github.com/eidbridge/eidbridge/signing/validation"
)

// TestAnchorsNeedNoDocuments: services of a trusted list are anchors themselves, such
// as a time-stamping authority, and a document need not say anything about them to
// reach B-LT (RFC 5280 6.1.1 d). Anybody else is in need of path and revocation.
func TestAnchorsNeedNoDocuments(t *testing.T) {
	c := signers.NewCountry(t).Citizen.Certificate
	for name, want := range map[string]bool{"an anchor": true, "somebody": false} {
		o := signing.VerifyOptions{}
		if want {
			o.Roots = []*x509.Certificate{c}
		}
		if got := validation.New(o, revocation.Material{}).Documented(t.Context(), c, nil, time.Now()); got != want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
