package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/advisory"
	"github.com/eidbridge/eidbridge/desktop"
	"github.com/eidbridge/eidbridge/desktop/prompt"
)

type cardsCommand struct {
	JSON bool `name:"json" help:"Print JSON instead of a table."`
	entering
}

// The JSON of this command. Names and fields are stable; personal numbers are
// masked.
type (
	cardsReport struct {
		Readers []readerReport `json:"readers"`
	}
	readerReport struct {
		Name         string                 `json:"name"`
		State        cardreader.ReaderState `json:"state"`
		ATR          string                 `json:"atr,omitzero"` // hex
		Card         *cardReport            `json:"card,omitzero"`
		Certificates []certificateReport    `json:"certificates"`
		PINs         []cardreader.PINStatus `json:"pins"`
		Error        *errorReport           `json:"error,omitzero"`
	}
	cardReport struct {
		Family         string `json:"family"`
		DocumentNumber string `json:"documentNumber"` // masked
	}
	certificateReport struct {
		ID        string           `json:"id"`
		Usage     cardreader.Usage `json:"usage"`
		PIN       string           `json:"pin"`
		Holder    string           `json:"holder"`
		Number    string           `json:"number"` // masked
		Issuer    string           `json:"issuer"`
		NotBefore time.Time        `json:"notBefore"`
		NotAfter  time.Time        `json:"notAfter"`
		Valid     bool             `json:"valid"`
		Qualified bool             `json:"qualified"`
		SHA256    string           `json:"sha256"`
		// Warnings are what a key policy says of the chip.
		Warnings []string `json:"warnings,omitzero"`
	}
	errorReport struct {
		Code    desktop.Code `json:"code"`
		Message string       `json:"message"`
		Hints   []string     `json:"hints,omitzero"`
	}
)

func (c *cardsCommand) Run(p *program) error {
	source, err := p.source(c.questions())
	if err != nil {
		return err
	}
	slots, err := source.List(p.ctx)
	if err != nil {
		return err
	}
	report := cardsReport{Readers: []readerReport{}}
	for _, slot := range slots {
		report.Readers = append(report.Readers, p.describe(slot, time.Now()))
	}
	if c.JSON {
		err = p.printJSON(report)
	} else {
		err = report.writeTable(p.stdout)
	}
	if err != nil {
		return err
	}
	return missing(slots)
}

// missing is what keeps the listed cards from signing, nil when one can be read.
func missing(slots []cardreader.Inserted) error {
	if len(slots) == 0 {
		return cardreader.ErrNoReader
	}
	err := cardreader.ErrNoCard
	for _, slot := range slots {
		if slot.Err == nil && slot.Reader.State == cardreader.ReaderPresent {
			return nil
		}
		if slot.Err != nil && errors.Is(err, cardreader.ErrNoCard) {
			err = slot.Err
		}
	}
	return err
}

// describe makes the report of one slot. A policy that cannot be read has stopped
// the command before.
func (p *program) describe(slot cardreader.Inserted, now time.Time) readerReport {
	policy, _ := p.keyPolicy()
	r := readerReport{
		Name: slot.Reader.Name, State: slot.Reader.State, ATR: hex.EncodeToString(slot.Reader.ATR),
		Certificates: []certificateReport{}, PINs: []cardreader.PINStatus{},
	}
	if slot.Info.Family != "" {
		r.Card = &cardReport{Family: slot.Info.Family, DocumentNumber: masked(slot.Info.DocumentNumber)}
	}
	for _, c := range slot.Credentials {
		h := desktop.HolderOf(c.Certificate)
		sum := sha256.Sum256(c.Certificate.Raw)
		r.Certificates = append(r.Certificates, certificateReport{
			ID: c.ID, Usage: c.Usage, PIN: c.PIN, Holder: h.Name, Number: h.Number, Issuer: h.Issuer,
			NotBefore: c.Certificate.NotBefore.UTC(), NotAfter: h.NotAfter,
			Valid:     !now.Before(c.Certificate.NotBefore) && !now.After(c.Certificate.NotAfter),
			Qualified: h.Qualified, SHA256: hex.EncodeToString(sum[:]),
			Warnings: warnings(policy.About(slot.Info.Family, c.Certificate)),
		})
	}
	r.PINs = append(r.PINs, slot.PINs...)
	if slot.Err != nil {
		e := explain(slot.Err)
		r.Error = &errorReport{Code: desktop.CodeOf(slot.Err), Message: e.message, Hints: e.hints}
	}
	return r
}

func warnings(rules []advisory.Rule) []string {
	var texts []string
	for _, rule := range rules {
		text := rule.ID + ": " + rule.Reason
		if rule.Forbid {
			text += " (not used)"
		}
		texts = append(texts, text)
	}
	return texts
}

// masked keeps the last three characters.
func masked(s string) string {
	if len(s) <= 3 {
		return s
	}
	return strings.Repeat("•", len(s)-3) + s[len(s)-3:]
}

// writeTable prints the report for people. What a card says is escaped.
func (c cardsReport) writeTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i, r := range c.Readers {
		if i > 0 {
			fmt.Fprintln(t)
		}
		fmt.Fprintf(t, "Reader\t%s\n", prompt.Quote(r.Name, 128))
		switch {
		case r.Card != nil && r.Card.DocumentNumber == "":
			fmt.Fprintf(t, "Card\t%s\n", prompt.Quote(r.Card.Family, 60))
		case r.Card != nil:
			fmt.Fprintf(t, "Card\t%s, document %s\n", prompt.Quote(r.Card.Family, 60), prompt.Quote(r.Card.DocumentNumber, 40))
		case r.State == cardreader.ReaderEmpty:
			fmt.Fprintf(t, "Card\tnone\n")
		case r.Error != nil:
			fmt.Fprintf(t, "Card\t%s\n", r.Error.Message)
		}
		if r.Card != nil && r.Error != nil {
			fmt.Fprintf(t, "Problem\t%s\n", r.Error.Message)
		}
		for _, k := range r.Certificates {
			fmt.Fprintf(t, "Certificate\t%s\n", k.Usage)
			fmt.Fprintf(t, "  holder\t%s\n", prompt.Quote(strings.TrimSpace(k.Holder+" "+k.Number), 100))
			fmt.Fprintf(t, "  issuer\t%s\n", prompt.Quote(k.Issuer, 100))
			fmt.Fprintf(t, "  valid\t%s to %s%s\n", k.NotBefore.Format(time.DateOnly), k.NotAfter.Format(time.DateOnly), validity(k))
			if k.PIN != "" {
				fmt.Fprintf(t, "  PIN\t%s\n", prompt.Quote(k.PIN, 40))
			}
			fmt.Fprintf(t, "  SHA-256\t%s\n", k.SHA256)
			for _, warning := range k.Warnings {
				fmt.Fprintf(t, "  WARNING\t%s\n", prompt.Quote(warning, 300))
			}
		}
		for _, s := range r.PINs {
			fmt.Fprintf(t, "%s\t%s\n", prompt.Quote(s.ID, 40), tries(s))
		}
	}
	return t.Flush()
}

func validity(k certificateReport) string {
	switch {
	case !k.Valid:
		return " (NOT VALID TODAY)"
	case k.Qualified:
		return " (qualified signatures)"
	}
	return ""
}

func tries(s cardreader.PINStatus) string {
	text := ""
	switch {
	case s.TriesLeft == 0:
		text = "BLOCKED"
	case s.TriesLeft < 0:
		text = "tries left not known"
	default:
		text = fmt.Sprintf("%d of %d tries left", s.TriesLeft, s.TriesMax)
		if s.TriesMax < 0 {
			text = fmt.Sprintf("%d tries left", s.TriesLeft)
		}
	}
	if s.MustChange {
		text += ", must be changed before first use"
	}
	return text
}
