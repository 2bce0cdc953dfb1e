package esteid_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/esteid"
	"github.com/eidbridge/eidbridge/cardreader/pin"
)

// transcript is a Transport that plays a recording: the commands must come as
// they were recorded, byte for byte. One thing may be left out and is counted:
// selecting the application that is selected.
type transcript struct {
	t     *testing.T
	lines []string
	// content takes the place of file content that the recording leaves out.
	content []byte
	at      string
	left    int
}

func readTranscript(t *testing.T, name string) *transcript {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	played := &transcript{t: t}
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		if line := strings.TrimSpace(scanner.Text()); line != "" && line[0] != '#' {
			played.lines = append(played.lines, line)
		}
	}
	return played
}

func (p *transcript) Transmit(_ context.Context, command []byte) ([]byte, error) {
	p.t.Helper()
	got := "> " + strings.ToUpper(hex.EncodeToString(command))
	for len(p.lines) >= 2 && got != p.lines[0] && p.lines[0] == p.at {
		p.lines = p.lines[2:]
		p.left++
	}
	if len(p.lines) < 2 {
		p.t.Fatalf("command %X after the end of the recording", command)
	}
	if got != p.lines[0] {
		p.t.Fatalf("command\n%s\nrecorded is\n%s", got, p.lines[0])
	}
	if strings.HasPrefix(got, "> 00A4040C") {
		p.at = got
	}
	text := strings.TrimPrefix(p.lines[1], "< ")
	p.lines = p.lines[2:]
	var n int
	if _, err := fmt.Sscanf(text, "(%d certificate bytes) 9000", &n); err == nil {
		offset := int(command[2])<<8 | int(command[3])
		return append(bytes.Clone(p.content[offset:offset+n]), 0x90, 0), nil
	}
	return unhex(text), nil
}

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
			played := readTranscript(t, "recorded-"+test.credential+".txt")
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
			if len(played.lines) != 0 || played.left != test.left {
				t.Errorf("%d lines of the recording were not played, %d selections spared", len(played.lines), played.left)
			}
		})
	}
}

// rsaCertificate is a DER certificate of exactly size bytes.
func rsaCertificate(t testing.TB, size int) []byte {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for padding := size - 800; padding < size; {
		template := &x509.Certificate{
			SerialNumber:    big.NewInt(1),
			ExtraExtensions: []pkix.Extension{{Id: []int{1, 2, 3}, Value: make([]byte, padding)}},
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		if len(der) == size {
			return der
		}
		padding += size - len(der)
	}
	t.Fatalf("no certificate of %d bytes", size)
	return nil
}

func TestDriverReplaysTheRecordedLatvianCard(t *testing.T) {
	tests := []struct {
		credential, pin, secret string
		size, left              int
	}{
		{"authentication", "PIN1", "1234", 0x6C5, 1},
		{"signature", "PIN2", "123456", 0x84C, 3},
	}
	for _, test := range tests {
		t.Run(test.credential, func(t *testing.T) {
			played := readTranscript(t, "latvia-"+test.credential+".txt")
			played.content = rsaCertificate(t, test.size)
			recorded := unhex(strings.TrimPrefix(played.lines[len(played.lines)-1], "< "))
			opened, err := esteid.Driver{Country: esteid.Latvia}.Open(t.Context(), played)
			if err != nil {
				t.Fatal(err)
			}
			card := opened.(cardreader.Selective)
			credential, err := card.Credential(t.Context(), test.credential)
			if err != nil || !bytes.Equal(credential.Certificate.Raw, played.content) || credential.PIN != test.pin {
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
			if len(played.lines) != 0 || played.left != test.left {
				t.Errorf("%d lines of the recording were not played, %d selections spared", len(played.lines), played.left)
			}
		})
	}
}

// The keys of the Latvian card are bound to what its algorithm numbers say.
func TestLatvianSignatureKeySignsSHA256Alone(t *testing.T) {
	played := &transcript{t: t, lines: []string{"> 00A4040C10A000000077010800070000FE00000100", "< 9000"}}
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
