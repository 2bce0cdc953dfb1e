// Package servertls is the TLS side of a server that answers for a few names.
//
// What crypto/tls does by default suits a server with one certificate. Here nothing
// is answered that was meant for somebody else (RFC 9325, and ALPACA, Brinkmann et al.
// 2021):
//
//   - TLS 1.2 with an ephemeral key and an AEAD, and 1.3. There is no renegotiation,
//     which crypto/tls never has as a server.
//   - A client says which name it means (RFC 6066 §3), and it is one of ours, or the
//     handshake ends with unrecognized_name. The names are given, not read from the
//     certificate, which may be good for more.
//   - A client that offers protocols (RFC 7301) offers h2 or http/1.1, or the handshake
//     ends with no_application_protocol. One that offers none is taken for http/1.1.
//   - A ticket resumes a session under the same name only, and not after the
//     certificate, the roots for clients, or whether clients are asked for certificates
//     changed: its key is derived from all of these. The secrets behind the keys are
//     random, are replaced every twelve hours, and open tickets for as long again.
//   - A session in which a client showed a certificate is never resumed, so that the
//     client proves anew that it has the key.
//   - A request on a connection is for the name of its handshake ([SameName]).
//   - A connection whose requests are mostly taken back ends ([EndResets]).
//
// Certificates of clients are asked for, not judged: who may be whom is decided where
// requests are authenticated.
package servertls

import (
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// rotation is how long a secret makes tickets; it opens them for as long again.
const rotation = 12 * time.Hour

// Settings are what may change while a server runs.
type Settings struct {
	// Certificate is ours with its key, for all names. Leaf is set.
	Certificate tls.Certificate
	// Names are the host names that clients may mean, without ports, in any case.
	Names []string
	// AskClients asks clients for certificates, of whoever.
	AskClients bool
	// ClientRoots are by which certificates of clients are judged later. Sessions of
	// before they changed are not resumed.
	ClientRoots []*x509.Certificate
}

// Check says what is wrong with settings at a time: a certificate that is not of its
// key, is not valid then, is not for a server or not for a name.
func (s Settings) Check(now time.Time) error {
	leaf := s.Certificate.Leaf
	switch {
	case leaf == nil || len(s.Certificate.Certificate) == 0:
		return errors.New("there is no certificate")
	case len(s.Names) == 0:
		return errors.New("there is no name to answer for")
	}
	var problems []error
	if now.Before(leaf.NotBefore) {
		problems = append(problems, fmt.Errorf("the certificate is not valid before %s", leaf.NotBefore.UTC().Format(time.RFC3339)))
	}
	if now.After(leaf.NotAfter) {
		problems = append(problems, fmt.Errorf("the certificate was valid until %s", leaf.NotAfter.UTC().Format(time.RFC3339)))
	}
	if len(leaf.ExtKeyUsage) > 0 && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth) && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny) {
		problems = append(problems, errors.New("the certificate is not for a server"))
	}
	for _, name := range s.Names {
		switch {
		case net.ParseIP(strings.Trim(name, "[]")) != nil:
			problems = append(problems, fmt.Errorf("%s is an address, which no client names in a handshake", name))
		case leaf.VerifyHostname(name) != nil:
			problems = append(problems, fmt.Errorf("the certificate is not for %s", name))
		}
	}
	return errors.Join(problems...)
}

// Server makes configurations for handshakes. It is safe for concurrent use.
type Server struct {
	now     func() time.Time
	refused atomic.Int64

	mu      sync.Mutex
	current *answers
	// secrets make tickets, the newest first; since is when that one began.
	secrets [][]byte
	since   time.Time
}

// answers are the configurations of one [Settings], by name.
type answers struct {
	settings Settings
	byName   map[string]*tls.Config
}

// New makes a server; now is its clock. Settings that are wrong are an error.
func New(s Settings, now func() time.Time) (*Server, error) {
	server := &Server{now: now}
	if err := server.Use(s); err != nil {
		return nil, err
	}
	return server, nil
}

// Use puts other settings to work, for handshakes from now on. Those that are wrong are
// an error and change nothing.
func (s *Server) Use(settings Settings) error {
	if err := settings.Check(s.now()); err != nil {
		return err
	}
	next := &answers{settings: settings, byName: map[string]*tls.Config{}}
	for _, name := range settings.Names {
		next.byName[strings.ToLower(name)] = settings.config(s.now)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = next
	return s.rekey()
}

// Config is what a listener accepts connections with, now and after any Use.
func (s *Server) Config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, SessionTicketsDisabled: true, GetConfigForClient: s.configFor}
}

// Refused is how many handshakes meant a name that is not ours, or none.
func (s *Server) Refused() int64 { return s.refused.Load() }

// configFor finds the configuration of the name that a client means. Without one of
// ours there is no certificate, which crypto/tls answers by unrecognized_name.
func (s *Server) configFor(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.rotate(); err != nil {
		return nil, err
	}
	if config := s.current.byName[strings.ToLower(hello.ServerName)]; config != nil {
		return config, nil
	}
	s.refused.Add(1)
	return &tls.Config{MinVersion: tls.VersionTLS12, SessionTicketsDisabled: true}, nil
}

// rotate begins another secret when it is time to.
func (s *Server) rotate() error {
	now := s.now()
	age := now.Sub(s.since)
	if age >= 0 && age < rotation {
		return nil
	}
	begins := s.since.Add(rotation)
	s.secrets = s.secrets[:min(len(s.secrets), 1)]
	if age < 0 || age >= 2*rotation { // nothing was served meanwhile, or the clock was put
		s.secrets, begins = nil, now
	}
	secret := make([]byte, sha256.Size)
	if _, err := rand.Read(secret); err != nil {
		return err
	}
	s.secrets, s.since = slices.Insert(s.secrets, 0, secret), begins
	return s.keys()
}

// rekey has the current answers use the secrets.
func (s *Server) rekey() error {
	if len(s.secrets) == 0 {
		return s.rotate()
	}
	return s.keys()
}

// keys derives each name's from the secrets.
func (s *Server) keys() error {
	for name, config := range s.current.byName {
		var keys [][32]byte
		for _, secret := range s.secrets {
			key, err := hkdf.Key(sha256.New, secret, nil, s.current.settings.context(name), 32)
			if err != nil {
				return err
			}
			keys = append(keys, [32]byte(key))
		}
		config.SetSessionTicketKeys(keys)
	}
	return nil
}

// context is what a session belongs to.
func (s Settings) context(name string) string {
	h := sha256.New()
	part := func(label string, data []byte) {
		sum := sha256.Sum256(data)
		_, _ = fmt.Fprintf(h, "%s %x\n", label, sum) // a hash; it cannot fail
	}
	part("name", []byte(name))
	for _, der := range s.Certificate.Certificate {
		part("certificate", der)
	}
	_, _ = fmt.Fprintf(h, "clients %v\n", s.AskClients)
	for _, root := range s.ClientRoots {
		part("root", root.Raw)
	}
	return "eidbridge session tickets " + string(h.Sum(nil))
}

// config is for the handshakes of one name.
func (s Settings) config(now func() time.Time) *tls.Config {
	config := &tls.Config{
		Time: now, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, Certificates: []tls.Certificate{s.Certificate},
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
	}
	if s.AskClients {
		config.ClientAuth = tls.RequestClientCert
	}
	config.WrapSession = func(cs tls.ConnectionState, state *tls.SessionState) ([]byte, error) {
		if len(cs.PeerCertificates) > 0 {
			state.Extra = append(state.Extra, []byte(withCertificate))
		}
		return config.EncryptTicket(cs, state)
	}
	config.UnwrapSession = func(ticket []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
		state, err := config.DecryptTicket(ticket, cs)
		if err != nil || state == nil || slices.ContainsFunc(state.Extra, func(e []byte) bool { return bytes.Equal(e, []byte(withCertificate)) }) {
			return nil, err
		}
		return state, nil
	}
	return config
}

// withCertificate marks sessions in which a client showed one.
const withCertificate = "eidbridge client certificate"

// SameName answers 421 (RFC 9110 §15.5.20) to requests for another host than the
// connection was made for. One certificate may be good for both, so that a browser
// would send both over one connection, and what was agreed for one host would count for
// the other.
func SameName(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if r.TLS != nil && !strings.EqualFold(host, r.TLS.ServerName) {
			http.Error(w, "this connection is for another host", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}
