package provider

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// PeerCertificate is the certificate that the client showed in the TLS handshake
// with us, or nil.
func PeerCertificate(r *http.Request) *x509.Certificate {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil
	}
	return r.TLS.PeerCertificates[0]
}

// ForwardedCertificate reads the certificate from the header that a proxy sets
// after the handshake: "Client-Cert" as RFC 9440 has it, or URL-encoded PEM as
// nginx writes $ssl_client_escaped_cert. From any other peer the header is
// nothing (O-51).
func ForwardedCertificate(header string, proxies []netip.Prefix) func(*http.Request) *x509.Certificate {
	return func(r *http.Request) *x509.Certificate {
		values := r.Header.Values(header)
		peer, err := netip.ParseAddrPort(r.RemoteAddr)
		if len(values) != 1 || len(values[0]) > maxJWT || err != nil ||
			!slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(peer.Addr().Unmap()) }) {
			return nil
		}
		certificate, err := x509.ParseCertificate(forwardedDER(values[0]))
		if err != nil {
			return nil
		}
		return certificate
	}
}

func forwardedDER(text string) []byte {
	if inner, ok := strings.CutPrefix(text, ":"); ok {
		der, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(inner, ":"))
		if err != nil {
			return nil
		}
		return der
	}
	decoded, err := url.PathUnescape(text)
	if err != nil {
		return nil
	}
	block, _ := pem.Decode([]byte(decoded))
	if block == nil {
		return nil
	}
	return block.Bytes
}

// checkCertificate authenticates a client by its certificate (RFC 8705 2): one
// of our roots with the registered name, or one whose key is registered.
func (p *Provider) checkCertificate(r *http.Request, c *Client) *oauthError {
	certificate, now := p.cfg.ClientCertificate(r), p.cfg.Now()
	switch {
	case certificate == nil:
		return invalidClient("certificate_missing")
	case now.Before(certificate.NotBefore) || now.After(certificate.NotAfter):
		return invalidClient("certificate_time")
	}
	if c.Auth == AuthSelfSignedTLS {
		if keys, _ := p.keysOf(r.Context(), c, false); hasKey(keys, certificate.PublicKey) {
			return nil
		}
		if keys, ok := p.keysOf(r.Context(), c, true); ok && hasKey(keys, certificate.PublicKey) {
			return nil
		}
		return invalidClient("certificate_unregistered")
	}
	if p.cfg.ClientRoots == nil {
		return invalidClient("certificate_roots")
	}
	_, err := certificate.Verify(x509.VerifyOptions{
		Roots: p.cfg.ClientRoots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	switch {
	case err != nil:
		return invalidClient("certificate_untrusted")
	case c.TLSSubject != "" && certificate.Subject.String() == c.TLSSubject,
		c.TLSName != "" && slices.Contains(certificate.DNSNames, c.TLSName):
		return nil
	}
	return invalidClient("certificate_name")
}

func hasKey(keys []jose.JSONWebKey, public crypto.PublicKey) bool {
	for _, key := range keys {
		if known, ok := key.Key.(interface{ Equal(crypto.PublicKey) bool }); ok && known.Equal(public) {
			return true
		}
	}
	return false
}

// certificateBinding names a certificate (RFC 8705 3.1).
func certificateBinding(certificate *x509.Certificate) string {
	sum := sha256.Sum256(certificate.Raw)
	return boundByCertificate + base64.RawURLEncoding.EncodeToString(sum[:])
}
