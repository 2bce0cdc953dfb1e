package saml

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// metadataHost is an https server for idp.example, with a key of its own, that serves a
// document.
func metadataHost(t *testing.T, document string) (*httptest.Server, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"idp.example"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, document) }))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server, certificate
}

// TestMetadataAfterADNSChange: the name of the metadata's server comes to mean
// another machine. Without the key of the name's certificate that machine is not heard;
// even with a certificate that is believed it cannot sign, and what was read before stays
// in force.
func TestMetadataAfterADNSChange(t *testing.T) {
	ours, root := metadataHost(t, signedMetadata(metadataText()))
	// What another would serve: a document that nobody signed, with an endpoint of his.
	stranger, other := metadataHost(t, metadataText())
	for name, row := range map[string]struct {
		believed *x509.CertPool
		reason   Reason
		heard    bool
	}{
		"certificate of nobody":   {pool(root), "", false},
		"certificate of the name": {pool(root, other), ReasonMetadataSignature, true},
	} {
		t.Run(name, func(t *testing.T) {
			now, address, dialled := testNow, ours.Listener.Addr().String(), 0
			source := &MetadataSource{
				URL: "https://idp.example/metadata", Clock: func() time.Time { return now }, Trust: pinned(),
				Client: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
					TLSClientConfig: &tls.Config{RootCAs: row.believed, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true,
					// The resolver: what idp.example means at the moment.
					DialContext: func(ctx context.Context, network, asked string) (net.Conn, error) {
						if asked != "idp.example:443" {
							return nil, errors.New("another name is asked for: " + asked)
						}
						dialled++
						return (&net.Dialer{}).DialContext(ctx, network, address)
					},
				}},
			}
			first, err := source.Entity(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			address, now = stranger.Listener.Addr().String(), now.Add(2*time.Hour)
			if kept, err := source.Entity(t.Context()); err != nil || kept != first {
				t.Errorf("after the change: %v, another copy: %t", err, kept != first)
			}
			if dialled != 2 {
				t.Errorf("%d connections, want one before and one after the change", dialled)
			}
			// Once the old copy has run out there is none.
			now = testNow.Add(25 * time.Hour)
			_, err = source.Entity(t.Context())
			if row.heard && ReasonOf(err) != row.reason || !row.heard && !errors.Is(err, ErrUnavailable) {
				t.Errorf("after the end: %v", err)
			}
		})
	}
}

func pool(certificates ...*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range certificates {
		p.AddCert(c)
	}
	return p
}
