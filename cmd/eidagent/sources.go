package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/advisory"
	"github.com/eidbridge/eidbridge/cardreader/cwa14890"
	"github.com/eidbridge/eidbridge/cardreader/dnie"
	"github.com/eidbridge/eidbridge/cardreader/esteid"
	"github.com/eidbridge/eidbridge/cardreader/esteid2025"
	"github.com/eidbridge/eidbridge/cardreader/pcsc"
	"github.com/eidbridge/eidbridge/cardreader/pin"
	"github.com/eidbridge/eidbridge/cardreader/pkcs11"
	"github.com/eidbridge/eidbridge/cardreader/pkcs12"
	"github.com/eidbridge/eidbridge/cardreader/pkcs15"
	"github.com/eidbridge/eidbridge/cardreader/trace"
	"github.com/eidbridge/eidbridge/cardreader/vpcd"
	"github.com/eidbridge/eidbridge/desktop"
)

// cardService is the value of --card-service.
type cardService struct {
	// emulated is HOST:PORT of a card without pcscd; empty is PC/SC.
	emulated string
}

// UnmarshalText reads "pcsc" or "vpcd://HOST:PORT".
func (s *cardService) UnmarshalText(text []byte) error {
	value := string(text)
	address, ok := strings.CutPrefix(value, "vpcd://")
	switch {
	case ok && address != "":
		s.emulated = address
	case value == "pcsc":
		s.emulated = ""
	default:
		return fmt.Errorf("card service %q is neither pcsc nor vpcd://HOST:PORT", value)
	}
	return nil
}

// where says what a command looks at: cards in readers, or what is named in their
// place.
type where struct {
	Service  cardService `name:"card-service" default:"pcsc" placeholder:"SERVICE" help:"How to reach readers: pcsc, or vpcd://127.0.0.1:PORT for one emulated card without pcscd."`
	VPCD     string      `name:"vpcd" placeholder:"HOST:PORT" help:"Short for --card-service vpcd://HOST:PORT."`
	PKCS11   []string    `name:"pkcs11" sep:"none" placeholder:"MODULE" help:"Use the keys of this PKCS #11 module in place of the inserted cards (absolute path, may be repeated)."`
	P12      []string    `name:"p12" sep:"none" placeholder:"FILE" help:"Use the keys of this PKCS #12 file in place of the inserted cards (may be repeated; PEM for tests)."`
	Trace    string      `placeholder:"FILE" help:"Append what goes over the line to cards to this file; PINs, keys and personal data are left out."`
	Policy   string      `name:"key-policy" placeholder:"FILE" help:"Warn of keys on chips that are known to be weak, or do not use them, as this file says (JSON)."`
	NoKeypad bool        `name:"no-keypad" help:"Ask for PINs on this computer even where the reader has keys of its own, for readers whose keys do not work."`
	DNIeKeys string      `name:"dnie-keys" placeholder:"FILE" help:"Terminal keys and root for the DNIe, in place of the published ones (JSON; for the laboratory)."`
}

// cards puts services and drivers together. ask is for what a contactless card
// wants to know.
func (p *program) cards(ask *questions) (*cardreader.Cards, error) {
	address := p.Service.emulated
	if p.VPCD != "" {
		address = p.VPCD
	}
	var service cardreader.Service = pcsc.New()
	if address != "" {
		service = vpcd.New(address)
	}
	if p.Trace != "" {
		// It stays open as long as the program runs, so that no line is lost.
		log, err := os.OpenFile(p.Trace, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, err
		}
		service = trace.New(log, time.Now).Service(service)
	}
	spanish, err := p.dnie(ask)
	if err != nil {
		return nil, err
	}
	return &cardreader.Cards{
		Service: service, Now: time.Now, WithoutPads: p.NoKeypad,
		Drivers: []cardreader.Driver{
			esteid.Driver{},
			esteid2025.Driver{},
			spanish,
			esteid2025.Driver{Model: esteid2025.Finland4},
			esteid2025.Driver{Model: esteid2025.Finland3},
			esteid.Driver{Country: esteid.Latvia},
			// Last: it asks every card what it holds.
			pkcs15.Driver{},
		},
	}, nil
}

func (p *program) dnie(ask *questions) (cardreader.Driver, error) {
	sets, err := cwa14890.PublishedKeySets()
	if err == nil && p.DNIeKeys != "" {
		var file []byte
		if file, err = os.ReadFile(p.DNIeKeys); err == nil {
			sets, err = cwa14890.ParseKeySets(file)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("keys for the DNIe: %w", err)
	}
	var roots []*rsa.PublicKey
	for _, set := range sets {
		roots = append(roots, set.Root())
	}
	return dnie.Driver{Roots: roots, KeySets: sets, CAN: ask, Now: time.Now, Rand: rand.Reader}, nil
}

// source is what --pkcs11 and --p12 name, else the inserted cards, with the keys
// that the policy forbids refusing.
func (p *program) source(ask *questions) (cardreader.Source, error) {
	policy, err := p.keyPolicy()
	if err != nil {
		return nil, err
	}
	source, err := p.sources(ask)
	if err != nil {
		return nil, err
	}
	return policy.Source(source), nil
}

// keyPolicy reads what --key-policy names.
func (p *program) keyPolicy() (advisory.Policy, error) {
	if p.Policy == "" {
		return advisory.Policy{}, nil
	}
	file, err := os.Open(p.Policy)
	if err != nil {
		return advisory.Policy{}, err
	}
	defer file.Close()
	policy, err := advisory.Parse(file)
	if err != nil {
		return advisory.Policy{}, &problem{exit: exitUsage, message: fmt.Sprintf("--key-policy %s: %v", p.Policy, err)}
	}
	return policy, nil
}

func (p *program) sources(ask *questions) (cardreader.Source, error) {
	var named cardreader.Sources
	for _, path := range p.PKCS11 {
		named = append(named, &pkcs11.Module{Path: path, Host: moduleHost})
	}
	for _, path := range p.P12 {
		named = append(named, &pkcs12.File{Path: path, Password: ask.Password, Random: rand.Reader})
	}
	switch len(named) {
	case 0:
		cards, err := p.cards(ask)
		if err != nil {
			return nil, err
		}
		return cards.Source(), nil
	case 1:
		return named[0], nil
	default:
		return named, nil
	}
}

// onlyCards refuses --pkcs11 and --p12 for what only drivers can do.
func (p *program) onlyCards(ask *questions) (*cardreader.Cards, error) {
	if len(p.PKCS11)+len(p.P12) > 0 {
		return nil, &problem{exit: exitUsage, message: "this command works with cards in readers only", hints: []string{
			"Leave out --pkcs11 and --p12. Vendors' own programs manage PINs through their modules.",
		}}
	}
	return p.cards(ask)
}

// moduleHost runs this program again to load a module.
func moduleHost(ctx context.Context) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return exec.CommandContext(ctx, self, "pkcs11-host"), nil
}

type hostCommand struct{}

// Run answers one request of pkcs11.Module.
func (hostCommand) Run(p *program) error { return pkcs11.Serve(os.Stdin, p.stdout) }

// questions asks the holder outside of signatures, with a prompter that is made
// when the first question comes up: most commands have none.
type questions struct {
	prompter func() (desktop.Prompter, error)
	locale   string
}

func (q *questions) manager() (desktop.Manager, error) {
	prompter, err := q.prompter()
	return desktop.Manager{Prompter: prompter, Locale: q.locale}, err
}

// CAN implements cardreader.AccessNumberSource.
func (q *questions) CAN(ctx context.Context, reader string) (*pin.PIN, error) {
	m, err := q.manager()
	if err != nil {
		return nil, err
	}
	return m.CAN(ctx, reader)
}

// Password is for pkcs12.File.
func (q *questions) Password(ctx context.Context, r pkcs12.Request) (*pin.PIN, error) {
	m, err := q.manager()
	if err != nil {
		return nil, err
	}
	return m.Password(ctx, r.Name, r.Status)
}

// choosing are the options that choose among readers and certificates.
type choosing struct {
	Reader      string `placeholder:"NAME" help:"Use the reader with this in its name."`
	Certificate string `placeholder:"WHICH" help:"Use this certificate: its SHA-256, or authentication or signature."`
}

var sha256Form = regexp.MustCompile(`^[0-9a-f]{64}$`)

// selection completes the options. A part of a reader's name, in any case, must
// fit one reader.
func (c choosing) selection(ctx context.Context, source cardreader.Source) (cardreader.Selection, error) {
	var s cardreader.Selection
	switch word := strings.ToLower(c.Certificate); word {
	case "":
	case string(cardreader.UsageAuthentication), string(cardreader.UsageSignature):
		s.Usage = cardreader.Usage(word)
	default:
		s.CertificateSHA256 = strings.NewReplacer(":", "", " ", "").Replace(word)
		if !sha256Form.MatchString(s.CertificateSHA256) {
			return s, &problem{exit: exitUsage, message: fmt.Sprintf("--certificate %q names no certificate", c.Certificate), hints: []string{
				"It is a SHA-256 in 64 hexadecimal digits as eidagent cards prints it, or authentication or signature.",
			}}
		}
	}
	if c.Reader == "" {
		return s, nil
	}
	names, err := readerNames(ctx, source)
	if err != nil {
		return s, err
	}
	s.Reader, err = completed(names, c.Reader)
	return s, err
}

// readerNames avoids opening cards where names are known without that.
func readerNames(ctx context.Context, source cardreader.Source) ([]string, error) {
	var names []string
	if named, ok := source.(interface {
		Readers(context.Context) ([]cardreader.Reader, error)
	}); ok {
		readers, err := named.Readers(ctx)
		for _, r := range readers {
			names = append(names, r.Name)
		}
		return names, err
	}
	slots, err := source.List(ctx)
	for _, s := range slots {
		names = append(names, s.Reader.Name)
	}
	// A module has several slots for one reader.
	slices.Sort(names)
	return slices.Compact(names), err
}

func completed(names []string, part string) (string, error) {
	var fitting []string
	for _, name := range names {
		if name == part {
			return part, nil
		}
		if strings.Contains(strings.ToLower(name), strings.ToLower(part)) {
			fitting = append(fitting, name)
		}
	}
	switch len(fitting) {
	case 1:
		return fitting[0], nil
	case 0:
		return "", cardreader.ErrReaderGone
	}
	return "", &problem{exit: exitUsage, message: fmt.Sprintf("%d readers have %q in their name", len(fitting), part), hints: fitting}
}
