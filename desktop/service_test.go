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
	"errors"
	"fmt"
	"io"
	"math/big"
	"sync"
	"testing"
	"testing/synctest"
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
	asked    int // PIN entries
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
	return s.cards.key.private.Sign(random, digest, opts)
}

// fakeDocument signs its hash and nothing more.
type fakeDocument struct {
	name        string
	describeErr error
	signErr     error
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
	return desktop.Signed{Name: d.name, Data: signature, Algorithm: "ECDSA with SHA-256"}, nil
}

// fakePrompter answers at once, or when released.
type fakePrompter struct {
	mu       sync.Mutex
	err      error // answer to everything
	hold     bool  // wait for ctx
	consents []desktop.Consent
	lastTry  int
	open     int
	most     int // questions at the same time
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

func TestDoSignsAfterConsentAndLeavesOneEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		s, err := b.Do(t.Context(), request("contract.pdf"))
		if err != nil {
			t.Fatal(err)
		}
		if s.State != desktop.StateDone || len(s.Signed) != 1 || s.Signed[0].N != 1 || s.Certificate != b.cards.key.certificate {
			t.Errorf("snapshot is %+v", s)
		}
		shown := b.prompter.consents[0]
		if shown.Document.Name != "contract.pdf" || shown.Holder.Name != "JAAK-KRISTJAN JÕEORG" ||
			shown.Holder.Number != "PNOEE-••••••••718" || shown.TriesLeft != 3 || shown.PIN != "PIN2" || shown.Timeout != 2*time.Minute {
			t.Errorf("consent is %+v", shown)
		}
		e := b.journal.only(t)
		if e.Outcome != desktop.StateDone || e.Code != "" || e.Documents[0].Name != "contract.pdf" ||
			e.Door != desktop.DoorCommandLine || e.Credential[:11] != "J. J., EE, " {
			t.Errorf("entry is %+v", e)
		}
	})
}

func TestStatesComeInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.cards.findErr = cardreader.ErrNoCard
		r := request("a.pdf")
		r.CardWait = time.Minute
		s, err := b.Submit(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		var states []desktop.State
		go func() {
			time.Sleep(10 * time.Second) // of the bubble's clock
			b.cards.set(func() { b.cards.findErr = nil })
		}()
		for {
			states = append(states, s.State)
			if s.State.Final() {
				break
			}
			if s, err = b.Wait(t.Context(), s.ID, s.Seq); err != nil {
				t.Fatal(err)
			}
		}
		// A reader of states may miss some that were short, never see a wrong order.
		at := -1
		for _, s := range states {
			next := indexOf(desktop.States(), s)
			if next < at {
				t.Errorf("states are %v", states)
			}
			at = next
		}
		if states[len(states)-1] != desktop.StateDone || states[0] != desktop.StateCreated {
			t.Errorf("states are %v", states)
		}
	})
}

func indexOf(states []desktop.State, s desktop.State) int {
	for i, x := range states {
		if x == s {
			return i
		}
	}
	return -1
}

func TestMayBecomeIsTheDrawing(t *testing.T) {
	order := []desktop.State{
		desktop.StateCreated, desktop.StateWaitingDocuments, desktop.StateWaitingCard, desktop.StateWaitingConsent,
		desktop.StateWaitingPIN, desktop.StateSigning, desktop.StateDone,
	}
	for _, from := range desktop.States() {
		for _, to := range desktop.States() {
			i, j := indexOf(order, from), indexOf(order, to)
			want := !from.Final() && (j < 0 || j == i+1 || i == 0 && j == 2)
			if got := from.MayBecome(to); got != want {
				t.Errorf("%s may become %s: %v, want %v", from, to, got, want)
			}
		}
	}
}

func TestOutcomes(t *testing.T) {
	for _, row := range []struct {
		name    string
		arrange func(*testing.T, *bench, *desktop.Request)
		state   desktop.State
		code    desktop.Code
	}{
		{"no service", func(_ *testing.T, b *bench, _ *desktop.Request) { b.cards.findErr = cardreader.ErrNoService }, desktop.StateFailed, desktop.CodeNoReader},
		{"no reader", func(_ *testing.T, b *bench, _ *desktop.Request) { b.cards.findErr = cardreader.ErrNoReader }, desktop.StateFailed, desktop.CodeNoReader},
		{"no card", func(_ *testing.T, b *bench, _ *desktop.Request) { b.cards.findErr = cardreader.ErrNoCard }, desktop.StateFailed, desktop.CodeNoCard},
		{"no card after waiting", func(_ *testing.T, b *bench, r *desktop.Request) {
			b.cards.findErr, r.CardWait = cardreader.ErrNoCard, time.Minute
		}, desktop.StateFailed, desktop.CodeNoCard},
		{"unknown card", func(_ *testing.T, b *bench, _ *desktop.Request) { b.cards.findErr = cardreader.ErrCardUnsupported }, desktop.StateFailed, desktop.CodeCardUnsupported},
		{"several cards (C-59)", func(_ *testing.T, b *bench, _ *desktop.Request) { b.cards.findErr = &cardreader.AmbiguousError{} }, desktop.StateFailed, desktop.CodeNoCertificate},
		{"declined", func(_ *testing.T, b *bench, _ *desktop.Request) { b.prompter.err = desktop.ErrDeclined }, desktop.StateDeclined, desktop.CodeUserDeclined},
		{"prompt timed out", func(_ *testing.T, b *bench, _ *desktop.Request) { b.prompter.err = desktop.ErrTimeout }, desktop.StateExpired, desktop.CodeUserTimeout},
		{"request timed out", func(_ *testing.T, b *bench, r *desktop.Request) { b.prompter.hold, r.ExpiresIn = true, time.Minute }, desktop.StateExpired, desktop.CodeUserTimeout},
		{"no prompt", func(_ *testing.T, b *bench, _ *desktop.Request) { b.prompter.err = desktop.ErrNoPrompt }, desktop.StateFailed, desktop.CodeInternal},
		{"wrong PIN", func(_ *testing.T, b *bench, _ *desktop.Request) {
			b.cards.signErr = &cardreader.PINError{Reason: cardreader.PINWrong, PIN: "PIN2", TriesLeft: 2}
		}, desktop.StateFailed, desktop.CodePINWrong},
		{"blocked PIN (C-42)", func(_ *testing.T, b *bench, _ *desktop.Request) {
			b.cards.signErr = &cardreader.PINError{Reason: cardreader.PINBlocked, PIN: "PIN2"}
		}, desktop.StateFailed, desktop.CodePINBlocked},
		{"card removed", func(_ *testing.T, b *bench, _ *desktop.Request) { b.cards.signErr = cardreader.ErrCardRemoved }, desktop.StateFailed, desktop.CodeCardRemoved},
		{"expired certificate (P-55)", func(t *testing.T, b *bench, _ *desktop.Request) {
			b.cards.key = newKey(t, time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC))
		}, desktop.StateFailed, desktop.CodeCertificateExpired},
		{"unreadable document", func(_ *testing.T, _ *bench, r *desktop.Request) {
			r.Documents = []desktop.Document{fakeDocument{describeErr: errors.New("disk")}}
		}, desktop.StateFailed, desktop.CodeInternal},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				r := request("a.pdf")
				row.arrange(t, b, &r)
				s, err := b.Do(t.Context(), r)
				if err == nil || s.State != row.state || s.Code != row.code || s.Signed != nil {
					t.Errorf("state %s, code %s, error %v", s.State, s.Code, err)
				}
				if e := b.journal.only(t); e.Outcome != row.state || e.Code != row.code {
					t.Errorf("entry is %+v", e)
				}
				// C-33: never more entries than were made by hand.
				if b.cards.asked > 1 || len(b.cards.verified) > 1 {
					t.Errorf("asked %d times, verified %d times", b.cards.asked, len(b.cards.verified))
				}
			})
		})
	}
}

// C-41: the last try needs its own yes, which no door can skip.
func TestLastTryIsAskedForFirst(t *testing.T) {
	b := newBench(t)
	b.cards.tries = 1
	if _, err := b.Do(t.Context(), request("a.pdf")); err != nil {
		t.Fatal(err)
	}
	if b.prompter.lastTry != 1 {
		t.Errorf("last try asked %d times", b.prompter.lastTry)
	}
	b.prompter.err = desktop.ErrDeclined
	if s, err := b.Do(t.Context(), request("b.pdf")); !errors.Is(err, desktop.ErrDeclined) || s.State != desktop.StateDeclined {
		t.Errorf("got %v, %v", s.State, err)
	}
	if len(b.prompter.consents) != 1 {
		t.Error("PIN was asked for after a no")
	}
}

// C-60: a cancelled request ends at once, and what the card still makes is thrown
// away.
func TestCancelTakesTheQuestionAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.prompter.hold = true
		s, err := b.Submit(t.Context(), request("a.pdf"))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if now, _ := b.Snapshot(s.ID); now.State != desktop.StateWaitingPIN || *now.Detail.TriesLeft != 3 {
			t.Errorf("state is %+v", now)
		}
		if err := b.Cancel(s.ID); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		now, err := b.Snapshot(s.ID)
		if err != nil || now.State != desktop.StateCancelled || now.Code != "" {
			t.Errorf("snapshot is %+v, %v", now, err)
		}
		if b.prompter.open != 0 {
			t.Error("the question is still there")
		}
		if e := b.journal.only(t); e.Outcome != desktop.StateCancelled {
			t.Errorf("entry is %+v", e)
		}
		if err := b.Cancel(s.ID); err != nil {
			t.Errorf("second cancel: %v", err)
		}
	})
}

// L-35: one request an origin, three in all, one question at a time.
func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.prompter.hold = true
		submit := func(o string) error { _, err := b.Submit(t.Context(), from(t, o)); return err }
		busy := func(err error) bool { _, ok := errors.AsType[*desktop.BusyError](err); return ok }
		if err := submit("https://a.es"); err != nil {
			t.Fatal(err)
		}
		if err := submit("https://a.es"); !busy(err) {
			t.Errorf("second of the same origin: %v", err)
		}
		for _, o := range []string{"https://b.es", "https://c.es"} {
			if err := submit(o); err != nil {
				t.Fatal(err)
			}
		}
		if err := submit("https://d.es"); !busy(err) {
			t.Errorf("fourth: %v", err)
		}
		synctest.Wait()
		if b.prompter.most != 1 {
			t.Errorf("%d questions at once", b.prompter.most)
		}
		if err := b.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(b.journal.entries) != 3 {
			t.Errorf("%d entries", len(b.journal.entries))
		}
		if err := submit("https://e.es"); !busy(err) {
			t.Errorf("after Close: %v", err)
		}
	})
}

// L-35: after three refusals an origin is not heard for ten minutes.
func TestRefusedOriginIsKeptQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.prompter.err = desktop.ErrDeclined
		for range 3 {
			if _, err := b.Do(t.Context(), from(t, "https://pushy.es")); !errors.Is(err, desktop.ErrDeclined) {
				t.Fatal(err)
			}
		}
		_, err := b.Do(t.Context(), from(t, "https://pushy.es"))
		if busy, ok := errors.AsType[*desktop.BusyError](err); !ok || busy.RetryAfter < 9*time.Minute {
			t.Errorf("got %v", err)
		}
		pairing := desktop.PairingQuestion{Origin: from(t, "https://pushy.es").Origin}
		if err := b.AskPairing(t.Context(), pairing); err == nil || errors.Is(err, desktop.ErrDeclined) {
			t.Errorf("pairing: %v", err)
		}
		if _, err := b.Do(t.Context(), from(t, "https://polite.es")); !errors.Is(err, desktop.ErrDeclined) {
			t.Errorf("another origin: %v", err)
		}
		b.prompter.err = nil
		time.Sleep(11 * time.Minute)
		if _, err := b.Do(t.Context(), from(t, "https://pushy.es")); err != nil {
			t.Errorf("after ten minutes: %v", err)
		}
	})
}

func TestFinishedRequestsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		first, err := b.Do(t.Context(), request("a.pdf"))
		if err != nil {
			t.Fatal(err)
		}
		for range 16 {
			if _, err := b.Do(t.Context(), request("b.pdf")); err != nil {
				t.Fatal(err)
			}
		}
		last, err := b.Do(t.Context(), request("c.pdf"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Snapshot(first.ID); !errors.Is(err, desktop.ErrUnknownRequest) {
			t.Errorf("first: %v", err)
		}
		time.Sleep(11 * time.Minute)
		if _, err := b.Do(t.Context(), request("d.pdf")); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Snapshot(last.ID); !errors.Is(err, desktop.ErrUnknownRequest) {
			t.Errorf("last: %v", err)
		}
	})
}

func TestSubmitRefusesWhatMakesNoSense(t *testing.T) {
	b := newBench(t)
	for name, spoil := range map[string]func(*desktop.Request){
		"kind":          func(r *desktop.Request) { r.Kind = "authenticate" },
		"no document":   func(r *desktop.Request) { r.Documents = nil },
		"two documents": func(r *desktop.Request) { r.Documents = append(r.Documents, r.Documents[0]) },
		"format":        func(r *desktop.Request) { r.Output.Format = "xades" },
		"baseline":      func(r *desktop.Request) { r.Output.Baseline = signing.BaselineT },
	} {
		r := request("a.pdf")
		spoil(&r)
		if _, err := b.Submit(t.Context(), r); !errors.Is(err, desktop.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(b.journal.entries) != 0 {
		t.Error("refused requests are in the journal")
	}
}

func TestHolderOf(t *testing.T) {
	k := newKey(t, time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	h := desktop.HolderOf(k.certificate)
	if h.Name != "JAAK-KRISTJAN JÕEORG" || h.Number != "PNOEE-••••••••718" || h.Initials != "J. J." || h.Country != "EE" || h.Qualified {
		t.Errorf("holder is %+v", h)
	}
	plain := *k.certificate
	plain.Subject = pkix.Name{CommonName: "JÕEORG,JAAK-KRISTJAN,38001085718", SerialNumber: "12345"}
	if h := desktop.HolderOf(&plain); h.Name != "JÕEORG,JAAK-KRISTJAN,•••••••••••" || h.Number != "•••••" {
		t.Errorf("holder is %+v", h)
	}
}

// The statements of EN 319 412-5: compliance 1, device 4, type 6 with eSign 6.1
// or eSeal 6.2.
func TestQualifiedMeansComplianceDeviceAndSignatures(t *testing.T) {
	statement := func(arc int, info ...asn1.RawValue) []byte {
		type s struct {
			ID   asn1.ObjectIdentifier
			Info []asn1.RawValue `asn1:"optional,omitempty"`
		}
		der, err := asn1.Marshal(s{asn1.ObjectIdentifier{0, 4, 0, 1862, 1, arc}, info})
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	kind := func(arc int) asn1.RawValue {
		der, err := asn1.Marshal(asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 6, arc})
		if err != nil {
			t.Fatal(err)
		}
		return asn1.RawValue{FullBytes: der}
	}
	for _, row := range []struct {
		name       string
		statements [][]byte
		want       bool
	}{
		{"all", [][]byte{statement(1), statement(4), statement(6, kind(1))}, true},
		{"no type", [][]byte{statement(1), statement(4)}, true},
		{"seal", [][]byte{statement(1), statement(4), statement(6, kind(2))}, false},
		{"no device", [][]byte{statement(1), statement(6, kind(1))}, false},
		{"not qualified", [][]byte{statement(4), statement(6, kind(1))}, false},
		{"garbage", [][]byte{{0x30, 0x80}}, false},
		{"none", nil, false},
	} {
		var body []byte
		for _, s := range row.statements {
			body = append(body, s...)
		}
		der, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagSequence, IsCompound: true, Bytes: body})
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{KeyUsage: x509.KeyUsageContentCommitment, Extensions: []pkix.Extension{
			{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 3}, Value: der},
		}}
		if got := desktop.HolderOf(c).Qualified; got != row.want {
			t.Errorf("%s: %v, want %v", row.name, got, row.want)
		}
		c.KeyUsage = x509.KeyUsageDigitalSignature
		if desktop.HolderOf(c).Qualified {
			t.Errorf("%s: qualified without content commitment", row.name)
		}
	}
}
