package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/cards"
	"github.com/eidbridge/eidbridge/fixtures/pcscd"
	"github.com/eidbridge/eidbridge/fixtures/pki"
)

type cardCommand struct {
	Kind   string `help:"Family of the card: ${enum}." enum:"esteid" default:"esteid"`
	Person string `help:"Who holds it, by Estonian personal code." default:"60001019906" placeholder:"CODE"`
	VPCD   string `name:"vpcd" help:"Where the system's pcscd waits for virtual cards." default:"127.0.0.1:35963" placeholder:"HOST:PORT"`
	Own    bool   `name:"own-pcscd" help:"Start a pcscd for this card alone, apart from the system's."`
	Listen string `help:"Serve the card without any pcscd, for eidagent --vpcd." placeholder:"HOST:PORT"`
	PKI    string `name:"pki" help:"Folder that receives the trust anchors of the card's certificates." placeholder:"DIR" type:"path"`
}

// systemSocket is where the system's pcscd waits. Dialling it wakes a pcscd that
// systemd starts on demand.
const systemSocket = "/run/pcscd/pcscd.comm"

// Run inserts the card and keeps it until interrupted.
func (c *cardCommand) Run(ctx context.Context, s streams) error {
	spec, country, err := c.personalise()
	if err != nil {
		return err
	}
	if c.PKI != "" {
		if err := country.WritePEM(c.PKI); err != nil {
			return err
		}
	}
	switch {
	case c.Own:
		return c.inOwn(ctx, spec, s)
	case c.Listen != "":
		return c.listen(ctx, spec, s)
	}
	return c.inSystem(ctx, spec, s)
}

func (c *cardCommand) personalise() (cards.Spec, *pki.Country, error) {
	person, ok := pki.Citizen(c.Person)
	if !ok || person.PersonalCode != c.Person {
		var known []string
		for _, p := range pki.Persons() {
			if p.PersonalCode != "" {
				known = append(known, p.PersonalCode+" "+p.GivenName+" "+p.Surname)
			}
		}
		return cards.Spec{}, nil, fmt.Errorf("nobody in the lab has the personal code %q; there are: %s", c.Person, strings.Join(known, ", "))
	}
	country, err := pki.New(pki.Options{})
	if err != nil {
		return cards.Spec{}, nil, err
	}
	keys, err := country.EstonianCitizen(person)
	if err != nil {
		return cards.Spec{}, nil, err
	}
	spec, err := cards.EstEIDSpec(keys)
	return spec, country, err
}

func (c *cardCommand) inOwn(ctx context.Context, spec cards.Spec, s streams) error {
	stack, err := pcscd.Start(ctx, pcscd.Options{})
	if err != nil {
		return err
	}
	if err := stack.Insert(ctx, spec); err != nil {
		return errors.Join(err, stack.Stop())
	}
	fmt.Fprintf(s.out, "Inserted. PC/SC programs find this reader with:\nexport %s\n", stack.Env()[0])
	select {
	case <-ctx.Done():
	case <-stack.Ended():
		return errors.New("pcscd ended by itself")
	}
	return stack.Stop()
}

func (c *cardCommand) listen(ctx context.Context, spec cards.Spec, s streams) error {
	card, err := spec.New()
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "Serving. Try:\neidagent --vpcd %s cards\n", listener.Addr())
	return ended(ctx, cards.Listen(ctx, listener, card))
}

func (c *cardCommand) inSystem(ctx context.Context, spec cards.Spec, s streams) error {
	card, err := spec.New()
	if err != nil {
		return err
	}
	dialer := net.Dialer{Timeout: 2 * time.Second}
	if wake, err := dialer.DialContext(ctx, "unix", systemSocket); err == nil {
		defer wake.Close()
	}
	reader, err := dialer.DialContext(ctx, "tcp", c.VPCD)
	if err != nil {
		return fmt.Errorf("no virtual reader answers at %s: install vsmartcard-vpcd and restart pcscd, or use --own-pcscd (%w)", c.VPCD, err)
	}
	reader.Close()
	fmt.Fprintf(s.out, "Inserting into the virtual reader at %s. Press Ctrl-C to take the card out.\n", c.VPCD)
	return ended(ctx, cards.Insert(ctx, c.VPCD, card))
}

// ended makes success of an error that only says that the person stopped it.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
