package main

import (
	"fmt"
	"strings"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/esteid"
	"github.com/eidbridge/eidbridge/cardreader/pcsc"
	"github.com/eidbridge/eidbridge/cardreader/vpcd"
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

// cards puts services and drivers together.
func (p *program) cards() *cardreader.Cards {
	address := p.Service.emulated
	if p.VPCD != "" {
		address = p.VPCD
	}
	var service cardreader.Service = pcsc.New()
	if address != "" {
		service = vpcd.New(address)
	}
	return &cardreader.Cards{Service: service, Drivers: []cardreader.Driver{esteid.Driver{}}}
}

// reader completes a part of a reader's name, in any case, that fits one reader.
// Empty stays empty.
func (p *program) reader(cards *cardreader.Cards, part string) (string, error) {
	if part == "" {
		return "", nil
	}
	readers, err := cards.Service.Readers(p.ctx)
	if err != nil {
		return "", err
	}
	var names []string
	for _, r := range readers {
		if r.Name == part {
			return part, nil
		}
		if strings.Contains(strings.ToLower(r.Name), strings.ToLower(part)) {
			names = append(names, r.Name)
		}
	}
	switch len(names) {
	case 1:
		return names[0], nil
	case 0:
		return "", cardreader.ErrReaderGone
	}
	return "", &problem{exit: exitUsage, message: fmt.Sprintf("%d readers have %q in their name", len(names), part), hints: names}
}
