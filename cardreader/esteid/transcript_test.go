package esteid_test

import (
	"bufio"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha512"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/esteid"
	"github.com/eidbridge/eidbridge/cardreader/pin"
)

// transcript is a Transport that plays a recording: the commands must come as
// they were recorded, byte for byte.
type transcript struct {
	t     *testing.T
	lines []string
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
	if len(p.lines) < 2 {
		p.t.Fatalf("command %X after the end of the recording", command)
	}
	if got := "> " + strings.ToUpper(hex.EncodeToString(command)); got != p.lines[0] {
		p.t.Fatalf("command\n%s\nrecorded is\n%s", got, p.lines[0])
	}
	answer := unhex(strings.TrimPrefix(p.lines[1], "< "))
	p.lines = p.lines[2:]
	return answer, nil
}

func TestDriverReplaysTheRecordedCard(t *testing.T) {
	tests := []struct {
		credential, pin, secret string
		usage                   cardreader.Usage
		keyUsageBit             int
		size                    int
	}{
		{"authentication", "PIN1", "1234", cardreader.UsageAuthentication, 0, 1031},
		{"signature", "PIN2", "12345", cardreader.UsageSignature, 1, 1008},
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
			if len(played.lines) != 0 {
				t.Errorf("%d lines of the recording were not played", len(played.lines))
			}
		})
	}
}
