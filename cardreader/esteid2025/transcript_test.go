package esteid2025_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"math/big"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/cardtest"
	"github.com/eidbridge/eidbridge/cardreader/esteid2025"
	"github.com/eidbridge/eidbridge/cardreader/pin"
)

func unhex(s string) []byte {
	raw, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return raw
}

func secret(t testing.TB, digits string) *pin.PIN {
	t.Helper()
	p, err := pin.New([]byte(digits))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Wipe)
	return p
}

func TestDriverReplaysTheRecordedFinnishCards(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, credential, pin, secret string
		model                         esteid2025.Model
		hash                          crypto.Hash
		content                       []byte
	}{
		{"finland4-authentication", "authentication", "PIN1", "1234", esteid2025.Finland4, crypto.SHA384, nil},
		{"finland4-signature", "signature", "PIN2", "123456", esteid2025.Finland4, crypto.SHA384, nil},
		{"finland3-authentication", "authentication", "PIN1", "1234", esteid2025.Finland3, crypto.SHA256, cardtest.SizedCertificate(t, &rsaKey.PublicKey, rsaKey, 0x680)},
		{"finland3-signature", "signature", "PIN2", "123456", esteid2025.Finland3, crypto.SHA256, cardtest.SizedCertificate(t, &ecKey.PublicKey, rsaKey, 0x5CF)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			played := cardtest.ReadTranscript(t, test.name+".txt")
			played.Content = test.content
			recorded := played.Last()
			opened, err := esteid2025.Driver{Model: test.model}.Open(t.Context(), played)
			if err != nil {
				t.Fatal(err)
			}
			card := opened.(cardreader.Selective)
			credential, err := card.Credential(t.Context(), test.credential)
			if err != nil || credential.PIN != test.pin || string(credential.Usage) != test.credential {
				t.Fatalf("Credential = %+v, %v", credential, err)
			}
			if test.content != nil && !bytes.Equal(credential.Certificate.Raw, test.content) {
				t.Error("another certificate")
			}
			if test.content == nil && credential.Certificate.Subject.SerialNumber != "99902038C" {
				t.Errorf("holder %q", credential.Certificate.Subject.SerialNumber)
			}
			status, err := card.PIN(t.Context(), test.pin)
			if err != nil || status.TriesLeft != 5 || status.MustChange {
				t.Errorf("PIN = %+v, %v", status, err)
			}
			digest := map[crypto.Hash][]byte{}
			sum256, sum384 := sha256.Sum256([]byte("Hello world!")), sha512.Sum384([]byte("Hello world!"))
			digest[crypto.SHA256], digest[crypto.SHA384] = sum256[:], sum384[:]
			signature, err := opened.Sign(t.Context(), credential, secret(t, test.secret), test.hash, digest[test.hash])
			if err != nil {
				t.Fatal(err)
			}
			switch public := credential.Certificate.PublicKey.(type) {
			case *ecdsa.PublicKey:
				if test.content == nil && !ecdsa.VerifyASN1(public, digest[test.hash], signature) {
					t.Error("the recorded signature does not verify")
				}
				if got := raw(t, signature, (len(recorded)-2)/2); !bytes.Equal(append(got, 0x90, 0), recorded) {
					t.Errorf("signature %X", got)
				}
			default:
				if !credential.PSS || !bytes.Equal(append(signature, 0x90, 0), recorded) {
					t.Errorf("signature %X", signature)
				}
			}
			if played.Left() != 0 || played.Spared() != 0 {
				t.Errorf("%d lines of the recording were not played, %d selections spared", played.Left(), played.Spared())
			}
		})
	}
}

// raw is r and s of an ECDSA-Sig-Value.
func raw(t testing.TB, der []byte, size int) []byte {
	t.Helper()
	var inner cryptobyte.String
	r, s := new(big.Int), new(big.Int)
	input := cryptobyte.String(der)
	if !input.ReadASN1(&inner, asn1.SEQUENCE) || !inner.ReadASN1Integer(r) || !inner.ReadASN1Integer(s) {
		t.Fatalf("%X is no ECDSA-Sig-Value", der)
	}
	return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
}

func TestMatchesTheAnswerToResetOfItsModelAlone(t *testing.T) {
	answers := map[esteid2025.Model][]string{
		esteid2025.Estonia:  {"3BFF9600008031FE438031B85365494464B085051012233F1D"},
		esteid2025.Finland3: {"3B7F9600008031B865B08504021B1200F6829000"},
		esteid2025.Finland4: {"3B7F9600008031B865B085050011122460829000", "3B7F9600008031B865B085051024122460829000"},
	}
	for model, known := range answers {
		for other := range answers {
			for _, atr := range known {
				if got := (esteid2025.Driver{Model: other}).Matches(unhex(atr)); got != (model == other) {
					t.Errorf("C-10: driver %q with %s: %v", other, atr, got)
				}
			}
		}
	}
	for _, atr := range []string{"", "3B7F96", "3BDB960080B1FE451F830012233F536549440F9000F1", "3B7F9600008031B865B0850500111224608290" + strings.Repeat("00", 30)} {
		for model := range answers {
			if (esteid2025.Driver{Model: model}).Matches(unhex(atr)) {
				t.Errorf("C-10: driver %q takes %s", model, atr)
			}
		}
	}
}

func TestSignRefusesWhatTheKeyIsNotKnownToMake(t *testing.T) {
	played := cardtest.NewTranscript(t, "> 00A4040C0CA000000063504B43532D3135", "< 9000")
	card, err := esteid2025.Driver{Model: esteid2025.Finland3}.Open(t.Context(), played)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha512.Sum384(nil)
	if _, err := card.Sign(t.Context(), cardreader.Credential{ID: "authentication"}, secret(t, "1234"), crypto.SHA384, sum[:]); !errors.Is(err, cardreader.ErrDigest) {
		t.Errorf("SHA-384 with RSASSA-PSS: %v", err)
	}
	if _, err := card.Sign(t.Context(), cardreader.Credential{ID: "signature"}, secret(t, "123456"), crypto.SHA384, sum[:47]); !errors.Is(err, cardreader.ErrDigest) {
		t.Errorf("47 bytes: %v", err)
	}
	if _, err := card.Sign(t.Context(), cardreader.Credential{ID: "other"}, secret(t, "123456"), crypto.SHA384, sum[:]); !errors.Is(err, cardreader.ErrNoCredential) {
		t.Errorf("unknown key: %v", err)
	}
	if _, offers := card.(cardreader.PINChanger); offers {
		t.Error("the Finnish cards' change is not described")
	}
}
