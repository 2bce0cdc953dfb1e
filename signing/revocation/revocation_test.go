package revocation_test

import (
	"errors"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/pki"
	"github.com/eidbridge/eidbridge/fixtures/signers"
	"github.com/eidbridge/eidbridge/signing/revocation"
)

func TestCollectAndLook(t *testing.T) {
	country := signers.NewCountry(t)
	path := country.Chain(country.Citizen.Certificate)
	c := revocation.Collector{Fetch: country.Client}
	before, err := c.Collect(t.Context(), path)
	if err != nil || len(before.OCSPs) != 2 || len(before.Certificates) != 5 {
		t.Fatalf("%d answers, %d certificates, %v", len(before.OCSPs), len(before.Certificates), err)
	}
	now := time.Now()
	for name, c := range map[string]struct {
		at   time.Time
		want revocation.State
	}{
		"now": {now, revocation.Good}, "before": {now.AddDate(-1, 0, 0), revocation.Good},
		"when the answer is out of date": {now.Add(time.Hour), revocation.Unknown},
	} {
		if f := before.Look(path[0], path[1], c.at); f.State != c.want {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if f := before.Look(path[0], path[2], now); f.State != revocation.Unknown {
		t.Errorf("under another issuer: %+v", f)
	}
	if err := country.Revoke(path[0], now.Add(-time.Minute), pki.CertificateHold); err != nil {
		t.Fatal(err)
	}
	held, err := c.Collect(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if f := held.Look(path[0], path[1], now); f.State != revocation.OnHold {
		t.Errorf("on hold: %+v", f)
	}
	if m, err := (&revocation.Collector{}).Collect(t.Context(), path); !errors.Is(err, revocation.ErrUnavailable) || len(m.Certificates) != 3 {
		t.Errorf("nobody to ask: %v", err)
	}
}
