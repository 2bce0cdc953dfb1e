package main

import (
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers/saml"
)

// TestJudgeSAMLOnDamagedMessages damages signed responses: there is a verdict soon,
// and what is accepted says what was signed.
func TestJudgeSAMLOnDamagedMessages(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("EIDBRIDGE_MUTATIONS"))
	if err != nil {
		n = 1000
	}
	f := newForge(t)
	certificates, err := certificatesIn(f.keys["idp certificate"])
	if err != nil {
		t.Fatal(err)
	}
	c := judgeSAMLCommand{Audience: madeSP, Recipient: madeACS, Request: madeRequest, At: f.now, Skew: time.Minute}
	for _, p := range []parts{responseSigned, assertionSigned, bothSigned} {
		whole := []byte(f.signed(f.template(), p, form{}))
		r := rand.New(rand.NewPCG(3, uint64(len(whole))))
		accepted := 0
		for i := range n {
			damaged := damage(r, whole)
			begin := time.Now()
			v, err := judged(damaged, c.expectation(saml.Entity{ID: madeIdP, Signing: certificates}))
			if took := time.Since(begin); took > 20*time.Second {
				t.Errorf("%s %d: %s", p, i, took)
			}
			switch {
			case err != nil:
				t.Errorf("%s %d: %v", p, i, err)
			case !v.Accepted && v.Reason == "":
				t.Errorf("%s %d: refused without a reason", p, i)
			case !v.Accepted:
			case v.NameID != madeNameID || !maps.EqualFunc(v.Attributes, map[string][]string{"mail": {"alice@example.org"}}, slices.Equal[[]string]):
				t.Errorf("%s %d: %+v", p, i, v)
			default:
				accepted++
			}
		}
		t.Logf("%s signed: %d of %d accepted as they were", p, accepted, n)
	}
}

func damage(r *rand.Rand, message []byte) []byte {
	d := slices.Clone(message)
	for range 1 + r.IntN(2) {
		at := r.IntN(len(d))
		end := min(len(d), at+1+r.IntN(64))
		switch r.IntN(5) {
		case 0, 1:
			d[at] ^= 1 << r.IntN(8)
		case 2:
			d[at] = byte(r.IntN(256))
		case 3:
			d = slices.Delete(d, at, end)
		case 4:
			d = slices.Insert(d, at, slices.Clone(d[at:end])...)
		}
		if len(d) == 0 {
			return d
		}
	}
	return d
}
