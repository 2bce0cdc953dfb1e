package saml

import (
	"bufio"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// peer is crewjam/saml in a program of its own, built from testdata/crewjam.
type peer struct {
	ask func(time.Duration) (count int, took time.Duration)
}

func startPeer(b *testing.B, response string) *peer {
	b.Helper()
	program := filepath.Join(b.TempDir(), "crewjam")
	build := exec.CommandContext(b.Context(), "go", "build", "-o", program, ".")
	build.Dir = filepath.Join("testdata", "crewjam")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("building the peer: %v\n%s", err, out)
	}
	key, err := x509.MarshalPKCS8PrivateKey(keysOnce().other.key)
	if err != nil {
		b.Fatal(err)
	}
	metadata := `<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="` + idpID + `"><IDPSSODescriptor protocolSupportEnumeration="` + protocolNS + `"><KeyDescriptor use="signing"><KeyInfo xmlns="` + signatureNS + `"><X509Data><X509Certificate>` +
		keysOnce().idp.base64() + `</X509Certificate></X509Data></KeyInfo></KeyDescriptor><SingleSignOnService Binding="` + BindingRedirect + `" Location="https://idp.example/sso"/></IDPSSODescriptor></EntityDescriptor>`
	task, err := json.Marshal(map[string]any{
		"Response": []byte(response), "Metadata": []byte(metadata), "Key": key, "Entity": spID, "ACS": acs, "RequestID": reqID,
		"NameID": "s00000000:900029365", "Now": testNow,
	})
	if err != nil {
		b.Fatal(err)
	}
	c := exec.CommandContext(b.Context(), program)
	in, err := c.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	problems := &lastWords{}
	c.Stderr = problems
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = in.Close(); _ = c.Wait() })
	if _, err := in.Write(append(task, '\n')); err != nil {
		b.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	return &peer{func(d time.Duration) (int, time.Duration) {
		fmt.Fprintln(in, d.Nanoseconds())
		if !lines.Scan() {
			_ = c.Wait()
			b.Fatalf("peer ended: %s", problems.text)
		}
		var count int
		var took int64
		if _, err := fmt.Sscan(lines.Text(), &count, &took); err != nil {
			b.Fatal(err)
		}
		return count, time.Duration(took)
	}}
}

type lastWords struct{ text []byte }

func (l *lastWords) Write(p []byte) (int, error) { l.text = append(l.text, p...); return len(p), nil }

// BenchmarkBesideCrewjam validates one response by turns here and in crewjam/saml,
// which checks the response, its conditions and its signature, too. "times peer"
// above 1 is faster than the peer.
func BenchmarkBesideCrewjam(b *testing.B) {
	for _, row := range []struct {
		name string
		edit func(*answer, *Expectation)
	}{
		{"signed response and assertion", func(*answer, *Expectation) {}},
		{"signed assertion", func(a *answer, e *Expectation) { a.signR, e.Signed = nil, Coverage{Assertion: true} }},
		{"encrypted assertion, signed inside and outside", func(a *answer, e *Expectation) {
			a.encrypt = &encrypter{to: keysOnce().other, data: gcm128, transport: oaep10, digest: "http://www.w3.org/2000/09/xmldsig#sha1"}
			key, err := NewDecryptionKey(keysOnce().other.key, keysOnce().other.cert)
			if err != nil {
				b.Fatal(err)
			}
			e.Decryption = Decryption{Keys: []DecryptionKey{key}, Required: true}
		}},
	} {
		b.Run(row.name, func(b *testing.B) {
			a, e := goodAnswer(), goodExpectation()
			row.edit(a, &e)
			a.signA.keyInfo = x509Data(keysOnce().idp)
			if a.signR != nil {
				a.signR.keyInfo = x509Data(keysOnce().idp)
			}
			message := a.post()
			other := startPeer(b, message)
			const turn = 100 * time.Millisecond
			other.ask(turn) // what is only done once
			var oursTook, theirsTook time.Duration
			ours, theirs := 0, 0
			for b.Loop() {
				for began := time.Now(); time.Since(began) < turn; ours++ {
					if _, err := ValidateResponse([]byte(message), e); err != nil {
						b.Fatal(err)
					}
				}
				oursTook += turn
				n, took := other.ask(turn)
				theirs, theirsTook = theirs+n, theirsTook+took
			}
			rate := float64(ours) / oursTook.Seconds()
			peerRate := float64(theirs) / theirsTook.Seconds()
			b.ReportMetric(rate, "responses/s")
			b.ReportMetric(peerRate, "peer-responses/s")
			b.ReportMetric(rate/peerRate, "times-peer")
		})
	}
}
