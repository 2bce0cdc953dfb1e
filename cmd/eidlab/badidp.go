package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/idps/badidp"
	"github.com/eidbridge/eidbridge/fixtures/idps/labpages"
)

// badIDPCommand plays a bad identity provider for a service provider: by turns,
// with a report, where it is told what success looks like; otherwise as a server
// that answers browsers with the fault that was chosen.
type badIDPCommand struct {
	List       bool     `help:"Print the names of all faults and what they are."`
	SPMetadata string   `name:"sp-metadata" help:"Metadata of the service provider under test." placeholder:"FILE"`
	Target     string   `help:"Its assertion consumer service, if not the one of the metadata." placeholder:"URL"`
	SP         string   `name:"sp-entity" help:"Its entity identifier, where there is no metadata." placeholder:"URI"`
	Start      string   `help:"An address of the service provider that begins a login; without it, answers are unsolicited." placeholder:"URL"`
	Status     int      `name:"success-status" help:"HTTP status of the page after a login that was accepted."`
	Text       string   `name:"success-text" help:"Text of the page after a login that was accepted." placeholder:"TEXT"`
	Fault      []string `help:"Only this fault; may be repeated. A server answers with the first." placeholder:"NAME" sep:"none"`
	Area       []string `help:"Only faults of this area; may be repeated." placeholder:"AREA" sep:"none"`
	Listen     string   `help:"Where the identity provider listens; its entity identifier has it." default:"127.0.0.1:8190" placeholder:"HOST:PORT"`
	Keys       string   `help:"File that keeps the keys, made where it is missing; without it, they are new at every start." placeholder:"FILE"`
	Metadata   string   `name:"metadata-out" help:"Write the identity provider's metadata here before anything else." placeholder:"FILE"`
	Wait       bool     `help:"Wait for a line on the standard input before the run, to configure the service provider meanwhile."`
	NameID     string   `name:"name-id" help:"Whom the right answer is about." default:"alice"`
	Format     string   `name:"name-id-format" help:"Format of the NameID." default:"urn:oasis:names:tc:SAML:2.0:nameid-format:persistent" placeholder:"URI"`
	Attribute  []string `help:"Attribute of the right answer; may be repeated." placeholder:"NAME=VALUE" sep:"none"`
	Class      string   `help:"AuthnContextClassRef of the right answer, if not the one that is asked for." placeholder:"URI"`
	Lower      string   `name:"lower-class" help:"One of less worth, for the fault of a level that is too low." placeholder:"URI"`
	Encrypt    bool     `help:"Encrypt the assertion of every answer."`
	JSON       bool     `name:"json" help:"Print the report as JSON."`
	Mine       bool     `name:"target-is-mine-to-test" help:"Send to a target that is not on this machine."`
}

// Run ends with exit code 1 where a fault was accepted or nothing was proven.
func (c *badIDPCommand) Run(ctx context.Context, s streams) error {
	if c.List {
		for _, f := range badidp.Battery() {
			if _, err := fmt.Fprintf(s.out, "%-44s %-11s %s\n", f.Name, f.Area, f.What); err != nil {
				return err
			}
		}
		return nil
	}
	faults, err := c.faults()
	if err != nil {
		return err
	}
	sp, err := c.serviceProvider()
	if err != nil {
		return err
	}
	keys, err := c.openKeys()
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	if local := netip.MustParseAddrPort(listener.Addr().String()).Addr(); !local.IsLoopback() {
		return fmt.Errorf("a bad identity provider listens on loopback only, not at %s", local)
	}
	server := &badidp.Server{Base: "http://" + listener.Addr().String(), Keys: keys, SP: *sp, Person: c.person(), Lower: c.Lower, Encrypt: c.Encrypt, Clock: time.Now}
	server.Choose(faults[0].Name)
	if c.Metadata != "" {
		if err := os.WriteFile(c.Metadata, keys.Metadata(server.EntityID(), badidp.Endpoints{SignOn: server.SignOn()}), 0o600); err != nil {
			return err
		}
	}
	h := &http.Server{Handler: labpages.LoopbackOnly(server.Handler()), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- h.Serve(listener) }()
	defer func() { _ = h.Close() }()
	fmt.Fprintf(s.err, "Bad identity provider: metadata at %s, single sign-on at %s.\n", server.EntityID(), server.SignOn())
	if c.Wait {
		fmt.Fprintln(s.err, "Configure the service provider, then press Enter.")
		if _, err := bufio.NewReader(s.in).ReadString('\n'); err != nil {
			return fmt.Errorf("waiting for Enter: %w", err)
		}
	}
	if c.Status == 0 && c.Text == "" {
		fmt.Fprintf(s.err, "Answers browsers with %q until Ctrl-C; %s/ chooses. For a run with a report, say --success-status or --success-text.\n", faults[0].Name, server.Base)
		select {
		case <-ctx.Done():
			return nil
		case err := <-served:
			return err
		}
	}
	return c.run(ctx, s, server, faults)
}

func (c *badIDPCommand) run(ctx context.Context, s streams, server *badidp.Server, faults []badidp.Fault) error {
	report, err := badidp.Run(ctx, badidp.Target{
		ServiceProvider: server.SP, IdP: server.EntityID(), SignOn: server.SignOn(), Start: c.Start,
		SuccessStatus: c.Status, SuccessText: c.Text, Person: server.Person, Class: c.Class, Lower: c.Lower, Encrypt: c.Encrypt,
	}, server.Keys, faults)
	if report != nil {
		if c.JSON {
			out := json.NewEncoder(s.out)
			out.SetIndent("", "  ")
			err = errors.Join(err, out.Encode(report))
		} else {
			err = errors.Join(err, report.Write(s.out))
		}
	}
	switch {
	case err != nil:
		return err
	case len(report.Accepted) > 0:
		return fmt.Errorf("%d faults were accepted", len(report.Accepted))
	case len(report.Errors) > 0:
		return fmt.Errorf("%d faults could not be tried", len(report.Errors))
	}
	return nil
}

// faults are the chosen ones; all of them, if none is.
func (c *badIDPCommand) faults() ([]badidp.Fault, error) {
	var chosen []badidp.Fault
	for _, name := range c.Fault {
		f, ok := badidp.Find(name)
		if !ok {
			return nil, fmt.Errorf("no fault is called %q; try eidlab badidp --list", name)
		}
		chosen = append(chosen, f)
	}
	if len(c.Fault) > 0 {
		return chosen, nil
	}
	for _, f := range badidp.Battery() {
		if len(c.Area) == 0 || slices.Contains(c.Area, f.Area) {
			chosen = append(chosen, f)
		}
	}
	if len(chosen) == 0 {
		return nil, errors.New("no fault is of this area; try eidlab badidp --list")
	}
	return chosen, nil
}

func (c *badIDPCommand) serviceProvider() (*badidp.ServiceProvider, error) {
	sp := &badidp.ServiceProvider{EntityID: c.SP}
	if c.SPMetadata != "" {
		document, err := os.ReadFile(c.SPMetadata)
		if err != nil {
			return nil, err
		}
		if sp, err = badidp.ParseServiceProvider(document); err != nil {
			return nil, fmt.Errorf("%s: %w", c.SPMetadata, err)
		}
	}
	if c.Target != "" {
		sp.ACS = c.Target
	}
	if sp.EntityID == "" || sp.ACS == "" {
		return nil, errors.New("say whom to test: --sp-metadata, or --sp-entity and --target")
	}
	for _, address := range []string{sp.ACS, c.Start} {
		if u, err := url.Parse(address); address != "" && (err != nil || !local(u.Hostname()) && !c.Mine) {
			return nil, fmt.Errorf("%s is not on this machine; say --target-is-mine-to-test if you may send attacks there", address)
		}
	}
	return sp, nil
}

func local(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

func (c *badIDPCommand) person() badidp.Person {
	p := badidp.Person{NameID: c.NameID, Format: c.Format}
	for _, a := range c.Attribute {
		name, value, _ := strings.Cut(a, "=")
		p.Attributes = append(p.Attributes, badidp.Attribute{Name: name, Value: value})
	}
	return p
}

func (c *badIDPCommand) openKeys() (*badidp.Keys, error) {
	if c.Keys == "" {
		return badidp.NewKeys(time.Now())
	}
	data, err := os.ReadFile(c.Keys)
	if err == nil {
		return badidp.ParseKeys(data)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	keys, err := badidp.NewKeys(time.Now())
	if err != nil {
		return nil, err
	}
	if data, err = keys.PEM(); err != nil {
		return nil, err
	}
	return keys, os.WriteFile(c.Keys, data, 0o600)
}
