package localapi_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"io"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/pin"
	"github.com/eidbridge/eidbridge/desktop"
	"github.com/eidbridge/eidbridge/desktop/localapi"
	"github.com/eidbridge/eidbridge/desktop/origins"
	"github.com/eidbridge/eidbridge/fixtures/pdfs"
)

const (
	bank   = "https://bank.es"
	lab    = "http://localhost:8180" // the developer origin
	canary = "90817263"
)

// prompter answers for the person.
type prompter struct {
	mu       sync.Mutex
	err      error
	hold     chan struct{} // when set, questions wait for it or ctx
	pairings []desktop.PairingQuestion
	consents []desktop.Consent
}

func (p *prompter) answer(ctx context.Context) error {
	p.mu.Lock()
	err, hold := p.err, p.hold
	p.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}

func (p *prompter) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

func (p *prompter) PIN(ctx context.Context, c desktop.Consent) (*pin.PIN, error) {
	p.set(func() { p.consents = append(p.consents, c) })
	if err := p.answer(ctx); err != nil {
		return nil, err
	}
	return pin.New([]byte(canary))
}

func (p *prompter) LastTry(ctx context.Context, _ desktop.Consent) error { return p.answer(ctx) }

func (p *prompter) Pairing(ctx context.Context, q desktop.PairingQuestion) error {
	p.set(func() { p.pairings = append(p.pairings, q) })
	return p.answer(ctx)
}

// softCard is a card with one software key.
type softCard struct {
	selected    []cardreader.Selection
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
	mu          sync.Mutex
	err         error
}

func (c *softCard) Find(_ context.Context, s cardreader.Selection) (*cardreader.Found, error) {
	c.selected = append(c.selected, s)
	return &cardreader.Found{Credential: cardreader.Credential{
		Usage: s.Usage, PIN: "PIN2", Certificate: c.certificate,
	}}, nil
}

func (c *softCard) Signer(ctx context.Context, f *cardreader.Found, source cardreader.PINSource) crypto.Signer {
	return softSigner{ctx, c, f, source}
}

type softSigner struct {
	ctx    context.Context
	card   *softCard
	found  *cardreader.Found
	source cardreader.PINSource
}

func (s softSigner) Public() crypto.PublicKey { return s.card.key.Public() }

func (s softSigner) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	secret, err := s.source.PIN(s.ctx, cardreader.PINRequest{
		Credential: s.found.Credential, Status: cardreader.PINStatus{ID: "PIN2", TriesLeft: 3},
	})
	if err != nil {
		return nil, err
	}
	defer secret.Wipe()
	s.card.mu.Lock()
	defer s.card.mu.Unlock()
	if s.card.err != nil {
		return nil, s.card.err
	}
	return s.card.key.Sign(random, digest, opts)
}

type journal struct {
	mu      sync.Mutex
	entries []desktop.Entry
}

func (j *journal) Append(e desktop.Entry) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, e)
	return nil
}

// asked waits for the first question about a pairing, which is put after the page has its
// answer, and tells how many there are.
func (p *prompter) asked(t *testing.T) (n int) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); ; <-tick.C {
		if p.set(func() { n = len(p.pairings) }); n > 0 {
			return n
		}
		if time.Now().After(deadline) {
			t.Fatal("nobody was asked")
		}
	}
}

// holds waits until there are n entries: a page hears of the end of a request before
// the journal does. It returns a copy of all that there are.
func (j *journal) holds(t *testing.T, n int) []desktop.Entry {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); ; <-tick.C {
		j.mu.Lock()
		entries := slices.Clone(j.entries)
		j.mu.Unlock()
		if len(entries) >= n {
			return entries
		}
		if time.Now().After(deadline) {
			t.Fatalf("journal has %d entries, want %d", len(entries), n)
		}
	}
}

// bench is a door with everything behind it.
type bench struct {
	t        *testing.T
	port     int
	prompter *prompter
	card     *softCard
	journal  *journal
	store    *origins.Store
	// stop ends the door and waits for it.
	stop func()
}

func newBench(t *testing.T) *bench {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		Subject: pkix.Name{CommonName: "Mari-Liis", SerialNumber: "PNOEE-60001019906", Country: []string{"EE"}},
		Issuer:  pkix.Name{CommonName: "Lab"}, KeyUsage: x509.KeyUsageContentCommitment,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, prompter: &prompter{}, card: &softCard{key: key, certificate: certificate}, journal: &journal{}}
	service, err := desktop.New(desktop.Config{
		Cards: b.card, Prompter: b.prompter, Journal: b.journal, Now: time.Now, Random: rand.Reader,
	})
	if err != nil {
		t.Fatal(err)
	}
	b.store, err = origins.Open(filepath.Join(t.TempDir(), "pairings.json"), time.Now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	developer, err := origins.Parse(lab)
	if err != nil {
		t.Fatal(err)
	}
	listeners, port, err := localapi.Listen(t.Context(), []int{0})
	if err != nil {
		t.Fatal(err)
	}
	b.port = port
	door, err := localapi.New(localapi.Config{
		Service: service, Store: b.store, Rules: origins.Rules{Developer: []origins.Origin{developer}},
		Version: "test", Now: time.Now, Random: rand.Reader,
	}, port)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- door.Serve(ctx, listeners) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(func() {
		b.stop()
		if err := service.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return b
}

// token pairs an origin without the page.
func (b *bench) token(origin string, scopes ...origins.Scope) string {
	b.t.Helper()
	o, err := origins.Parse(origin)
	if err != nil {
		b.t.Fatal(err)
	}
	_, token, err := b.store.Approve("pairing-of-"+o.Host(), o, "Test", scopes)
	if err != nil {
		b.t.Fatal(err)
	}
	return token
}

// message is one HTTP request as a browser or an attacker would send it.
type message struct {
	method, path, host string
	header             map[string]string
	body               string
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) code() string {
	var p struct{ Code string }
	_ = json.Unmarshal(a.body, &p)
	return p.Code
}

func (a answer) into(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
}

func (b *bench) send(m message) answer {
	b.t.Helper()
	return b.sendContext(b.t.Context(), m)
}

func (b *bench) sendContext(ctx context.Context, m message) answer {
	b.t.Helper()
	r, err := http.NewRequestWithContext(ctx, m.method, "http://"+b.addr()+m.path, strings.NewReader(m.body))
	if err != nil {
		b.t.Fatal(err)
	}
	if m.host != "" {
		r.Host = m.host
	}
	for name, value := range m.header {
		r.Header.Set(name, value)
	}
	client := &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{DisableKeepAlives: true},
	}
	response, err := client.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return answer{}
		}
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, body}
}

// raw sends bytes and returns the first line and everything.
func (b *bench) raw(text string) string {
	b.t.Helper()
	conn, err := net.Dial("tcp", b.addr())
	if err != nil {
		b.t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		b.t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		b.t.Fatal(err)
	}
	answer, _ := io.ReadAll(conn)
	return string(answer)
}

func (b *bench) addr() string { return "127.0.0.1:" + strconv.Itoa(b.port) }

// page is what a browser sends for fetch() from a page of origin.
func page(origin, token string) map[string]string {
	h := map[string]string{
		"Origin": origin, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty",
	}
	if token != "" {
		h["Authorization"] = "Bearer " + token
	}
	return h
}

// with adds headers to those of a page; an empty value removes one.
func with(h map[string]string, pairs ...string) map[string]string {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			delete(h, pairs[i])
		} else {
			h[pairs[i]] = pairs[i+1]
		}
	}
	return h
}

// signBody is a good request object.
func signBody() string {
	return signBodyOf(pdfs.Classic(), "contract.pdf")
}

func signBodyOf(document []byte, name string) string {
	sum := sha256.Sum256(document)
	body, _ := json.Marshal(map[string]any{
		"kind": "sign", "expires_in": 60, "locale": "nl",
		"sign": map[string]any{
			"documents": []any{map[string]any{
				"n": 1, "name": name, "media_type": "application/pdf", "size": len(document),
				"digest":  map[string]any{"alg": "SHA-256", "value": base64.RawURLEncoding.EncodeToString(sum[:])},
				"content": "inline", "data": base64.RawURLEncoding.EncodeToString(document),
			}},
			"output": map[string]any{"format": "pades", "level": "B-B"},
		},
		"display": map[string]any{"purpose": "Rental contract", "reference": "2026/17", "colour": "blue"},
	})
	return string(body)
}

func (b *bench) submit(token, key, body string) answer {
	b.t.Helper()
	return b.send(message{method: "POST", path: "/v1/requests", body: body, header: with(page(bank, token),
		"Content-Type", "application/json", "Idempotency-Key", key)})
}

// final polls a request to its end.
func (b *bench) final(token, id string) map[string]any {
	b.t.Helper()
	seq := 0
	for range 50 {
		a := b.send(message{
			method: "GET", path: "/v1/requests/" + id + "?wait=5&seq=" + strconv.Itoa(seq), header: page(bank, token),
		})
		var v map[string]any
		a.into(b.t, &v)
		if a.status != http.StatusOK {
			b.t.Fatalf("status %d: %s", a.status, a.body)
		}
		switch v["state"] {
		case "done", "declined", "cancelled", "expired", "failed":
			return v
		}
		seq = int(v["seq"].(float64))
	}
	b.t.Fatal("request does not end")
	return nil
}

// decided polls a pairing until the person has answered and the answer is on the disk,
// which may take longer than one look waits. The answer hands out the token.
func (b *bench) decided(origin, id string) answer {
	b.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		a := b.send(message{method: "GET", path: "/v1/pairings/" + id + "?wait=5", header: page(origin, "")})
		var v struct{ State string }
		a.into(b.t, &v)
		if v.State != "pending" {
			return a
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("nobody decides: %s", a.body)
		}
	}
}

func id(t *testing.T, a answer) string {
	t.Helper()
	var v struct{ ID string }
	a.into(t, &v)
	if v.ID == "" {
		t.Fatalf("no id: %d %s", a.status, a.body)
	}
	return v.ID
}

func contains(haystack []byte, needle string) bool { return bytes.Contains(haystack, []byte(needle)) }

func (p *prompter) Approve(context.Context, desktop.Consent) error { return desktop.ErrNoPrompt }

func (p *prompter) Secret(context.Context, desktop.SecretQuestion) (*pin.PIN, error) {
	return nil, desktop.ErrNoPrompt
}

func (p *prompter) Confirm(context.Context, desktop.Confirmation) error { return desktop.ErrNoPrompt }
