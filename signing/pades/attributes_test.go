package pades_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/pades"
)

// TestClaimsAreReported: commitment type, policy and roles are signed, and Verify tells
// of them and of B-B.
func TestClaimsAreReported(t *testing.T) {
	claims := signing.Claims{
		Policy:      &signing.Policy{OID: "1.2.3.4", DigestAlgorithm: "SHA-512", Digest: make([]byte, 64), Document: "https://policy.example/4"},
		Commitments: []signing.Commitment{signing.ProofOfReceipt}, Roles: []string{"Director, Sales", "Õpetaja"},
	}
	signed, _ := sign(t, pdfs.Contract(), citizen(t), pades.Options{Location: "Tartu", Claims: claims})
	s := verify(t, signed, trusted()).Signatures[0]
	if s.Indication != signing.TotalPassed || s.Baseline != signing.BaselineB || s.Policy != "1.2.3.4" || s.Location != "Tartu" ||
		!slices.Equal(s.Commitments, claims.Commitments) || !slices.Equal(s.Roles, claims.Roles) {
		t.Errorf("%+v", s)
	}
	// A plan takes them along to another machine.
	plan, err := pades.Prepare(t.Context(), bytes.NewReader(pdfs.Contract()), int64(len(pdfs.Contract())), citizen(t), pades.Options{Claims: claims, SigningTime: signedAt})
	if err != nil || !bytes.Contains(plan.SignedAttributes, []byte("https://policy.example/4")) {
		t.Errorf("plan: %v", err)
	}
}

// TestClaimsThatExcludeEachOther are refused before the key is used (EN 319 142-1 6.3).
func TestClaimsThatExcludeEachOther(t *testing.T) {
	digest := make([]byte, 32)
	policy := &signing.Policy{OID: "1.2.3.4", DigestAlgorithm: "SHA-256", Digest: digest}
	for name, row := range map[string]struct {
		o   pades.Options
		why string
	}{
		"reason and commitment": {pades.Options{Reason: "Approval", Claims: signing.Claims{Commitments: []signing.Commitment{signing.ProofOfApproval}}}, "either a reason or a commitment type"},
		"reason and policy":     {pades.Options{Reason: "Approval", Claims: signing.Claims{Policy: policy}}, "under a policy has no reason"},
		"a second place":        {pades.Options{Claims: signing.Claims{Place: signing.Place{Country: "EE"}}}, "no signer location"},
		"policy without digest": {pades.Options{Claims: signing.Claims{Policy: &signing.Policy{OID: "1.2.3.4"}}}, "digest of its document"},
		"digest of the wrong length": {
			pades.Options{Claims: signing.Claims{Policy: &signing.Policy{OID: "1.2.3.4", DigestAlgorithm: "SHA-384", Digest: digest}}},
			"has 32 bytes, and one by SHA-384 has 48",
		},
		"policy by URI": {pades.Options{Claims: signing.Claims{Policy: &signing.Policy{URI: "https://policy.example"}}}, "cannot name the policy"},
	} {
		t.Run(name, func(t *testing.T) {
			cred := citizen(t)
			counter := &countingSigner{Signer: cred.Signer}
			cred.Signer = counter
			file := pdfs.Contract()
			_, err := pades.Sign(t.Context(), bytes.NewReader(file), int64(len(file)), io.Discard, cred, row.o)
			var refused *pades.RefusedError
			if !errors.As(err, &refused) || refused.Code != pades.RefusedOption || !strings.Contains(refused.Why, row.why) || refused.Advice == "" {
				t.Errorf("%v", err)
			}
			if counter.calls != 0 {
				t.Error("the key was used")
			}
		})
	}
}
