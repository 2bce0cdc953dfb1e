package esteid_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/cardtest"
	"github.com/eidbridge/eidbridge/cardreader/esteid"
	"github.com/eidbridge/eidbridge/cardreader/pin"
)

func TestDriverReplaysTheRecordedCard(t *testing.T) {
	tests := []struct {
		credential, pin, secret string
		usage                   cardreader.Usage
		keyUsageBit             int
		size                    int
		left                    int // selections that the driver knows to spare
	}{
		{"authentication", "PIN1", "1234", cardreader.UsageAuthentication, 0, 1031, 0},
		{"signature", "PIN2", "12345", cardreader.UsageSignature, 1, 1008, 1},
	}
	for _, test := range tests {
		t.Run(test.credential, func(t *testing.T) {
			played := cardtest.ReadTranscript(t, "recorded-"+test.credential+".txt")
			opened, err := esteid.Driver{}.Open(t.Context(), played)
			if err != nil {
				t.Fatal(err)
			}
			card := opened.(cardreader.Selective)
			credential, err := card.Credential(t.Context(), test.credential)
			if err != nil {
				t.Fatal(err)
			}
			certificate := credential.Certificate
			if credential.Usage != test.usage || credential.PIN != test.pin || len(certificate.Raw) != test.size ||
				certificate.Subject.SerialNumber != "PNOEE-38001085718" || certificate.KeyUsage>>test.keyUsageBit&1 != 1 {
				t.Errorf("credential %q: %q, %q, %d bytes, serial number %q", credential.ID, credential.Usage,
					credential.PIN, len(certificate.Raw), certificate.Subject.SerialNumber)
			}
			status, err := card.PIN(t.Context(), test.pin)
			if err != nil || status.TriesLeft != 3 || status.TriesMax != 3 || status.ID != test.pin {
				t.Errorf("PIN = %+v, %v", status, err)
			}
			secret, err := pin.New([]byte(test.secret))
			if err != nil {
				t.Fatal(err)
			}
			defer secret.Wipe()
			digest := sha512.Sum384([]byte("Hello world!"))
			signature, err := opened.Sign(t.Context(), credential, secret, crypto.SHA384, digest[:])
			if err != nil {
				t.Fatal(err)
			}
			if !ecdsa.VerifyASN1(certificate.PublicKey.(*ecdsa.PublicKey), digest[:], signature) {
				t.Error("the recorded signature does not verify")
			}
			if played.Left() != 0 || played.Spared() != test.left {
				t.Errorf("%d lines of the recording were not played, %d selections spared", played.Left(), played.Spared())
			}
		})
	}
}

func TestDriverReplaysTheRecordedLatvianCard(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		credential, pin, secret string
		size, left              int
	}{
		{"authentication", "PIN1", "1234", 0x6C5, 1},
		{"signature", "PIN2", "123456", 0x84C, 3},
	}
	for _, test := range tests {
		t.Run(test.credential, func(t *testing.T) {
			played := cardtest.ReadTranscript(t, "latvia-"+test.credential+".txt")
			played.Content = cardtest.SizedCertificate(t, &key.PublicKey, key, test.size)
			recorded := played.Last()
			opened, err := esteid.Driver{Country: esteid.Latvia}.Open(t.Context(), played)
			if err != nil {
				t.Fatal(err)
			}
			card := opened.(cardreader.Selective)
			credential, err := card.Credential(t.Context(), test.credential)
			if err != nil || !bytes.Equal(credential.Certificate.Raw, played.Content) || credential.PIN != test.pin {
				t.Fatalf("Credential = %+v, %v", credential, err)
			}
			status, err := card.PIN(t.Context(), test.pin)
			if err != nil || status.TriesLeft != 3 {
				t.Errorf("PIN = %+v, %v", status, err)
			}
			digest := sha256.Sum256([]byte("Hello world!"))
			signature, err := opened.Sign(t.Context(), credential, secret(t, test.secret), crypto.SHA256, digest[:])
			if err != nil || !bytes.Equal(append(signature, 0x90, 0), recorded) {
				t.Errorf("Sign = %X, %v", signature, err)
			}
			if played.Left() != 0 || played.Spared() != test.left {
				t.Errorf("%d lines of the recording were not played, %d selections spared", played.Left(), played.Spared())
			}
		})
	}
}

// The keys of the Latvian card are bound to what its algorithm numbers say.
func TestLatvianSignatureKeySignsSHA256Alone(t *testing.T) {
	played := cardtest.NewTranscript(t, "> 00A4040C10A000000077010800070000FE00000100", "< 9000")
	card, err := esteid.Driver{Country: esteid.Latvia}.Open(t.Context(), played)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha512.Sum384(nil)
	_, err = card.Sign(t.Context(), cardreader.Credential{ID: "signature"}, secret(t, "123456"), crypto.SHA384, sum[:])
	if !errors.Is(err, cardreader.ErrDigest) {
		t.Errorf("Sign = %v, want ErrDigest", err)
	}
}
