package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/eidbridge/eidbridge/brokers/servertls"
)

// tlsConfig is the section of a broker that speaks https itself; default.toml says what
// each key means.
type tlsConfig struct {
	Certificate        string   `toml:"certificate"`
	Key                string   `toml:"key"`
	Names              []string `toml:"names"`
	ClientCertificates bool     `toml:"client_certificates"`
}

// checkTLS says all that is wrong with the section at a time, with its lines.
func (c config) checkTLS(dir directory, now time.Time) error {
	if c.TLS == nil {
		return nil
	}
	var problems []error
	if issuer, err := url.Parse(c.Issuer); err == nil && issuer.Scheme != "https" {
		problems = append(problems, c.at("issuer", errors.New("with the section tls the issuer is https")))
	}
	if c.TLS.ClientCertificates && c.ClientCertificateHeader != "" {
		problems = append(problems, c.at("tls.client_certificates", errors.New("certificates of clients come from the handshake (client_certificates) or from a proxy (client_certificate_header), never from both")))
	}
	settings, err := c.tlsSettings(dir)
	if err == nil {
		if err = settings.Check(now); err != nil {
			err = c.at("tls.certificate", fmt.Errorf("tls: %w", err))
		}
	}
	return errors.Join(append(problems, err)...)
}

// tlsSettings reads the files of the section. The names are those that the operator
// gave, whatever else the certificate is good for.
func (c config) tlsSettings(dir directory) (servertls.Settings, error) {
	issuer, err := url.Parse(c.Issuer)
	if err != nil {
		return servertls.Settings{}, c.at("issuer", err)
	}
	s := servertls.Settings{AskClients: c.TLS.ClientCertificates, Names: slices.Concat([]string{issuer.Hostname()}, c.TLS.Names)}
	chain, chainErr := c.tlsFile(dir, "certificate", c.TLS.Certificate, os.ReadFile)
	text, keyErr := c.tlsFile(dir, "key", c.TLS.Key, func(path string) ([]byte, error) {
		if _, err := os.Lstat(path); err != nil {
			return nil, err
		}
		return readSecret(path, false, nil)
	})
	defer clear(text)
	if err := errors.Join(chainErr, keyErr); err != nil {
		return s, err
	}
	if s.Certificate, err = tls.X509KeyPair(chain, text); err != nil {
		return s, c.at("tls.certificate", fmt.Errorf("certificate and key: %w", err))
	}
	if c.ClientRoots != "" && s.AskClients {
		if s.ClientRoots, err = certificates(dir, c.ClientRoots); err != nil {
			return s, c.at("client_roots", fmt.Errorf("client_roots: %w", err))
		}
	}
	return s, nil
}

// tlsFile reads a file of the section.
func (c config) tlsFile(dir directory, name, value string, read func(string) ([]byte, error)) (text []byte, err error) {
	if value == "" {
		return nil, c.at("tls."+name, fmt.Errorf("tls: %s: the section has a certificate and its key, each in a file", name))
	}
	if text, err = read(dir.file(value)); err != nil {
		return nil, c.at("tls."+name, fmt.Errorf("tls: %s: %w", name, err))
	}
	return text, nil
}

// secure puts the section to work for handshakes from now on.
func (s *server) secure(c config, now func() time.Time) error {
	if c.TLS == nil {
		return nil
	}
	settings, err := c.tlsSettings(s.dir)
	if err != nil {
		return err
	}
	if s.tls != nil {
		return s.tls.Use(settings)
	}
	if s.tls, err = servertls.New(settings, now); err != nil {
		return err
	}
	return errors.Join(
		s.metrics.Register("eidbroker_tls_refused_names", "Handshakes that meant another name than ours, or none.", func() float64 { return float64(s.tls.Refused()) }),
		s.metrics.Register("eidbroker_tls_failed_handshakes", "Handshakes that came to nothing.", func() float64 { return float64(s.handshakes.Load()) }),
	)
}

// errorLog is where net/http tells what went wrong with connections. Anybody can make any
// number of handshakes fail, each of which would put an address into the log, so those
// are counted and not told.
func errorLog(to *slog.Logger, failed *atomic.Int64) *log.Logger {
	return log.New(&withoutHandshakes{slog.NewLogLogger(to.Handler(), slog.LevelWarn).Writer(), failed}, "", 0)
}

type withoutHandshakes struct {
	to     io.Writer
	failed *atomic.Int64
}

func (w *withoutHandshakes) Write(line []byte) (int, error) {
	if bytes.HasPrefix(line, []byte("http: TLS handshake error")) {
		w.failed.Add(1)
		return len(line), nil
	}
	return w.to.Write(line)
}

// visited is what visitors get. A connection of TLS is for one name.
func (s *server) visited() http.Handler {
	traced := s.tracer.Handler(s.metrics.Observe(s), func(r *http.Request) bool { return s.current.Load().trusted(r) })
	if s.tls == nil {
		return traced
	}
	return servertls.EndResets(servertls.SameName(traced))
}
