package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/pki"
	"github.com/eidbridge/eidbridge/fixtures/trustservices"
)

type serveCommand struct {
	choice
	Empty    bool   `help:"Begin with empty readers."`
	VPCD     string `name:"vpcd" help:"Where the system's pcscd waits for virtual cards." default:"127.0.0.1:35963" placeholder:"HOST:PORT"`
	Own      bool   `name:"own-pcscd" help:"Start a pcscd for these cards alone, apart from the system's."`
	Listen   string `help:"Serve one card without any pcscd, for eidagent --vpcd." placeholder:"HOST:PORT"`
	PKI      string `name:"pki" help:"Folder that receives the trust anchors of the cards' certificates and the DNIe's terminal keys." placeholder:"DIR" type:"path"`
	Seed     string `help:"Make the same keys and authorities whenever this text is the same: for a trust store that is set up once." placeholder:"TEXT"`
	Services string `help:"Answer OCSP, CRL and time-stamp requests for the cards' certificates at this address, and publish trusted lists there." placeholder:"HOST:PORT"`
	Control  string `help:"Socket for insert and remove." env:"EIDLAB_CARD" placeholder:"PATH" type:"path"`
	Env      string `help:"Write the environment variables for other programs to this file once everything is ready." placeholder:"FILE" type:"path"`
}

// systemSocket is where the system's pcscd waits. Dialling it wakes a pcscd that
// systemd starts on demand.
const systemSocket = "/run/pcscd/pcscd.comm"

// Run serves until interrupted.
func (c *serveCommand) Run(ctx context.Context, s streams) error {
	first, err := c.order()
	if err != nil {
		return err
	}
	options := pki.Options{Seed: []byte(c.Seed)}
	if c.Services != "" {
		options.BaseURL = "http://" + c.Services
	}
	country, err := pki.New(options)
	if err != nil {
		return err
	}
	if c.PKI != "" {
		if err := writePKI(country, c.PKI); err != nil {
			return err
		}
	}
	// Made before any reader, so that a wrong order disturbs nothing.
	var spec *inserting
	if !c.Empty {
		if spec, err = prepare(country, first, 0); err != nil {
			return err
		}
	}
	slots, err := c.readers(ctx)
	if err != nil {
		return err
	}
	err = c.serve(ctx, country, slots, spec, s)
	return errors.Join(err, slots.stop())
}

func (c *serveCommand) serve(ctx context.Context, country *pki.Country, slots readers, spec *inserting, s streams) error {
	if c.Services != "" {
		stop, err := serveHTTP(ctx, c.Services, trustservices.New(country, "http://"+c.Services, nil).Handler())
		if err != nil {
			return err
		}
		defer stop()
	}
	desk := &cardDesk{country: country, slots: slots}
	listener, path, err := c.control(ctx)
	if err != nil {
		return err
	}
	defer listener.Close()
	go desk.serve(ctx, listener)
	if spec != nil {
		if err := slots.insert(ctx, spec.slot, spec.spec); err != nil {
			return err
		}
	}
	environment := append(slots.env(), "EIDLAB_CARD="+path)
	if c.Env != "" {
		if err := writeEnv(c.Env, environment); err != nil {
			return err
		}
		defer func() { _ = os.Remove(c.Env) }()
	}
	text := ""
	if spec != nil {
		text = "Inserted: " + spec.String() + ".\n"
	}
	text += slots.describe() + "Another terminal inserts and removes cards with eidlab card insert and remove:\n"
	for _, variable := range environment {
		text += "export " + variable + "\n"
	}
	fmt.Fprint(s.out, text)
	select {
	case <-ctx.Done():
		return nil
	case err := <-slots.ended():
		return err
	}
}

func writePKI(country *pki.Country, dir string) error {
	if err := country.WritePEM(dir); err != nil {
		return err
	}
	keys, err := country.TerminalKeys()
	if err != nil {
		return err
	}
	// The lab's keys protect nothing.
	return os.WriteFile(filepath.Join(dir, "dnie-keys.json"), keys, 0o600)
}

// writeEnv writes a file that a shell reads, whole or not at all.
func writeEnv(path string, variables []string) error {
	var text strings.Builder
	for _, v := range variables {
		name, value, _ := strings.Cut(v, "=")
		fmt.Fprintf(&text, "export %s='%s'\n", name, strings.ReplaceAll(value, "'", `'\''`))
	}
	part := path + ".part"
	if err := os.WriteFile(part, []byte(text.String()), 0o600); err != nil {
		return err
	}
	return os.Rename(part, path)
}

func serveHTTP(ctx context.Context, address string, handler http.Handler) (stop func(), err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(listener)
	}()
	return func() {
		_ = server.Close()
		<-ended
	}, nil
}
