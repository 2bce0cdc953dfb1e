package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
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
	Artifact   bool     `help:"Answer by artifact, which the service provider resolves over TLS."`
	Back       string   `name:"back-channel" help:"Where artifacts are resolved." default:"127.0.0.1:8191" placeholder:"HOST:PORT"`
	TLSOut     string   `name:"tls-out" help:"Write the certificate of the back channel's server here (PEM)." placeholder:"FILE"`
	Logout     string   `name:"logout-url" help:"Its logout service, for the faults of area logout, if not the one of the metadata." placeholder:"URL"`
	LeaveStart string   `name:"logout-start" help:"An address of the service provider that begins a logout, for faults of its answers." placeholder:"URL"`
	LeaveText  string   `name:"logout-text" help:"Text of the page after a logout whose answer was accepted." placeholder:"TEXT"`
	Reload     string   `help:"A command that has the service provider read --metadata-out again, for the faults of area metadata; its failure is a refusal." placeholder:"COMMAND"`
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
		return list(s.out)
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
	server := &badidp.Server{Base: "http://" + listener.Addr().String(), Keys: keys, SP: *sp, Person: c.person(), Lower: c.Lower, Encrypt: c.Encrypt, Clock: time.Now}
	if err := onlyHere(listener); err != nil {
		return err
	}
	if c.Artifact {
		stop, err := c.serveBackChannel(ctx, server)
		if err != nil {
			return err
		}
		defer stop()
	}
	if len(faults) > 0 {
		server.Choose(faults[0].Name)
	}
	if c.Metadata != "" {
		if err := os.WriteFile(c.Metadata, server.Metadata(), 0o600); err != nil {
			return err
		}
	}
	h := &http.Server{Handler: labpages.LoopbackOnly(server.Handler()), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute}
	served := make(chan error, 1)
	go func() { served <- h.Serve(listener) }()
	defer func() { _ = h.Close() }()
	fmt.Fprintf(s.err, "Bad identity provider: metadata at %s, single sign-on at %s.\n", server.EntityID(), server.SignOn())
	if c.Wait {
		if err := waitForEnter(s); err != nil {
			return err
		}
	}
	if c.Status != 0 || c.Text != "" {
		return c.run(ctx, s, server, faults)
	}
	return answerBrowsers(ctx, s, server, faults, served)
}

// answerBrowsers says how, until ctx ends or the server does.
func answerBrowsers(ctx context.Context, s streams, server *badidp.Server, faults []badidp.Fault, served <-chan error) error {
	if len(faults) == 0 {
		return errors.New("faults of logout and metadata are tried in a run: say --success-status or --success-text")
	}
	fmt.Fprintf(s.err, "Answers browsers with %q until Ctrl-C; %s/ chooses. For a run with a report, say --success-status or --success-text.\n", faults[0].Name, server.Base)
	select {
	case <-ctx.Done():
		return nil
	case err := <-served:
		return err
	}
}

// waitForEnter lets the service provider read the metadata of this run.
func waitForEnter(s streams) error {
	fmt.Fprintln(s.err, "Configure the service provider, then press Enter.")
	if _, err := bufio.NewReader(s.in).ReadString('\n'); err != nil {
		return fmt.Errorf("waiting for Enter: %w", err)
	}
	return nil
}

// list tells what faults there are.
func list(out io.Writer) error {
	for _, f := range everyFault() {
		if _, err := fmt.Fprintf(out, "%-44s %-11s %s\n", f.Name, f.Area, f.What); err != nil {
			return err
		}
	}
	return nil
}

// everyFault is the list of all batteries.
func everyFault() []badidp.Fault {
	all := badidp.Battery()
	for _, f := range badidp.LogoutBattery() {
		all = append(all, f.Fault)
	}
	for _, f := range badidp.MetadataBattery() {
		all = append(all, f.Fault)
	}
	return all
}

// onlyHere refuses a listener that other machines reach.
func onlyHere(listener net.Listener) error {
	if local := netip.MustParseAddrPort(listener.Addr().String()).Addr(); !local.IsLoopback() {
		return fmt.Errorf("a bad identity provider listens on loopback only, not at %s", local)
	}
	return nil
}

// serveBackChannel serves artifact resolution over TLS until stop.
func (c *badIDPCommand) serveBackChannel(ctx context.Context, server *badidp.Server) (stop func(), err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Back)
	if err != nil {
		return nil, err
	}
	if err := onlyHere(listener); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	server.Back = &badidp.BackChannel{Keys: server.Keys}
	server.Resolve = "https://" + listener.Addr().String() + "/resolve"
	if c.TLSOut != "" {
		if err := os.WriteFile(c.TLSOut, server.Keys.ServerPEM(), 0o600); err != nil {
			return nil, errors.Join(err, listener.Close())
		}
	}
	h := &http.Server{Handler: labpages.LoopbackOnly(server.Back.Handler()), TLSConfig: server.Back.TLS(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute}
	go func() { _ = h.ServeTLS(listener, "", "") }() // ends with stop
	return func() { _ = h.Close() }, nil
}

func (c *badIDPCommand) run(ctx context.Context, s streams, server *badidp.Server, faults []badidp.Fault) error {
	report, err := c.tryAll(ctx, server, faults)
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

// tryAll runs the chosen faults of each battery, as far as the flags say where:
// answers, logout messages, metadata.
func (c *badIDPCommand) tryAll(ctx context.Context, server *badidp.Server, faults []badidp.Fault) (*badidp.Report, error) {
	t := badidp.Target{
		ServiceProvider: server.SP, IdP: server.EntityID(), SignOn: server.SignOn(), LogoutService: server.LogoutService(), Start: c.Start,
		SuccessStatus: c.Status, SuccessText: c.Text, Person: server.Person, Class: c.Class, Lower: c.Lower, Encrypt: c.Encrypt, Artifact: server.Back, Clock: time.Now,
	}
	report, err := badidp.Run(ctx, t, server.Keys, faults)
	if logout := c.logoutFaults(); err == nil && len(logout) > 0 {
		var more *badidp.Report
		more, err = badidp.RunLogout(ctx, t, badidp.LogoutTarget{Service: server.SP.Logout, Start: c.LeaveStart, Text: c.LeaveText}, server.Keys, logout)
		report.Join(more)
	}
	if metadata := c.metadataFaults(); err == nil && len(metadata) > 0 {
		var more *badidp.Report
		more, err = badidp.RunMetadata(ctx, t, server.Endpoints(), server.Keys, metadata, c.reload)
		report.Join(more)
	}
	return report, err
}

// reload gives the service provider a metadata document.
func (c *badIDPCommand) reload(ctx context.Context, document []byte) error {
	if err := os.WriteFile(c.Metadata, document, 0o600); err != nil {
		return err
	}
	return exec.CommandContext(ctx, "/bin/sh", "-c", c.Reload).Run()
}

// wants says whether the flags choose a fault.
func (c *badIDPCommand) wants(f badidp.Fault) bool {
	return slices.Contains(c.Fault, f.Name) || len(c.Fault) == 0 && (len(c.Area) == 0 || slices.Contains(c.Area, f.Area))
}

// faults are the chosen ones of answers; all of them, if none is.
func (c *badIDPCommand) faults() ([]badidp.Fault, error) {
	known := everyFault()
	for _, name := range c.Fault {
		if !slices.ContainsFunc(known, func(f badidp.Fault) bool { return f.Name == name }) {
			return nil, fmt.Errorf("no fault is called %q; try eidlab badidp --list", name)
		}
	}
	if !slices.ContainsFunc(known, c.wants) {
		return nil, errors.New("no fault is of this area; try eidlab badidp --list")
	}
	var chosen []badidp.Fault
	for _, f := range badidp.Battery() {
		if c.wants(f) {
			chosen = append(chosen, f)
		}
	}
	return chosen, nil
}

// logoutFaults are the chosen ones of logout messages, where there is a service.
func (c *badIDPCommand) logoutFaults() []badidp.LogoutFault {
	if c.Logout == "" {
		return nil
	}
	return slices.DeleteFunc(badidp.LogoutBattery(), func(f badidp.LogoutFault) bool { return !c.wants(f.Fault) })
}

// metadataFaults are the chosen ones of metadata, where it can be read again. The
// right document comes first.
func (c *badIDPCommand) metadataFaults() []badidp.MetadataFault {
	if c.Reload == "" {
		return nil
	}
	return slices.DeleteFunc(badidp.MetadataBattery(), func(f badidp.MetadataFault) bool {
		return !c.wants(f.Fault) && (!f.Valid || !slices.Contains(c.Area, f.Area))
	})
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
	if c.Artifact {
		sp.ACS = sp.ArtifactACS
	}
	if c.Target != "" {
		sp.ACS = c.Target
	}
	if c.Logout == "" {
		c.Logout = sp.Logout
	}
	sp.Logout = c.Logout
	if c.Reload != "" && c.Metadata == "" {
		return nil, errors.New("--reload needs --metadata-out, the file that is read again")
	}
	if sp.EntityID == "" || sp.ACS == "" {
		return nil, errors.New("say whom to test: --sp-metadata, or --sp-entity and --target")
	}
	for _, address := range []string{sp.ACS, c.Start, c.Logout, c.LeaveStart} {
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
