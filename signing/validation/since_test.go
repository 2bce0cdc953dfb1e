package validation_test

import (
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/revocation"
	"github.com/eidbridge/eidbridge/signing/validation"
)

// TestContentTimeStampsSayWhatCameAfter (P-25): a signature that covers a time-stamp
// was made after it, so what had ended by then is known to have ended before
// (EN 319 102-1 5.3.4); without one it may be older.
func TestContentTimeStampsSayWhatCameAfter(t *testing.T) {
	l := newLab(t)
	for _, row := range []struct {
		name  string
		s     situation
		since time.Duration // of the content-time-stamp, before now; 0 for none
		want  string
	}{
		{"revoked before the content was stamped", situation{signerRevoked: &revoked{ago: 2 * week, reason: 1}}, week, "TOTAL_FAILED/REVOKED"},
		{"revoked after the content was stamped", situation{signerRevoked: &revoked{ago: week, reason: 1}}, 2 * week, "INDETERMINATE/REVOKED_NO_POE"},
		{"revoked", situation{signerRevoked: &revoked{ago: 2 * week, reason: 1}}, 0, "INDETERMINATE/REVOKED_NO_POE"},
		{"expired before the content was stamped", situation{kept: true, signer: validity(-year, -2*week)}, week, "TOTAL_FAILED/EXPIRED"},
		{"expired after the content was stamped", situation{kept: true, signer: validity(-year, -week)}, 2 * week, "INDETERMINATE/OUT_OF_BOUNDS_NOT_REVOKED"},
		{"all right", situation{}, week, "TOTAL_PASSED"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := l.newRealm(t, row.s)
			o := l.online(r)
			j := validation.New(o, revocation.Material{})
			proof := validation.Begin(o)
			if row.since > 0 {
				proof.Since = r.now.Add(-row.since)
			}
			var out signing.Signature
			answered := j.Signer(t.Context(), &out, r.signer.certificate, r.credential().Chain, proof)
			j.Conclude(&out, answered)
			got := string(out.Indication)
			if out.SubIndication != "" {
				got += "/" + string(out.SubIndication)
			}
			if got != row.want {
				t.Errorf("%s, want %s: %v", got, row.want, out.Findings)
			}
		})
	}
}
