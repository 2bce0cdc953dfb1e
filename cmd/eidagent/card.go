package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/desktop/prompt"
)

type cardCommand struct {
	Info         cardInfoCommand     `cmd:"" help:"Tell family, certificates and PINs of one card."`
	Certificates certificatesCommand `cmd:"" help:"Print certificates: for people, as PEM, with their chain."`
	Data         cardDataCommand     `cmd:"" help:"Read what is printed on the card, after a question."`
	PIN          pinCommand          `cmd:"" name:"pin" help:"Look at PINs, change and unblock them."`
	Diagnose     diagnoseCommand     `cmd:"" help:"Find out why a card does not work; makes a report for support."`
}

// slot is the one slot with a card that a command is about.
func (p *program) slot(source cardreader.Source, c choosing) (cardreader.Inserted, error) {
	wanted, err := c.selection(p.ctx, source)
	if err != nil {
		return cardreader.Inserted{}, err
	}
	slots, err := source.List(p.ctx)
	if err != nil {
		return cardreader.Inserted{}, err
	}
	var fitting []cardreader.Inserted
	named := 0
	for _, s := range slots {
		if wanted.Reader != "" && s.Reader.Name != wanted.Reader {
			continue
		}
		named++
		if s.Reader.State == cardreader.ReaderEmpty {
			continue
		}
		if c.Certificate != "" {
			// An empty result says why.
			if _, err := cardreader.Choose(wanted, []cardreader.Inserted{s}); err != nil && s.Err == nil {
				continue
			}
		}
		fitting = append(fitting, s)
	}
	switch {
	case len(fitting) == 1:
		return fitting[0], nil
	case len(fitting) > 1:
		readers := make([]cardreader.Reader, 0, len(fitting))
		for _, s := range fitting {
			readers = append(readers, s.Reader)
		}
		return cardreader.Inserted{}, &cardreader.AmbiguousReaderError{Readers: readers}
	case len(slots) == 0:
		return cardreader.Inserted{}, cardreader.ErrNoReader
	case named == 0:
		return cardreader.Inserted{}, cardreader.ErrReaderGone
	case c.Certificate != "":
		return cardreader.Inserted{}, cardreader.ErrNoCredential
	default:
		return cardreader.Inserted{}, cardreader.ErrNoCard
	}
}

type cardInfoCommand struct {
	JSON bool `name:"json" help:"Print JSON."`
	choosing
	entering
}

// Run prints what eidagent cards does, of one card.
func (c *cardInfoCommand) Run(p *program) error {
	source, err := p.source(c.questions())
	if err != nil {
		return err
	}
	slot, err := p.slot(source, c.choosing)
	if err != nil {
		return err
	}
	report := p.describe(slot, time.Now())
	if c.JSON {
		err = p.printJSON(report)
	} else {
		err = cardsReport{Readers: []readerReport{report}}.writeTable(p.stdout)
	}
	if err != nil {
		return err
	}
	return slot.Err
}

type cardDataCommand struct {
	Yes  bool `help:"Do not ask before reading."`
	JSON bool `name:"json" help:"Print JSON."`
	choosing
	entering
}

// Run reads personal data after a yes. What is read goes to standard output and
// nowhere else.
func (c *cardDataCommand) Run(p *program) error {
	ask := c.questions()
	cards, err := p.onlyCards(ask)
	if err != nil {
		return err
	}
	slot, err := p.slot(cards.Source(), c.choosing)
	if err != nil {
		return err
	}
	manager, err := ask.manager()
	if err != nil {
		return err
	}
	if !c.Yes {
		if err := manager.ReadPersonalData(p.ctx, slot.Reader.Name); err != nil {
			return err
		}
	}
	data, err := cards.PersonalData(p.ctx, cardreader.Selection{Reader: slot.Reader.Name}, manager)
	if err != nil {
		return err
	}
	if c.JSON {
		return p.printJSON(data)
	}
	t := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	for _, row := range [][2]string{
		{"Surname", data.Surname},
		{"Given names", data.GivenNames},
		{"Sex", data.Sex},
		{"Citizenship", data.Citizenship},
		{"Date of birth", data.Birthdate},
		{"Place of birth", data.Birthplace},
		{"Personal number", data.PersonalCode},
		{"Document number", data.DocumentNumber},
		{"Valid until", data.Expiry},
	} {
		if row[1] != "" {
			fmt.Fprintf(t, "%s\t%s\n", row[0], prompt.Quote(row[1], 200))
		}
	}
	return t.Flush()
}

type pinCommand struct {
	Status  pinStatusCommand  `cmd:"" help:"Tell the tries left of every PIN."`
	Change  pinChangeCommand  `cmd:"" help:"Replace a PIN by another, or activate a card with a transport PIN."`
	Unblock pinUnblockCommand `cmd:"" help:"Give a blocked PIN a new value with the PUK."`
}

type pinStatusCommand struct {
	JSON bool `name:"json" help:"Print JSON."`
	choosing
	entering
}

// pinsReport is the JSON of this command.
type pinsReport struct {
	Reader string                 `json:"reader"`
	Family string                 `json:"family"`
	PINs   []cardreader.PINStatus `json:"pins"`
}

func (c *pinStatusCommand) Run(p *program) error {
	source, err := p.source(c.questions())
	if err != nil {
		return err
	}
	slot, err := p.slot(source, c.choosing)
	if err != nil {
		return err
	}
	if slot.Err != nil && len(slot.PINs) == 0 {
		return slot.Err
	}
	if c.JSON {
		return p.printJSON(pinsReport{
			Reader: slot.Reader.Name, Family: slot.Info.Family, PINs: append([]cardreader.PINStatus{}, slot.PINs...),
		})
	}
	t := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	for _, s := range slot.PINs {
		fmt.Fprintf(t, "%s\t%s\t%d to %d %s\n", prompt.Quote(s.ID, 16), tries(s), s.MinLength, s.MaxLength, s.Class)
	}
	return t.Flush()
}

// managing is what changing and unblocking share.
type managing struct {
	ID   string `arg:"" name:"pin" help:"Which PIN, as eidagent card pin status names it: PIN1, PIN2."`
	JSON bool   `name:"json" help:"Print the state afterwards as JSON."`
	choosing
	entering
}

type pinChangeCommand struct{ managing }

// Run changes a PIN: the present value, the new one, the new one again.
func (c *pinChangeCommand) Run(p *program) error {
	return c.run(p, "changed", func(cards *cardreader.Cards, sel cardreader.Selection, id string, src cardreader.PINChangeSource) error {
		return cards.ChangePIN(p.ctx, sel, id, src)
	})
}

type pinUnblockCommand struct{ managing }

// Run unblocks a PIN: the PUK, the new value, the new value again.
func (c *pinUnblockCommand) Run(p *program) error {
	return c.run(p, "unblocked", func(cards *cardreader.Cards, sel cardreader.Selection, id string, src cardreader.PINChangeSource) error {
		return cards.UnblockPIN(p.ctx, sel, id, src)
	})
}

func (c *managing) run(p *program, done string, work func(*cardreader.Cards, cardreader.Selection, string, cardreader.PINChangeSource) error) error {
	ask := c.questions()
	cards, err := p.onlyCards(ask)
	if err != nil {
		return err
	}
	slot, err := p.slot(cards.Source(), c.choosing)
	if err != nil {
		return err
	}
	id, err := pinName(slot, c.ID)
	if err != nil {
		return err
	}
	manager, err := ask.manager()
	if err != nil {
		return err
	}
	selection := cardreader.Selection{Reader: slot.Reader.Name}
	if err := work(cards, selection, id, manager.Changes()); err != nil {
		return nothingChanged(err)
	}
	if !c.JSON {
		_, err := fmt.Fprintf(p.stdout, "%s was %s.\n", id, done)
		return err
	}
	slot, err = p.slot(cards.Source(), choosing{Reader: slot.Reader.Name})
	if err != nil {
		return err
	}
	return p.printJSON(pinsReport{Reader: slot.Reader.Name, Family: slot.Info.Family, PINs: slot.PINs})
}

// pinName finds a PIN of the card by its name in any case.
func pinName(slot cardreader.Inserted, word string) (string, error) {
	if len(slot.PINs) == 0 && slot.Err != nil {
		return "", slot.Err
	}
	names := make([]string, 0, len(slot.PINs))
	for _, s := range slot.PINs {
		if strings.EqualFold(s.ID, word) {
			return s.ID, nil
		}
		names = append(names, s.ID)
	}
	slices.Sort(names)
	return "", &problem{exit: exitUsage, message: fmt.Sprintf("the card has no %q", word), hints: []string{
		"It has " + strings.Join(names, ", ") + ".",
	}}
}

// nothingChanged words errors for card management; those of causes speak of
// signatures.
func nothingChanged(err error) error {
	e := explain(err)
	e.message = strings.ReplaceAll(e.message, "nothing was signed", "nothing was changed")
	for i, hint := range e.hints {
		hint = strings.ReplaceAll(hint, "Nothing was signed", "Nothing was changed")
		e.hints[i] = strings.ReplaceAll(hint, " Signatures take PIN2, not PIN1.", "")
	}
	return e
}
