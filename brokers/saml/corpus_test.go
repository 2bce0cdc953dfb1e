package saml

import (
	"bytes"
	"crypto/sha1"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/corpus"
)

// TestCorpusVerdicts judges recorded responses of other projects as their own
// tests do: with the trust setting that the row names.
func TestCorpusVerdicts(t *testing.T) {
	c := corpus.Open(t, func(r corpus.Row) bool { return r["format"] == "saml" })
	dir := c.Folder
	for _, row := range c.Rows {
		t.Run(filepath.Base(row["file"]), func(t *testing.T) {
			message := recorded(t, filepath.Join(dir, row["file"]))
			e := recordedExpectation(t, dir, row["trust setting"], row["note"], row["companions"], message)
			got, err := ValidateResponse(message, e)
			switch want := row["expected indication"]; {
			case want == "ACCEPT" && err != nil:
				t.Errorf("refused: %v", err)
			case want == "REJECT" && err == nil:
				t.Errorf("accepted with identity %q", got.NameID.Value)
			case want == "ACCEPT":
				if name := namedIdentity(row["note"]); name != "" && name != got.NameID.Value {
					t.Errorf("identity = %q, want %q", got.NameID.Value, name)
				}
			}
			if err != nil {
				t.Logf("reason: %v", err)
			}
		})
	}
}

// recorded reads a document that may be wrapped in Base64 and DEFLATE.
func recorded(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("<")) {
		return data
	}
	if data, err = base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(data)), "")); err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(bytes.TrimSpace(data), []byte("<")) {
		if data, err = inflate(data, MessageLimits().Bytes); err != nil {
			t.Fatal(err)
		}
	}
	return data
}

func recordedExpectation(t *testing.T, dir, trust, note, companions string, message []byte) Expectation {
	t.Helper()
	e := Expectation{Lenient: Recorded()}
	e.Lenient.AnyAudience = true
	if clock := regexp.MustCompile(`time (\d{4}-\S+Z)`).FindStringSubmatch(trust); clock != nil {
		at, err := time.Parse(time.RFC3339, clock[1])
		if err != nil {
			t.Fatal(err)
		}
		e.Now = at
	} else {
		e.Lenient.AnyTime = true
	}
	if request := regexp.MustCompile(`InResponseTo ([^\s;]+)`).FindStringSubmatch(trust); request != nil {
		e.RequestID, e.RequestedAt = request[1], time.Unix(1, 0)
		e.Lenient.AnyRequest = false
	}
	for _, companion := range strings.Fields(companions) {
		if companion == "-" {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, "saml", "aux", filepath.Base(companion)))
		if err != nil {
			t.Fatal(err)
		}
		e.Certificates = append(e.Certificates, companionCertificates(t, data)...)
	}
	if len(e.Certificates) == 0 {
		e.Certificates = fingerprinted(message, note)
	}
	return e
}

func companionCertificates(t *testing.T, data []byte) []*x509.Certificate {
	t.Helper()
	if block, _ := pem.Decode(data); block != nil {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		return []*x509.Certificate{c}
	}
	entities, err := ParseMetadata(data, MetadataTrust{AsGiven: true, Loopback: true, Now: time.Unix(1, 0)})
	if err != nil {
		t.Fatal(err)
	}
	var found []*x509.Certificate
	for _, entity := range entities {
		found = append(found, entity.Signing...)
	}
	return found
}

// fingerprinted takes the certificate that the row names by its SHA-1 out of the
// message; without a fingerprint in the row, the first one.
func fingerprinted(message []byte, note string) []*x509.Certificate {
	want := regexp.MustCompile(`[0-9a-f]{40}`).FindString(note)
	for _, m := range regexp.MustCompile(`X509Certificate>([^<]+)<`).FindAllSubmatch(message, -1) {
		der, err := decodeBase64(string(m[1]))
		if err != nil {
			continue
		}
		digest := sha1.Sum(der)
		if want != "" && hex.EncodeToString(digest[:]) != want {
			continue
		}
		if c, err := x509.ParseCertificate(der); err == nil {
			return []*x509.Certificate{c}
		}
	}
	return []*x509.Certificate{keysOnce().idp.cert}
}

// namedIdentity is the NameID that a row's note tells.
func namedIdentity(note string) string {
	if m := regexp.MustCompile(`NameID (?:must be read as )?([^\s;]+)`).FindStringSubmatch(note); m != nil {
		return m[1]
	}
	return ""
}
