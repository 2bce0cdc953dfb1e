package cardreader

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/eidbridge/eidbridge/cardreader/apdu"
)

// Diagnosis is what support has to know of readers and cards when something does
// not work. It holds nothing of the person: no name, number, certificate, nor the
// card's document number.
type Diagnosis struct {
	// ServiceError says why readers could not be listed.
	ServiceError string          `json:"serviceError,omitempty"`
	Readers      []SlotDiagnosis `json:"readers"`
}

// SlotDiagnosis is one slot.
type SlotDiagnosis struct {
	Name  string      `json:"name"`
	State ReaderState `json:"state"`
	ATR   string      `json:"atr,omitempty"` // hex
	// PINPad tells whether the reader has keys that can be used.
	PINPad bool `json:"pinPad"`
	// Drivers are those that recognise the answer to reset.
	Drivers []string `json:"drivers"`
	// Applications are those that the card has of the ones looked for.
	Applications []ApplicationDiagnosis `json:"applications"`
	// Steps are what was tried in order; the last one may have failed.
	Steps []StepDiagnosis `json:"steps"`
}

// ApplicationDiagnosis is the answer to one SELECT.
type ApplicationDiagnosis struct {
	Name   string `json:"name"`
	AID    string `json:"aid"`    // hex
	Status string `json:"status"` // status word, hex
}

// StepDiagnosis is one step of reading a card.
type StepDiagnosis struct {
	Name string `json:"name"`
	// Result is what was found, in words without personal data.
	Result string `json:"result,omitempty"`
	// Error is empty for a step that went well.
	Error        string `json:"error,omitempty"`
	Milliseconds int64  `json:"milliseconds"`
}

// application is one that Diagnose looks for.
type application struct {
	name string
	aid  []byte
}

// applications are those of cards that citizens hold, with their sources:
// ISO/IEC 7816-15 (PKCS #15), ICAO 9303-10 7 (passport chip), NIST SP 800-73-4
// 2.2 (PIV), and the applications of the families of this project.
func applications() []application {
	return []application{
		{"PKCS #15", []byte("\xA0\x00\x00\x00\x63PKCS-15")},
		{"EstEID (IDEMIA)", []byte("\xA0\x00\x00\x00\x77\x01\x08\x00\x07\x00\x00\xFE\x00\x00\x01\x00")},
		{"EstEID authentication", []byte("\xE8\x28\xBD\x08\x0F\xF2\x50\x4F\x54\x20\x41\x57\x50")},
		{"EstEID signature", []byte("QSCD Application")},
		{"DNIe", []byte("Master.File")},
		{"travel document", []byte("\xA0\x00\x00\x02\x47\x10\x01")},
		{"PIV", []byte("\xA0\x00\x00\x03\x08\x00\x00\x10\x00")},
	}
}

// Diagnose looks at every reader and card without asking for any PIN and sends no
// command that could use up a try. It carries on where something fails: errors
// are in the report. Drivers that have to ask the holder for an access number do.
func (c *Cards) Diagnose(ctx context.Context) Diagnosis {
	report := Diagnosis{Readers: []SlotDiagnosis{}}
	readers, err := c.Service.Readers(ctx)
	if err != nil {
		report.ServiceError = err.Error()
	}
	for _, reader := range readers {
		report.Readers = append(report.Readers, c.diagnose(ctx, reader))
	}
	return report
}

func (c *Cards) diagnose(ctx context.Context, reader Reader) SlotDiagnosis {
	d := SlotDiagnosis{
		Name: reader.Name, State: reader.State, ATR: hex.EncodeToString(reader.ATR),
		Drivers: []string{}, Applications: []ApplicationDiagnosis{}, Steps: []StepDiagnosis{},
	}
	drivers := c.matching(reader.ATR)
	for _, driver := range drivers {
		d.Drivers = append(d.Drivers, driver.Name())
	}
	if reader.State != ReaderPresent {
		return d
	}
	step := func(name string, work func() (result string, err error)) bool {
		begin := time.Now()
		result, err := work()
		s := StepDiagnosis{Name: name, Result: result, Milliseconds: time.Since(begin).Milliseconds()}
		if err != nil {
			s.Error = err.Error()
		}
		d.Steps = append(d.Steps, s)
		return err == nil
	}
	connected := step("connect and look for applications", func() (string, error) {
		return c.lookAround(ctx, reader.Name, &d)
	})
	if !connected {
		return d
	}
	for _, driver := range drivers {
		opened := step("open as "+driver.Name(), func() (string, error) {
			bound, err := bind(ctx, driver, reader)
			if err != nil {
				return "", err
			}
			driver = bound
			return "", c.withCard(ctx, reader.Name, bound, func(context.Context, *session) error { return nil })
		})
		if !opened {
			continue
		}
		for _, part := range readings() {
			step(part.name, func() (result string, err error) {
				err = c.withCard(ctx, reader.Name, driver, func(ctx context.Context, s *session) (err error) {
					result, err = part.read(ctx, s.Card)
					return err
				})
				return result, err
			})
		}
		return d
	}
	return d
}

// lookAround selects each application.
func (c *Cards) lookAround(ctx context.Context, reader string, d *SlotDiagnosis) (string, error) {
	conn, err := c.connect(ctx, reader)
	if err != nil {
		return "", err
	}
	// The selections are nobody's concern afterwards.
	defer func() { _ = conn.Close(true) }()
	operation, cancel := context.WithTimeout(ctx, operationTimeout)
	defer cancel()
	s := session{connection: conn}
	pad, err := s.pad(operation)
	d.PINPad = err == nil && pad != nil
	card := &metered{transport: conn}
	for _, a := range applications() {
		command := append([]byte{0x00, 0xA4, 0x04, 0x00, byte(len(a.aid))}, a.aid...)
		answer, err := card.Transmit(operation, append(command, 0x00))
		if err != nil {
			return "", outcome(ctx, operation, err)
		}
		if len(answer) < 2 {
			return "", ErrCardProtocol
		}
		sw := hex.EncodeToString(answer[len(answer)-2:])
		if sw != "6a82" && sw != "6a86" && sw != "6d00" && sw != "6e00" {
			d.Applications = append(d.Applications, ApplicationDiagnosis{Name: a.name, AID: hex.EncodeToString(a.aid), Status: sw})
		}
	}
	return fmt.Sprintf("%d of %d applications", len(d.Applications), len(applications())), nil
}

// reading is one thing that every driver can do.
type reading struct {
	name string
	read func(context.Context, Card) (string, error)
}

func readings() []reading {
	return []reading{
		{"document number", func(ctx context.Context, card Card) (string, error) {
			info, err := card.Info(ctx)
			if err != nil {
				return "", withoutText(err)
			}
			return fmt.Sprintf("%d characters", len(info.DocumentNumber)), nil
		}},
		{"PIN counters", func(ctx context.Context, card Card) (string, error) {
			all, err := card.PINs(ctx)
			text := ""
			for _, s := range all {
				text += fmt.Sprintf("%s %d/%d ", s.ID, s.TriesLeft, s.TriesMax)
				if s.MustChange {
					text += "(transport value) "
				}
			}
			return text, withoutText(err)
		}},
		{"certificates", func(ctx context.Context, card Card) (string, error) {
			all, err := card.Credentials(ctx)
			text := ""
			for _, c := range all {
				text += fmt.Sprintf("%s with %s key, to %s; ", c.Usage, keyKind(c), c.Certificate.NotAfter.UTC().Format("2006-01"))
			}
			return text, withoutText(err)
		}},
	}
}

func keyKind(c Credential) string {
	switch key := c.Certificate.PublicKey.(type) {
	case *ecdsa.PublicKey:
		return key.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA-%d", key.N.BitLen())
	default:
		return "unknown"
	}
}

// withoutText keeps of an error what cannot hold a card's content: the sentinel
// and the status word. Parsers may quote what they could not parse.
func withoutText(err error) error {
	if err == nil {
		return nil
	}
	kept := errors.New("failed")
	for _, sentinel := range sentinels() {
		if errors.Is(err, sentinel) {
			kept = sentinel
			break
		}
	}
	var status *apdu.StatusError
	if errors.As(err, &status) {
		return fmt.Errorf("%w: status %04X", kept, uint16(status.SW))
	}
	return kept
}
