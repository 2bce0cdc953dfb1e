package servertls_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/brokers/servertls"
)

// rig is a server for a.example and b.example by one certificate, which is good for
// other.example too, and a clock that both ends go by.
type rig struct {
	*servertls.Server
	settings servertls.Settings
	roots    *x509.CertPool
	address  string
	clock    *brokertest.Clock
}

// certificate makes one that signs itself, valid for thirty days from a time.
func certificate(t *testing.T, from time.Time, usage x509.ExtKeyUsage, names ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: names, NotBefore: from, NotAfter: from.Add(30 * 24 * time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{usage}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func newRig(t *testing.T, set func(*servertls.Settings)) *rig {
	t.Helper()
	r := &rig{clock: brokertest.NewClock(time.Now()), roots: x509.NewCertPool()}
	r.settings = servertls.Settings{
		Certificate: certificate(t, r.clock.Now().Add(-time.Hour), x509.ExtKeyUsageServerAuth, "a.example", "b.example", "other.example"),
		Names:       []string{"a.example", "B.example"},
	}
	if set != nil {
		set(&r.settings)
	}
	r.roots.AddCert(r.settings.Certificate.Leaf)
	var err error
	if r.Server, err = servertls.New(r.settings, r.clock.Now); err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", r.Config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // once
	r.address = l.Addr().String()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn) // until the client has enough
			}()
		}
	}()
	return r
}

// connect has a client shake hands and get a byte back, after which it has its ticket.
func (r *rig) connect(t *testing.T, set func(*tls.Config)) (tls.ConnectionState, error) {
	t.Helper()
	config := &tls.Config{RootCAs: r.roots, ServerName: "a.example", Time: r.clock.Now, MinVersion: tls.VersionTLS10}
	if set != nil {
		set(config)
	}
	conn, err := (&net.Dialer{Timeout: time.Minute}).DialContext(t.Context(), "tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	secured := tls.Client(conn, config)
	if _, err := secured.Write([]byte("x")); err != nil {
		return tls.ConnectionState{}, err
	}
	if _, err := io.ReadFull(secured, make([]byte, 1)); err != nil {
		return tls.ConnectionState{}, err
	}
	return secured.ConnectionState(), nil
}

// W-52: names, protocols, versions and suites that are taken, and what is said to others.
func TestHandshakesMeanOneOfOurNames(t *testing.T) {
	r := newRig(t, nil)
	suites := func(version uint16, ids ...uint16) func(*tls.Config) {
		return func(c *tls.Config) { c.MinVersion, c.MaxVersion, c.CipherSuites = version, version, ids }
	}
	for name, c := range map[string]struct {
		set   func(*tls.Config)
		want  string // of the error; else the connection is made
		proto string
	}{
		"a name":              {nil, "", ""},
		"in capitals":         {func(c *tls.Config) { c.ServerName = "A.Example" }, "", ""},
		"the other name":      {func(c *tls.Config) { c.ServerName = "b.example" }, "", ""},
		"a name of others":    {func(c *tls.Config) { c.ServerName = "evil.example" }, "unrecognized name", ""},
		"one of the document": {func(c *tls.Config) { c.ServerName = "other.example" }, "unrecognized name", ""},
		"a name below":        {func(c *tls.Config) { c.ServerName = "x.a.example" }, "unrecognized name", ""},
		"an address":          {func(c *tls.Config) { c.ServerName = "127.0.0.1" }, "unrecognized name", ""},
		"no name":             {func(c *tls.Config) { c.ServerName, c.InsecureSkipVerify = "", true }, "unrecognized name", ""},
		"no name in 1.2":      {func(c *tls.Config) { c.ServerName, c.InsecureSkipVerify, c.MaxVersion = "", true, tls.VersionTLS12 }, "unrecognized name", ""},

		"h2":                     {func(c *tls.Config) { c.NextProtos = []string{"http/1.1", "h2"} }, "", "h2"},
		"http/1.1":               {func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} }, "", "http/1.1"},
		"http/1.1 among others":  {func(c *tls.Config) { c.NextProtos = []string{"ftp", "http/1.1"} }, "", "http/1.1"},
		"ftp":                    {func(c *tls.Config) { c.NextProtos = []string{"ftp"} }, "no application protocol", ""},
		"imap, pop3 and h3":      {func(c *tls.Config) { c.NextProtos = []string{"imap", "pop3", "h3"} }, "no application protocol", ""},
		"http/1.0":               {func(c *tls.Config) { c.NextProtos = []string{"http/1.0"} }, "no application protocol", ""},
		"smtp in 1.2":            {func(c *tls.Config) { c.NextProtos, c.MaxVersion = []string{"smtp"}, tls.VersionTLS12 }, "no application protocol", ""},
		"a protocol and no name": {func(c *tls.Config) { c.NextProtos, c.ServerName = []string{"h2"}, "evil.example" }, "unrecognized name", ""},

		"1.0":             {suites(tls.VersionTLS10), "protocol version", ""},
		"1.1":             {suites(tls.VersionTLS11), "protocol version", ""},
		"1.2":             {suites(tls.VersionTLS12), "", ""},
		"1.3":             {suites(tls.VersionTLS13), "", ""},
		"1.2 ChaCha20":    {suites(tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256), "", ""},
		"1.2 CBC":         {suites(tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA), "handshake failure", ""},
		"1.2 RSA keys":    {suites(tls.VersionTLS12, tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384), "handshake failure", ""},
		"1.2 RC4 and DES": {suites(tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA), "handshake failure", ""},
	} {
		t.Run(name, func(t *testing.T) {
			state, err := r.connect(t, c.set)
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), "remote error") || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%v, want %s", err, c.want)
			case state.NegotiatedProtocol != c.proto:
				t.Errorf("protocol %q, want %q", state.NegotiatedProtocol, c.proto)
			}
		})
	}
	if r.Refused() != 7 {
		t.Errorf("%d handshakes for others, want 7", r.Refused())
	}
}

// cache gives out the last session for whatever name, as a client would that does not
// care, or that somebody sends elsewhere.
type cache struct{ last *tls.ClientSessionState }

func (c *cache) Get(string) (*tls.ClientSessionState, bool) { return c.last, c.last != nil }

func (c *cache) Put(_ string, s *tls.ClientSessionState) { c.last = s }

// W-52: what a ticket is good for, in both versions.
func TestTicketsResumeWhatTheyAreOf(t *testing.T) {
	client := certificate(t, time.Now().Add(-time.Hour), x509.ExtKeyUsageClientAuth, "portal.example")
	for name, c := range map[string]struct {
		set     func(*servertls.Settings)
		between func(*testing.T, *rig, *tls.Config)
		resumed bool
	}{
		"at once":                       {nil, func(*testing.T, *rig, *tls.Config) {}, true},
		"after eleven hours":            {nil, func(_ *testing.T, r *rig, _ *tls.Config) { r.clock.Add(11 * time.Hour) }, true},
		"after the rotation":            {nil, func(_ *testing.T, r *rig, _ *tls.Config) { r.clock.Add(13 * time.Hour) }, true},
		"after the second":              {nil, func(_ *testing.T, r *rig, _ *tls.Config) { r.clock.Add(25 * time.Hour) }, false},
		"after the second, with visits": {nil, visits, false},
		"the clock was put back":        {nil, func(_ *testing.T, r *rig, _ *tls.Config) { r.clock.Add(-time.Minute) }, false},
		"another name":                  {nil, func(_ *testing.T, _ *rig, c *tls.Config) { c.ServerName = "b.example" }, false},
		"the same settings anew":        {nil, func(t *testing.T, r *rig, _ *tls.Config) { use(t, r, r.settings) }, true},
		"another certificate":           {nil, otherCertificate, false},
		"clients are asked":             {nil, func(t *testing.T, r *rig, _ *tls.Config) { r.settings.AskClients = true; use(t, r, r.settings) }, false},
		"other roots for clients":       {func(s *servertls.Settings) { s.AskClients = true }, otherRoots, false},
		"asked, without a certificate":  {func(s *servertls.Settings) { s.AskClients = true }, func(*testing.T, *rig, *tls.Config) {}, true},
		"with a certificate":            {func(s *servertls.Settings) { s.AskClients = true }, withCertificate(client), false},
		"with another name and the same": {func(s *servertls.Settings) { s.AskClients = true }, func(t *testing.T, r *rig, c *tls.Config) {
			withCertificate(client)(t, r, c)
			c.ServerName = "b.example"
		}, false},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(name+" "+tls.VersionName(version), func(t *testing.T) {
				r := newRig(t, c.set)
				config := &tls.Config{RootCAs: r.roots, ServerName: "a.example", Time: r.clock.Now, MinVersion: version, MaxVersion: version, ClientSessionCache: &cache{}}
				as := func(into *tls.Config) {
					into.ServerName, into.MinVersion, into.MaxVersion, into.ClientSessionCache, into.Certificates = config.ServerName, version, version, config.ClientSessionCache, config.Certificates
				}
				first, err := r.connect(t, as)
				if err != nil || first.DidResume {
					t.Fatalf("the first: %v, resumed %v", err, first.DidResume)
				}
				c.between(t, r, config)
				second, err := r.connect(t, as)
				if err != nil || second.DidResume != c.resumed {
					t.Errorf("the second: %v, resumed %v, want %v", err, second.DidResume, c.resumed)
				}
			})
		}
	}
}

func use(t *testing.T, r *rig, s servertls.Settings) {
	t.Helper()
	if err := r.Use(s); err != nil {
		t.Fatal(err)
	}
}

// visits has somebody come at each rotation, so that each begins in time.
func visits(t *testing.T, r *rig, _ *tls.Config) {
	t.Helper()
	for range 2 {
		r.clock.Add(12*time.Hour + time.Minute)
		if _, err := r.connect(t, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func otherCertificate(t *testing.T, r *rig, _ *tls.Config) {
	t.Helper()
	r.settings.Certificate = certificate(t, r.clock.Now().Add(-time.Hour), x509.ExtKeyUsageServerAuth, "a.example", "b.example")
	r.roots.AddCert(r.settings.Certificate.Leaf)
	use(t, r, r.settings)
}

func otherRoots(t *testing.T, r *rig, _ *tls.Config) {
	t.Helper()
	r.settings.ClientRoots = []*x509.Certificate{certificate(t, r.clock.Now(), x509.ExtKeyUsageClientAuth, "root.example").Leaf}
	use(t, r, r.settings)
}

// withCertificate has the client log in with a certificate, twice, of which the first is
// the session that could be resumed.
func withCertificate(c tls.Certificate) func(*testing.T, *rig, *tls.Config) {
	return func(t *testing.T, r *rig, config *tls.Config) {
		t.Helper()
		config.Certificates, config.ClientSessionCache = []tls.Certificate{c}, &cache{}
		state, err := r.connect(t, func(into *tls.Config) {
			into.MinVersion, into.MaxVersion, into.ClientSessionCache, into.Certificates = config.MinVersion, config.MaxVersion, config.ClientSessionCache, config.Certificates
		})
		if err != nil || state.DidResume || config.ClientSessionCache.(*cache).last == nil {
			t.Fatalf("%v, resumed %v, or no ticket", err, state.DidResume)
		}
	}
}

// Settings that are wrong say why, and the earlier ones go on.
func TestWrongSettingsChangeNothing(t *testing.T) {
	r := newRig(t, nil)
	for name, c := range map[string]struct {
		spoil func(*servertls.Settings)
		want  string
	}{
		"nothing":          {func(s *servertls.Settings) { *s = servertls.Settings{} }, "no certificate"},
		"no name":          {func(s *servertls.Settings) { s.Names = nil }, "no name"},
		"a name of others": {func(s *servertls.Settings) { s.Names = []string{"evil.example"} }, "not for evil.example"},
		"an address":       {func(s *servertls.Settings) { s.Names = []string{"::1"} }, "is an address"},
		"a client's": {func(s *servertls.Settings) {
			s.Certificate = certificate(t, r.clock.Now().Add(-time.Hour), x509.ExtKeyUsageClientAuth, "a.example")
		}, "not for a server"},
		"not yet valid": {func(s *servertls.Settings) {
			s.Certificate = certificate(t, r.clock.Now().Add(time.Hour), x509.ExtKeyUsageServerAuth, "a.example", "b.example")
		}, "not valid before"},
		"no longer valid": {func(s *servertls.Settings) {
			s.Certificate = certificate(t, r.clock.Now().Add(-40*24*time.Hour), x509.ExtKeyUsageServerAuth, "a.example", "b.example")
		}, "was valid until"},
	} {
		s := r.settings
		c.spoil(&s)
		if err := r.Use(s); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		if _, err := r.connect(t, nil); err != nil {
			t.Errorf("%s: afterwards %v", name, err)
		}
	}
}

// W-52: what was agreed for one host does not count for another.
func TestRequestsAreForTheNameOfTheHandshake(t *testing.T) {
	handler := servertls.SameName(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for host, want := range map[string]int{
		"a.example": 200, "A.EXAMPLE": 200, "a.example:8443": 200, "b.example": 421, "a.example.": 421, "": 421, "a.example@b.example": 421, "x.a.example": 421,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host, r.TLS = host, &tls.ConnectionState{ServerName: "a.example"}
		w := httptest.NewRecorder()
		if handler.ServeHTTP(w, r); w.Code != want {
			t.Errorf("%q: %d, want %d", host, w.Code, want)
		}
	}
	w := httptest.NewRecorder()
	if handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil)); w.Code != http.StatusOK {
		t.Errorf("without TLS: %d", w.Code)
	}
}
