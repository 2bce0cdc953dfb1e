package main

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/asic"
	"github.com/eidbridge/eidbridge/signing/cades"
	"github.com/eidbridge/eidbridge/signing/certpath"
	"github.com/eidbridge/eidbridge/signing/fetch"
	"github.com/eidbridge/eidbridge/signing/pades"
	"github.com/eidbridge/eidbridge/signing/tsp"
	"github.com/eidbridge/eidbridge/signing/xades"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// raising names the services that levels above B-B need.
type raising struct {
	TSA      []string `name:"tsa" env:"EIDAGENT_TSA" placeholder:"URL" help:"Time-stamping authority; several are tried in order."`
	Accounts string   `name:"tsa-accounts" env:"EIDAGENT_TSA_ACCOUNTS" placeholder:"FILE" help:"Private file with the accounts at time-stamping authorities that ask for a name and password or a client certificate."`
	Anchors  string   `env:"EIDAGENT_ANCHORS" placeholder:"PATH" help:"Where certificate paths end: a PEM file, or a folder of *.pem files."`
	Local    []string `name:"allow-local" env:"EIDAGENT_ALLOW_LOCAL" placeholder:"HOST:PORT" help:"Services inside this computer or its network that may be asked."`
}

// services returns whom to ask for a level, nil for B-B.
func (a *raising) services(level signing.Baseline) (*signing.Services, error) {
	if level == signing.BaselineB {
		return nil, nil
	}
	if len(a.TSA) == 0 {
		return nil, &problem{exit: exitUsage, message: "level " + string(level) + " needs a time-stamp", hints: []string{
			"Name a time-stamping authority with --tsa URL, in EIDAGENT_TSA, or as tsa in the configuration file.",
		}}
	}
	accounts, err := readAccounts(a.Accounts)
	if err != nil {
		return nil, err
	}
	for _, address := range a.TSA {
		if err := a.checkAddress(address); err != nil {
			return nil, err
		}
	}
	client := fetch.New(fetch.Options{Allow: a.Local})
	stamps := &tsp.Client{Fetch: client}
	for _, address := range a.TSA {
		server := tsp.Server{URL: address}
		if account := accounts[address]; account != nil {
			server.Fetch = fetch.New(fetch.Options{Allow: a.Local, Account: account})
		}
		stamps.Servers = append(stamps.Servers, server)
	}
	s := &signing.Services{TimeStamps: stamps, Fetch: client}
	if a.Anchors == "" {
		return s, nil
	}
	certificates, err := anchors(a.Anchors)
	if err != nil {
		return nil, err
	}
	s.Anchors, s.Candidates = trusted(certificates)
	return s, nil
}

// baselineOf reads a level in its long or short form: B-LT or LT.
func baselineOf(level string) signing.Baseline {
	return signing.Baseline("B-" + strings.TrimPrefix(level, "B-"))
}

// tellShortfall says that a level was not reached, and returns the exit code that
// tells so, or nil.
func (p *program) tellShortfall(reached signing.Baseline, shortfall, file string) error {
	if shortfall == "" {
		return nil
	}
	fmt.Fprintf(p.stderr, "eidagent: the document has level %s only: %s\n", reached, shortfall)
	if strings.Contains(file, " ") {
		file = `"` + file + `"`
	}
	later := "Later: eidagent extend " + file
	if strings.Contains(shortfall, certpath.ErrNoPath.Error()) {
		later = "With the certificates of the authorities: eidagent extend " + file + " --anchors PATH"
	}
	fmt.Fprintf(p.stderr, "eidagent: hint: Nothing has to be signed again. %s\n", later)
	return quiet(exitShort)
}

// checkAddress tells before anybody is asked for a PIN what is wrong with an address that
// could be reached never.
func (a *raising) checkAddress(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return &problem{exit: exitUsage, message: fmt.Sprintf("--tsa %q is no address of a time-stamping authority", address), hints: []string{
			"It begins with https:// or http://, such as http://tsa.example/tsr",
		}}
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	ip, err := netip.ParseAddr(u.Hostname())
	inside := err == nil && !fetch.Public(ip) || u.Hostname() == "localhost"
	if place := net.JoinHostPort(u.Hostname(), port); inside && !slices.Contains(a.Local, place) {
		return &problem{exit: exitUsage, message: fmt.Sprintf("the time-stamping authority %s is inside this computer or its network", address), hints: []string{
			"If that is right, allow it: --allow-local " + place,
		}}
	}
	return nil
}

type extendCommand struct {
	File    string   `arg:"" help:"The signed document: PDF, XML, a container or a message."`
	Content []string `placeholder:"FILE" help:"The file that a detached signature is about (may be repeated; default: FILE of FILE.p7s)."`
	Out     string   `short:"o" placeholder:"FILE" help:"Where to write the result (default: FILE-extended.pdf beside it)."`
	Force   bool     `help:"Replace the output file if it exists."`
	Level   string   `enum:"B-T,B-LT,B-LTA,T,LT,LTA" placeholder:"LEVEL" default:"B-LTA" help:"Baseline level to reach: B-T, B-LT or B-LTA. A document of level B-LTA is renewed."`
	JSON    bool     `name:"json" help:"Print the result as JSON."`
	unlocking
	asking
	raising
}

// extendReport is the JSON of this command.
type extendReport struct {
	File   string `json:"file"`
	Output string `json:"output"`
	*signing.Extension
}

func (c *extendCommand) Run(p *program) error {
	level := baselineOf(c.Level)
	services, err := c.services(level)
	if err != nil {
		return err
	}
	out := c.Out
	if out == "" {
		out = marked(c.File, "-extended")
	}
	extension, err := c.extend(p, out, level, services)
	if err != nil {
		return err
	}
	short := p.tellShortfall(extension.After, extension.Shortfall, out)
	if c.JSON {
		err = p.printJSON(extendReport{File: c.File, Output: out, Extension: extension})
	} else {
		_, err = fmt.Fprintln(p.stdout, out)
	}
	if err != nil {
		return err
	}
	return short
}

// extend raises a file as what it is.
func (c *extendCommand) extend(p *program, out string, level signing.Baseline, services *signing.Services) (*signing.Extension, error) {
	kind, err := kindOf(c.File)
	if err != nil {
		return nil, err
	}
	switch kind {
	case kindXML, kindInvoice:
		return xades.ExtendFile(p.ctx, c.File, out, level, services, xades.ExtendOptions{Limits: xmltext.FileLimits(), Resolver: xades.Files(c.Content), Overwrite: c.Force})
	case kindContainer, kindZIP:
		return asic.ExtendFile(p.ctx, c.File, out, level, services, c.Force)
	case kindMessage:
		return cades.ExtendFile(p.ctx, c.File, detachedFile(c.File, c.Content), out, level, services, c.Force)
	case kindOther:
		return nil, unsignable(c.File)
	}
	open := c.passwords(c.manager)
	defer open.wipe()
	if services.Password, err = open.of(p.ctx, c.File); err != nil {
		return nil, err
	}
	return pades.ExtendFile(p.ctx, c.File, out, level, services, c.Force)
}

// marked puts a word before the ending of a name: contract.xml, contract-signed.xml.
func marked(file, word string) string {
	extension := filepath.Ext(file)
	return strings.TrimSuffix(file, extension) + word + extension
}

// beside names an output after its input.
func beside(file, ending string) string {
	if extension := filepath.Ext(file); strings.EqualFold(extension, ".pdf") {
		file = strings.TrimSuffix(file, extension)
	}
	return file + ending
}
