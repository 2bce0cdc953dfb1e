package validation

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/revocation"
)

func year(y int) time.Time { return time.Date(y, 6, 1, 0, 0, 0, 0, time.UTC) }

// TestAlgorithmsAreJudgedAtTheirTime is the table of TS 119 312 v1.5.1.
func TestAlgorithmsAreJudgedAtTheirTime(t *testing.T) {
	key := func(bits uint) *x509.Certificate {
		return &x509.Certificate{PublicKey: &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), bits-1), E: 65537}}
	}
	for _, row := range []struct {
		name   string
		c      *x509.Certificate
		digest crypto.Hash
		at     int
		ok     bool
	}{
		{"SHA-1 in 2011", key(4096), crypto.SHA1, 2011, true},
		{"SHA-1 in 2013", key(4096), crypto.SHA1, 2013, false},
		{"MD5 in 2005", key(4096), crypto.MD5, 2005, false},
		{"SHA-224 in 2026", key(4096), crypto.SHA224, 2026, true},
		{"SHA-224 in 2030", key(4096), crypto.SHA224, 2030, false},
		{"SHA-256 in 2060", key(4096), crypto.SHA256, 2060, true},
		{"RSA-1024 in 2014", key(1024), crypto.SHA256, 2014, true},
		{"RSA-1024 in 2020", key(1024), crypto.SHA256, 2020, false},
		{"RSA-2048 in 2026", key(2048), crypto.SHA256, 2026, true},
		{"RSA-2048 in 2030", key(2048), crypto.SHA256, 2030, false},
	} {
		var out signing.Signature
		Accept(&out, row.c, Proof{Best: year(row.at)}, row.digest)
		if ok := out.Indication == ""; ok != row.ok || !ok && out.SubIndication != signing.CryptoConstraintsFailureNoPOE {
			t.Errorf("%s: %s/%s", row.name, out.Indication, out.SubIndication)
		}
	}
}

func TestKeyUsageIsJudged(t *testing.T) {
	var out signing.Signature
	Accept(&out, &x509.Certificate{KeyUsage: x509.KeyUsageKeyEncipherment}, Proof{Best: year(2026)})
	if out.SubIndication != signing.ChainConstraintsFailure {
		t.Errorf("%s/%s", out.Indication, out.SubIndication)
	}
}

// What could not be collected is told to portals and in logs: whose it is, without the
// number that Estonian common names end with (I-5).
func TestMissingValidationDataNamesNoNumber(t *testing.T) {
	const number = "60001019906"
	c := &x509.Certificate{Subject: pkix.Name{
		CommonName: "MÄNNIK,MARI-LIIS," + number,
		Names:      []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 5}, Value: "PNOEE-" + number}},
	}}
	_, err := Collect(t.Context(), &signing.Services{}, []Chain{{Certificate: c}})
	if !errors.Is(err, signing.ErrUnreached) || !strings.Contains(err.Error(), "MARI-LIIS") || strings.Contains(err.Error(), number) {
		t.Errorf("Collect = %v", err)
	}
}

// TestProofsOnlyMakeTheTimeEarlier (EN 319 102-1 5.5.4).
func TestProofsOnlyMakeTheTimeEarlier(t *testing.T) {
	earlier := year(2020)
	p := Begin(signing.VerifyOptions{Time: year(2026)})
	if p.Timed || !p.Best.Equal(year(2026)) {
		t.Errorf("without a proof: %+v", p)
	}
	p.Before(year(2030))
	if !p.Timed || !p.Best.Equal(year(2026)) {
		t.Errorf("a later proof: %+v", p)
	}
	p.Before(year(2022))
	if !p.Best.Equal(year(2022)) {
		t.Errorf("an earlier proof: %+v", p)
	}
	if p := Begin(signing.VerifyOptions{Time: year(2026), Existed: &earlier}); !p.Timed || !p.Best.Equal(earlier) {
		t.Errorf("a proof from outside: %+v", p)
	}
}

// TestTimeMarkNamesTheSignature: DigestInfo or the bare digest of the value, and
// nothing else.
func TestTimeMarkNamesTheSignature(t *testing.T) {
	value := []byte("a signature value")
	sum := sha256.Sum256(value)
	info, err := hex.DecodeString("3031300d060960864801650304020105000420")
	if err != nil {
		t.Fatal(err)
	}
	info = append(info, sum[:]...)
	for name, row := range map[string]struct {
		nonce []byte
		ok    bool
	}{
		"DigestInfo": {info, true}, "digest": {sum[:], true}, "nothing": {nil, false}, "the value": {value, false},
		"cut": {info[:len(info)-1], false}, "more": {append(info[:len(info):len(info)], 0), false},
	} {
		if marks(row.nonce, value) != row.ok {
			t.Errorf("%s: %t", name, !row.ok)
		}
	}
	if marks(info, []byte("another value")) {
		t.Error("it marks another signature")
	}
}

func TestConcludeWantsWordOfRevocation(t *testing.T) {
	for _, row := range []struct {
		without, answered bool
		want              signing.Indication
	}{{false, true, signing.TotalPassed}, {true, false, signing.TotalPassed}, {false, false, signing.Indeterminate}} {
		var out signing.Signature
		New(signing.VerifyOptions{WithoutRevocation: row.without}, revocation.Material{}).Conclude(&out, row.answered)
		if out.Indication != row.want {
			t.Errorf("%+v: %s/%s", row, out.Indication, out.SubIndication)
		}
	}
}
