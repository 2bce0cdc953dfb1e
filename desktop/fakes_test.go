package desktop_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"io"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/pin"
	"github.com/eidbridge/eidbridge/desktop"
	"github.com/eidbridge/eidbridge/desktop/origins"
	"github.com/eidbridge/eidbridge/signing"
)

// canary is the PIN of the tests (threats I-5).
const canary = "90817263"

// key is a citizen's credential in software.
type key struct {
	private     *ecdsa.PrivateKey
	certificate *x509.Certificate
}

func newKey(t testing.TB, notAfter time.Time) key {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: notAfter.AddDate(-5, 0, 0), NotAfter: notAfter,
		Subject: pkix.Name{
			CommonName: "JÕEORG,JAAK-KRISTJAN,38001085718", SerialNumber: "PNOEE-38001085718", Country: []string{"EE"},
			ExtraNames: []pkix.AttributeTypeAndValue{
				{Type: asn1.ObjectIdentifier{2, 5, 4, 4}, Value: "JÕEORG"},
				{Type: asn1.ObjectIdentifier{2, 5, 4, 42}, Value: "JAAK-KRISTJAN"},
			},
		},
		KeyUsage: x509.KeyUsageContentCommitment,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key{private, certificate}
}

// fakeCards is a reader with one card; fields may be changed between calls.
type fakeCards struct {
	mu       sync.Mutex
	key      key
	findErr  error
	tries    int
	signErr  error
	asked    int    // PIN entries
	then     func() // after each signature
	verified []string
}

func (c *fakeCards) set(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

func (c *fakeCards) Find(_ context.Context, s cardreader.Selection) (*cardreader.Found, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.findErr != nil {
		return nil, c.findErr
	}
	if s.Usage != cardreader.UsageSignature {
		return nil, cardreader.ErrNoCredential
	}
	return &cardreader.Found{
		Inserted:   cardreader.Inserted{Reader: cardreader.Reader{Name: "Fake"}, Info: cardreader.Info{Family: "Fake card"}},
		Credential: cardreader.Credential{Usage: s.Usage, PIN: "PIN2", Certificate: c.key.certificate},
	}, nil
}

func (c *fakeCards) Signer(ctx context.Context, f *cardreader.Found, source cardreader.PINSource) crypto.Signer {
	return &fakeSigner{ctx, c, f, source}
}

type fakeSigner struct {
	ctx    context.Context
	cards  *fakeCards
	found  *cardreader.Found
	source cardreader.PINSource
}

func (s *fakeSigner) Public() crypto.PublicKey { return s.cards.key.private.Public() }

func (s *fakeSigner) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	s.cards.mu.Lock()
	status := cardreader.PINStatus{ID: "PIN2", TriesLeft: s.cards.tries, MinLength: 5, MaxLength: 12}
	s.cards.asked++
	s.cards.mu.Unlock()
	secret, err := s.source.PIN(s.ctx, cardreader.PINRequest{
		Card: s.found.Inserted.Info, Reader: "Fake", Credential: s.found.Credential, Status: status,
	})
	if err != nil {
		return nil, fmt.Errorf("entering PIN2: %w", err)
	}
	defer secret.Wipe()
	s.cards.mu.Lock()
	defer s.cards.mu.Unlock()
	_ = secret.Use(func(b []byte) error { s.cards.verified = append(s.cards.verified, string(b)); return nil })
	if s.cards.signErr != nil {
		return nil, s.cards.signErr
	}
	if s.cards.then != nil {
		defer s.cards.then()
	}
	return s.cards.key.private.Sign(random, digest, opts)
}

// fakeDocument signs its hash and nothing more.
type fakeDocument struct {
	name        string
	describeErr error
	signErr     error
	takes       time.Duration // to sign it
	then        func()        // what happens when it is signed
}

func (d fakeDocument) Describe(context.Context) (desktop.Description, error) {
	return desktop.Description{Name: d.name, MediaType: desktop.MediaTypePDF, Size: 4, SHA256: sha256.Sum256([]byte(d.name))}, d.describeErr
}

func (d fakeDocument) Sign(_ context.Context, shown desktop.Description, c signing.Credential, _ desktop.Output) (desktop.Signed, error) {
	if d.signErr != nil {
		return desktop.Signed{}, d.signErr
	}
	signature, err := c.Signer.Sign(rand.Reader, shown.SHA256[:], crypto.SHA256)
	if err != nil {
		return desktop.Signed{}, err
	}
	time.Sleep(d.takes) // of a synctest bubble, where it is not 0
	if d.then != nil {
		d.then()
	}
	return desktop.Signed{Name: d.name, Data: signature, Algorithm: "ECDSA with SHA-256"}, nil
}

// fakePrompter answers at once, or when released.
type fakePrompter struct {
	mu       sync.Mutex
	err      error // answer to everything
	hold     bool  // wait for ctx
	consents []desktop.Consent
	// secrets and confirmed are questions, entries the answers to the former.
	secrets   []desktop.SecretQuestion
	confirmed []desktop.Confirmation
	entries   []string
	lastTry   int
	open      int
	most      int // questions at the same time
}

func (p *fakePrompter) question(ctx context.Context) error {
	p.mu.Lock()
	p.open++
	p.most = max(p.most, p.open)
	err, hold := p.err, p.hold
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.open--
		p.mu.Unlock()
	}()
	if hold {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

func (p *fakePrompter) PIN(ctx context.Context, c desktop.Consent) (*pin.PIN, error) {
	p.mu.Lock()
	p.consents = append(p.consents, c)
	p.mu.Unlock()
	if err := p.question(ctx); err != nil {
		return nil, err
	}
	return pin.New([]byte(canary))
}

func (p *fakePrompter) LastTry(ctx context.Context, _ desktop.Consent) error {
	p.mu.Lock()
	p.lastTry++
	p.mu.Unlock()
	return p.question(ctx)
}

func (p *fakePrompter) Pairing(ctx context.Context, _ desktop.PairingQuestion) error {
	return p.question(ctx)
}

func (p *fakePrompter) Approve(ctx context.Context, c desktop.Consent) error {
	p.mu.Lock()
	p.consents = append(p.consents, c)
	p.mu.Unlock()
	return p.question(ctx)
}

func (p *fakePrompter) Secret(ctx context.Context, q desktop.SecretQuestion) (*pin.PIN, error) {
	p.mu.Lock()
	p.secrets = append(p.secrets, q)
	entry := canary
	if len(p.entries) > 0 {
		entry, p.entries = p.entries[0], p.entries[1:]
	}
	p.mu.Unlock()
	if err := p.question(ctx); err != nil {
		return nil, err
	}
	return pin.New([]byte(entry))
}

func (p *fakePrompter) Confirm(ctx context.Context, q desktop.Confirmation) error {
	p.mu.Lock()
	p.confirmed = append(p.confirmed, q)
	p.mu.Unlock()
	return p.question(ctx)
}

// fakeJournal keeps entries.
type fakeJournal struct {
	mu      sync.Mutex
	entries []desktop.Entry
}

func (j *fakeJournal) Append(e desktop.Entry) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, e)
	return nil
}

func (j *fakeJournal) only(t *testing.T) desktop.Entry {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.entries) != 1 {
		t.Fatalf("journal has %d entries: %+v", len(j.entries), j.entries)
	}
	return j.entries[0]
}

type bench struct {
	*desktop.Service
	cards    *fakeCards
	prompter *fakePrompter
	journal  *fakeJournal
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{
		cards:    &fakeCards{key: newKey(t, time.Now().AddDate(3, 0, 0)), tries: 3},
		prompter: &fakePrompter{}, journal: &fakeJournal{},
	}
	s, err := desktop.New(desktop.Config{
		Cards: b.cards, Prompter: b.prompter, Journal: b.journal, Now: time.Now, Random: rand.Reader,
	})
	if err != nil {
		t.Fatal(err)
	}
	b.Service = s
	return b
}

func request(name string) desktop.Request {
	return desktop.Request{
		Door: desktop.DoorCommandLine, Kind: desktop.KindSign, Documents: []desktop.Document{fakeDocument{name: name}},
		Output: desktop.Output{Format: signing.PAdES, Baseline: signing.BaselineB},
	}
}

func from(t testing.TB, o string) desktop.Request {
	t.Helper()
	r := request("page.pdf")
	r.Door = desktop.DoorLocalAPI
	var err error
	if r.Origin, err = origins.Parse(o); err != nil {
		t.Fatal(err)
	}
	return r
}
