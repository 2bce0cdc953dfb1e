//go:build cgo

package pcsc_test

import (
	"context"
	"crypto"
	"crypto/rand"
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
	"github.com/eidbridge/eidbridge/cardreader/apdu"
	"github.com/eidbridge/eidbridge/cardreader/cardtest"
	"github.com/eidbridge/eidbridge/cardreader/dnie"
	"github.com/eidbridge/eidbridge/cardreader/pcsc"
	"github.com/eidbridge/eidbridge/fixtures/cards"
	"github.com/eidbridge/eidbridge/fixtures/holders"
	"github.com/eidbridge/eidbridge/fixtures/needs"
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

// measured runs work b.N times, reports commands, bytes and time of one, and
// returns how many commands one takes.
func measured(b *testing.B, stack *pcscd.Stack, work func() error) float64 {
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
	commands := float64(w.commands) / float64(n)
	b.ReportMetric(commands, "commands/op")
	b.ReportMetric(float64(w.sent)/float64(n), "B-sent/op")
	b.ReportMetric(float64(w.received)/float64(n), "B-received/op")
	b.ReportMetric(float64(elapsed.Milliseconds())/float64(n), "ms/op")
	b.ReportMetric(0, "ns/op")
	return commands
}

// BenchmarkSignature counts what a signature costs on the wire: cold, from a
// program that just started, and warm, the next one. Beside it OpenSC makes the
// same signature with the same card, where it knows the card.
func BenchmarkSignature(b *testing.B) {
	country := holders.Country(b)
	peer := newPeer(b)
	spanish, driver := spaniard(b, country)
	tests := []struct {
		name   string
		spec   cards.Spec
		entry  string
		opensc string // arguments of pkcs11-tool; empty for a card that 0.23 does not know
		// published are what cards.md lists in place of a peer that works.
		published map[string]func(*published) int
	}{
		{
			"EstEID2018", holders.Card(b, cards.KindEstEID), "12345",
			"--slot-index 1 --login --pin 12345 --sign -m ECDSA-SHA256 --id 02", nil,
		},
		{"EstEID2025", holders.Card(b, cards.KindEstEID2025), "12345", "", nil},
		{
			"PKCS15", holders.CardOf(b, country, cards.KindPKCS15, holders.Citizen(cards.KindDNIe), cards.Honest), "1234",
			"--login --pin 1234 --sign -m SHA256-RSA-PKCS --id 02", nil,
		},
		// OpenSC's login wants a chip below the real root (cards.md 6.5).
		{"DNIe", spanish, "CRYPTOKI", "", map[string]func(*published) int{
			"OpenSC": (*published).opensc, "jmulticard": (*published).jmulticard,
		}},
	}
	stack := needs.PCSCD(b, pcscd.Options{})
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
		timed := func() *cardreader.Cards {
			c := everyDriver()
			c.Now, c.Drivers = time.Now, append([]cardreader.Driver{driver}, c.Drivers...)
			return c
		}
		cold := 0.0
		b.Run(test.name+"/cold", func(b *testing.B) {
			cold = measured(b, stack, func() error {
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
				theirs := measured(b, stack, func() error { return peer.run(stack, test.opensc) })
				b.ReportMetric(cold/theirs, "ours/theirs")
			})
		}
		for name, list := range test.published {
			b.Run(test.name+"/cold-"+name+"-as-listed", func(b *testing.B) {
				before := crossed(b, stack)
				beyond, n := 0, 0
				for b.Loop() {
					conn, err := pcsc.New().Connect(context.Background(), pcscd.Readers()[0])
					if err != nil {
						b.Fatal(err)
					}
					p := &published{conn: conn}
					beyond = list(p)
					if err := errors.Join(p.err, conn.Close(true)); err != nil {
						b.Fatal(err)
					}
					n++
				}
				theirs := float64(crossed(b, stack).minus(before).commands)/float64(n) + float64(beyond)
				b.ReportMetric(theirs, "commands/op")
				b.ReportMetric(cold/theirs, "ours/theirs")
				b.ReportMetric(0, "ns/op")
			})
		}
		if err := stack.Remove(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// spaniard is a DNIe of the lab, with the driver that trusts its chip.
func spaniard(b *testing.B, country *pki.Country) (cards.Spec, cardreader.Driver) {
	b.Helper()
	driver := dnie.Driver{Now: time.Now, Rand: rand.Reader}
	for generation := 1; generation <= 2; generation++ {
		root, err := country.ComponentRoot(generation)
		if err != nil {
			b.Fatal(err)
		}
		driver.Roots = append(driver.Roots, root)
	}
	return holders.CardOf(b, country, cards.KindDNIe, holders.Citizen(cards.KindDNIe), cards.Honest), driver
}

// published is a way to a first DNIe signature that cards.md 6.5 lists for a
// published driver. The clear part is sent, the rest counted: what runs in a
// channel needs the channel. Under T=0 an answer with data to a command with data
// is fetched by GET RESPONSE, which is a command, too.
type published struct {
	conn cardreader.Connection
	// block is the size of one READ BINARY.
	block int
	err   error
}

// Commands that are counted.
const (
	// fetched is a command with the GET RESPONSE for its answer, such as every
	// protected one.
	fetched = 2
	// handshake is steps 3 to 10 of cards.md 3.5; INTERNAL AUTHENTICATE has an
	// answer. Protected it is all fetched.
	steps     = 8
	handshake = steps + 1
	// signed is MSE, and PSO whose answer comes in two parts.
	signed = fetched + fetched + 1
)

func (p *published) send(command ...byte) []byte {
	if p.err != nil {
		return nil
	}
	parsed, err := apdu.ParseCommand(command)
	if err != nil {
		p.err = err
		return nil
	}
	answer, err := apdu.Exchange(context.Background(), p.conn, parsed)
	p.err = err
	return answer.Data
}

func (p *published) root() {
	p.send(append([]byte("\x00\xA4\x04\x00\x0BMaster.File"), 0)...)
}

// enter gives the size of a file (cards.md 3.2, tag 85).
func (p *published) enter(file uint16) int {
	fci := p.send(0x00, 0xA4, 0x00, 0x00, 0x02, byte(file>>8), byte(file), 0x00)
	if len(fci) < 9 {
		return 0
	}
	return int(fci[7])<<8 | int(fci[8])
}

// read reads a file from the MF and tells in how many blocks.
func (p *published) read(path ...uint16) (blocks int) {
	p.root()
	size := 0
	for _, file := range path {
		size = p.enter(file)
	}
	return p.blocks(size)
}

func (p *published) blocks(size int) (n int) {
	for at := 0; at < size; at += p.block {
		p.send(0x00, 0xB0, byte(at>>8), byte(at), byte(min(p.block, size-at)))
		n++
	}
	return n
}

func (p *published) serial() { p.send(0x90, 0xB8, 0x00, 0x00, 0x07) }

// jmulticard is its list; beyond is what is counted.
func (p *published) jmulticard() (beyond int) {
	p.block = 0xDE
	p.root()
	p.read(0x5015, 0x6004)
	p.read(0x6061, 0x7001)
	p.read(0x6061, 0x7002)
	p.read(0x5015, 0x6001)
	p.read(0x0006)
	p.root()
	p.serial()
	chip := p.read(0x601F)
	// Counter, VERIFY; in the channel MF, serial number, MF, 601F, handshake.
	return handshake + 2*fetched + fetched*(4+chip+steps) + signed
}

// opensc is its list.
func (p *published) opensc() (beyond int) {
	p.block = 0xFF
	p.root() // and EF.DIR, which is not there: counted
	beyond = 1
	p.read(0x5015, 0x5032)
	p.read(0x5015, 0x5031)
	p.read(0x5015, 0x6001)
	p.blocks(p.enter(0x6004))
	p.read(0x5015, 0x6005)
	for _, certificate := range []uint16{0x7001, 0x7002, 0x7003} {
		p.read(0x6061, certificate)
	}
	for range 3 {
		p.root()
		p.enter(0x0000)
	}
	p.serial()
	chip := p.read(0x6020) + p.read(0x601F)
	// VERIFY; in the channel MF, 6020, MF, 601F in blocks that take two GET RESPONSE,
	// handshake; MF, 3F11, the key.
	return beyond + handshake + fetched + 4*fetched + chip*(fetched+1) + fetched*steps + 3*fetched + signed
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
	stack := needs.PCSCD(b, pcscd.Options{})
	insert(b, stack, holders.Card(b, cards.KindEstEID))
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
			if err := work(); err != nil {
				b.Fatal(err)
			}
			commands := crossed(b, stack).minus(before).commands
			// By turns, so that what else the machine does meets both.
			var ours, loops time.Duration
			n := 0
			for b.Loop() {
				began := time.Now()
				if err := work(); err != nil {
					b.Fatal(err)
				}
				ours += time.Since(began)
				began = time.Now()
				if err := bare(ctx, commands); err != nil {
					b.Fatal(err)
				}
				loops += time.Since(began)
				n++
			}
			each, loop := ours/time.Duration(n), loops/time.Duration(n)
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
