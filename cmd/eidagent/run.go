package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/eidbridge/eidbridge/desktop"
	"github.com/eidbridge/eidbridge/desktop/localapi"
	"github.com/eidbridge/eidbridge/desktop/origins"
	"github.com/eidbridge/eidbridge/desktop/prompt"
)

type runCommand struct {
	Port        []int    `placeholder:"PORT" help:"Port to listen at; several are tried in order (default: ${ports})."`
	AllowOrigin []string `name:"allow-origin" placeholder:"URL" help:"Let this origin ask for a pairing although it is plain http: a portal under development."`
	AllowActive bool     `name:"allow-active" help:"Let portals ask for signatures under documents with scripts, programs to start, remote or hidden content. Each such document is named in the consent and noted in the journal."`
	asking
}

// closeTime is how long requests may take to end after the program was told to.
const closeTime = 5 * time.Second

func (c *runCommand) Run(p *program) error {
	rules, err := c.rules()
	if err != nil {
		return err
	}
	texts, err := newTexts()
	if err != nil {
		return err
	}
	windows, err := c.pinentry(texts)
	if err != nil {
		return err
	}
	// Passwords and access numbers are asked for beside requests.
	prompter := desktop.InTurn(windows)
	log := slog.New(slog.NewTextHandler(p.stderr, nil))
	source, err := p.source(&questions{prompter: func() (desktop.Prompter, error) { return prompter, nil }, locale: c.Lang})
	if err != nil {
		return err
	}
	service, dir, closeAll, err := p.service(source, prompter, c.AllowActive, log)
	if err != nil {
		return err
	}
	defer closeAll()
	store, err := origins.Open(filepath.Join(dir, "pairings.json"), time.Now, rand.Reader)
	if err != nil {
		return err
	}
	ports := c.Port
	if len(ports) == 0 {
		ports = localapi.Ports()
	}
	listeners, port, err := localapi.Listen(p.ctx, ports)
	if err != nil {
		return &problem{exit: exitOther, message: err.Error(), hints: []string{
			"Another eidagent may be running already. Stop it, or choose a port with --port.",
		}}
	}
	door, err := localapi.New(localapi.Config{
		Service: service, Store: store, Rules: rules, Version: version(),
		Now: time.Now, Random: rand.Reader, Log: log,
	}, port)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "http://%s\n", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	err = door.Serve(p.ctx, listeners)
	ending, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), closeTime)
	defer cancel()
	if closeErr := service.Close(ending); err == nil {
		err = closeErr
	}
	return err
}

func (c *runCommand) rules() (origins.Rules, error) {
	var rules origins.Rules
	for _, s := range c.AllowOrigin {
		o, err := origins.ParseSetting(s)
		if err != nil {
			return origins.Rules{}, &problem{exit: exitUsage, message: fmt.Sprintf("--allow-origin %q is no origin", s), hints: []string{
				"An origin is scheme, host and port: http://localhost:8180",
			}}
		}
		rules.Developer = append(rules.Developer, o)
	}
	return rules, nil
}

// newTexts are the catalogues, with the person's phrase.
func newTexts() (*prompt.Texts, error) {
	texts, err := prompt.NewTexts(os.Getenv)
	if err == nil {
		texts.Phrase, err = readPhrase(os.Getenv)
	}
	return texts, err
}
