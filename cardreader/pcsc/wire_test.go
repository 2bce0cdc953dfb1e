//go:build cgo

package pcsc_test

import (
	"context"
	"crypto"
	"crypto/sha256"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/cardtest"
	"github.com/eidbridge/eidbridge/cardreader/pcsc"
	"github.com/eidbridge/eidbridge/fixtures/cards"
	"github.com/eidbridge/eidbridge/fixtures/pcscd"
	"github.com/eidbridge/eidbridge/fixtures/pki"
)

// wire is what went over the line to a card.
type wire struct{ commands, sent, received int }

func (w wire) minus(o wire) wire {
	return wire{w.commands - o.commands, w.sent - o.sent, w.received - o.received}
}

// crossed counts what the card saw so far.
func crossed(t testing.TB, stack *pcscd.Stack) wire {
	t.Helper()
	var w wire
	for _, e := range exchanges(t, stack) {
		if e.Command == "" {
			continue
		}
		w.commands++
		// Two characters a byte; hidden digits are two dots.
		w.sent += utf8.RuneCountInString(e.Command) / 2
		w.received += utf8.RuneCountInString(e.Response) / 2
	}
	return w
}

// measured runs work b.N times and reports commands, bytes and time of one.
func measured(b *testing.B, stack *pcscd.Stack, work func() error) {
	b.Helper()
	before := crossed(b, stack)
	began := time.Now()
	n := 0
	for b.Loop() {
		if err := work(); err != nil {
			b.Fatal(err)
		}
		n++
	}
	elapsed := time.Since(began)
	w := crossed(b, stack).minus(before)
	b.ReportMetric(float64(w.commands)/float64(n), "commands/op")
	b.ReportMetric(float64(w.sent)/float64(n), "B-sent/op")
	b.ReportMetric(float64(w.received)/float64(n), "B-received/op")
	b.ReportMetric(float64(elapsed.Milliseconds())/float64(n), "ms/op")
	b.ReportMetric(0, "ns/op")
}

// timed is the list of drivers as a program has it, which knows the time.
func timed() *cardreader.Cards {
	c := everyDriver()
	c.Now = time.Now
	return c
}

// rsaHolder is a citizen whose keys OpenSC can use on a PKCS #15 card.
func rsaHolder(b *testing.B, country *pki.Country) cards.Spec {
	b.Helper()
	for _, p := range pki.Persons() {
		if p.NIF == "" {
			continue
		}
		spec, err := cards.Describe(country, cards.KindPKCS15, p, cards.Honest)
		if err != nil {
			b.Fatal(err)
		}
		return spec
	}
	b.Fatal("no citizen with RSA keys")
	return cards.Spec{}
}

// BenchmarkSignature counts what a signature costs on the wire: cold, from a
// program that just started, and warm, the next one. Beside it OpenSC makes the
// same signature with the same card, where it knows the card.
func BenchmarkSignature(b *testing.B) {
	country, err := pki.New(pki.Options{})
	if err != nil {
		b.Fatal(err)
	}
	peer := newPeer(b)
	tests := []struct {
		name   string
		spec   cards.Spec
		entry  string
		opensc string // arguments of pkcs11-tool; empty for a card that 0.23 does not know
	}{
		{
			"EstEID2018", describe(b, country, cards.KindEstEID, cards.Honest), "12345",
			"--slot-index 1 --login --pin 12345 --sign -m ECDSA-SHA256 --id 02",
		},
		{"EstEID2025", describe(b, country, cards.KindEstEID2025, cards.Honest), "12345", ""},
		{
			"PKCS15", rsaHolder(b, country), "1234",
			"--login --pin 1234 --sign -m SHA256-RSA-PKCS --id 02",
		},
	}
	stack := start(b, pcscd.Options{})
	digest := sha256.Sum256([]byte("a document"))
	for _, test := range tests {
		insert(b, stack, test.spec)
		sign := func(c *cardreader.Cards, found *cardreader.Found) error {
			_, err := c.Signer(context.Background(), found, cardtest.Typed(test.entry)).Sign(nil, digest[:], crypto.SHA256)
			return err
		}
		find := func(c *cardreader.Cards) (*cardreader.Found, error) {
			return c.Find(context.Background(), cardreader.Selection{Usage: cardreader.UsageSignature})
		}
		b.Run(test.name+"/cold", func(b *testing.B) {
			measured(b, stack, func() error {
				c := timed()
				found, err := find(c)
				if err != nil {
					return err
				}
				return sign(c, found)
			})
		})
		b.Run(test.name+"/warm", func(b *testing.B) {
			c := timed()
			found, err := find(c)
			if err != nil {
				b.Fatal(err)
			}
			measured(b, stack, func() error { return sign(c, found) })
		})
		if test.opensc != "" {
			b.Run(test.name+"/cold-OpenSC", func(b *testing.B) {
				if peer == nil {
					b.Skip("pkcs11-tool of the package opensc is not installed")
				}
				measured(b, stack, func() error { return peer.run(stack, test.opensc) })
			})
		}
		if err := stack.Remove(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// peer is OpenSC's PKCS #11 module and its tool.
type peer struct{ dir string }

func newPeer(b *testing.B) *peer {
	b.Helper()
	if _, err := exec.LookPath("pkcs11-tool"); err != nil {
		return nil
	}
	p := &peer{dir: b.TempDir()}
	for name, content := range map[string]string{
		"opensc.conf": "app default { framework pkcs15 { use_file_caching = no; } }\n", "data": "a document",
	} {
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte(content), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	return p
}

func (p *peer) run(stack *pcscd.Stack, arguments string) error {
	command := exec.Command("pkcs11-tool", append(strings.Fields(arguments), "-i", "data", "-o", "signature")...)
	command.Dir = p.dir
	command.Env = append(append(os.Environ(), stack.Env()...), "OPENSC_CONF="+filepath.Join(p.dir, "opensc.conf"))
	out, err := command.CombinedOutput()
	if err != nil {
		return errors.Join(err, errors.New(string(out)))
	}
	return nil
}

// BenchmarkRecognition times how long a card takes to be recognised and listed,
// and how that compares with sending as many commands in a bare loop: the ratio
// does not depend on the machine.
func BenchmarkRecognition(b *testing.B) {
	country, err := pki.New(pki.Options{})
	if err != nil {
		b.Fatal(err)
	}
	stack := start(b, pcscd.Options{})
	insert(b, stack, describe(b, country, cards.KindEstEID, cards.Honest))
	ctx := context.Background()
	c := everyDriver()
	listed := func() error {
		slots, err := c.List(ctx)
		if err == nil && (slots[0].Err != nil || len(slots[0].Credentials) != 2) {
			err = errors.Join(slots[0].Err, errors.New("certificates are missing"))
		}
		return err
	}
	recognised := func() error {
		readers, err := c.Service.Readers(ctx)
		if err != nil {
			return err
		}
		for _, d := range c.Drivers {
			if !d.Matches(readers[0].ATR) {
				continue
			}
			conn, err := c.Service.Connect(ctx, readers[0].Name)
			if err != nil {
				return err
			}
			_, err = d.Open(ctx, conn)
			return errors.Join(err, conn.Close(false))
		}
		return cardreader.ErrCardUnsupported
	}
	for name, work := range map[string]func() error{"recognised": recognised, "listed": listed} {
		b.Run(name, func(b *testing.B) {
			before := crossed(b, stack)
			began := time.Now()
			n := 0
			for b.Loop() {
				if err := work(); err != nil {
					b.Fatal(err)
				}
				n++
			}
			each := time.Since(began) / time.Duration(n)
			commands := crossed(b, stack).minus(before).commands / n
			began = time.Now()
			for range n {
				if err := bare(ctx, commands); err != nil {
					b.Fatal(err)
				}
			}
			loop := time.Since(began) / time.Duration(n)
			b.ReportMetric(float64(commands), "commands/op")
			b.ReportMetric(float64(each.Microseconds())/1000, "ms/op")
			b.ReportMetric(float64(loop.Microseconds())/1000, "bare-ms/op")
			b.ReportMetric(float64(each)/float64(loop), "ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// bare connects and sends the same command some times: the first of every
// operation on the Estonian card.
func bare(ctx context.Context, commands int) error {
	conn, err := pcsc.New().Connect(ctx, pcscd.Readers()[0])
	if err != nil {
		return err
	}
	for range commands {
		if _, err := conn.Transmit(ctx, []byte("\x00\xA4\x04\x0C\x10\xA0\x00\x00\x00\x77\x01\x08\x00\x07\x00\x00\xFE\x00\x00\x01\x00")); err != nil {
			return errors.Join(err, conn.Close(false))
		}
	}
	return conn.Close(false)
}
