package attributes_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/attributes"
	"github.com/eidbridge/eidbridge/signing/cms"
)

// TestEncodeIsRead: what is written comes back, in every combination.
func TestEncodeIsRead(t *testing.T) {
	digest := bytes.Repeat([]byte{7}, 32)
	for name, row := range map[string]struct {
		claims signing.Claims
		types  []cms.OID
		want   signing.Signature
	}{
		"nothing": {},
		"commitment": {
			signing.Claims{Commitments: []signing.Commitment{signing.ProofOfSender}},
			[]cms.OID{cms.OIDCommitmentType},
			signing.Signature{Commitments: []signing.Commitment{signing.ProofOfSender}},
		},
		"policy": {
			signing.Claims{Policy: &signing.Policy{OID: "1.2.3", DigestAlgorithm: "SHA-256", Digest: digest}},
			[]cms.OID{cms.OIDSignaturePolicy},
			signing.Signature{Policy: "1.2.3"},
		},
		"all": {
			signing.Claims{
				Commitments: []signing.Commitment{"1.2.3.4"}, Roles: []string{"Õpetaja", "директор"},
				Policy: &signing.Policy{OID: "1.2.3", DigestAlgorithm: "SHA-256", Digest: digest, Document: "https://policy.example/"},
				Place:  signing.Place{Street: "Pikk 1", Locality: "Tallinn", PostalCode: "10123", Country: "EE"},
			},
			[]cms.OID{cms.OIDCommitmentType, cms.OIDSignaturePolicy, cms.OIDSignerLocation, cms.OIDSignerAttributesV2},
			signing.Signature{Policy: "1.2.3", Commitments: []signing.Commitment{"1.2.3.4"}, Roles: []string{"Õpetaja", "директор"}, Location: "10123, Pikk 1, Tallinn, EE"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			written, err := attributes.Encode(row.claims, "CAdES")
			if err != nil || len(written) != len(row.types) {
				t.Fatalf("%d attributes, %v", len(written), err)
			}
			for i, a := range written {
				if a.Type != row.types[i] || len(a.Values) != 1 {
					t.Errorf("attribute %s with %d values", a.Type, len(a.Values))
				}
			}
			var got signing.Signature
			attributes.Read(&cms.SignerInfo{SignedAttributes: written}, &got)
			if got.Policy != row.want.Policy || got.Location != row.want.Location ||
				strings.Join(got.Roles, "|") != strings.Join(row.want.Roles, "|") || len(got.Commitments) != len(row.want.Commitments) ||
				len(got.Commitments) == 1 && got.Commitments[0] != row.want.Commitments[0] {
				t.Errorf("read %+v", got)
			}
		})
	}
}

// TestEncodeRefuses what CMS cannot say, with a way out.
func TestEncodeRefuses(t *testing.T) {
	for name, row := range map[string]struct {
		claims signing.Claims
		why    string
	}{
		"two commitments": {signing.Claims{Commitments: []signing.Commitment{signing.ProofOfOrigin, signing.ProofOfApproval}}, "a PAdES signature has one commitment type"},
		"policy by URI":   {signing.Claims{Policy: &signing.Policy{URI: "https://policy.example/"}}, `cannot name the policy "https://policy.example/"`},
		"unknown digest":  {signing.Claims{Policy: &signing.Policy{OID: "1.2.3", DigestAlgorithm: "MD5", Digest: make([]byte, 16)}}, `a digest by "MD5"`},
		"short digest":    {signing.Claims{Policy: &signing.Policy{OID: "1.2.3", DigestAlgorithm: "SHA-256", Digest: make([]byte, 20)}}, "has 20 bytes, and one by SHA-256 has 32"},
		"no OID":          {signing.Claims{Policy: &signing.Policy{OID: "1.2.x", DigestAlgorithm: "SHA-256", Digest: make([]byte, 32)}}, "cannot be written"},
		"a long role":     {signing.Claims{Roles: []string{strings.Repeat("x", 5000)}}, "cannot be written"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := attributes.Encode(row.claims, "PAdES")
			var refused *signing.RefusedError
			if !errors.As(err, &refused) || refused.Code != signing.RefusedOption || !strings.Contains(refused.Why, row.why) {
				t.Errorf("%v", err)
			}
		})
	}
}
