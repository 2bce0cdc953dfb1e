package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/admin"
	"github.com/eidbridge/eidbridge/brokers/audit"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/levels"
)

type adminTokenCommand struct {
	Name string `arg:"" help:"Who gets it: the actor of audit events."`
	Role string `help:"viewer or operator." enum:"viewer,operator" default:"viewer"`
}

// Run makes a token and prints it, the only time, with the line for the file.
func (c *adminTokenCommand) Run(s streams) error {
	if !admin.IsName(c.Name) {
		return fmt.Errorf("%q is no name: lower-case letters, digits, dots, hyphens, underscores", c.Name)
	}
	token, line := admin.NewToken(c.Name, admin.Role(c.Role))
	fmt.Fprintf(s.out, "token: %s\nline for the file of admin_tokens: %s\n", token, line)
	return nil
}

// adminTokens reads who may use the operator's listener.
func (c config) adminTokens(dir directory) ([]admin.Token, error) {
	if c.AdminListen == "" {
		return nil, nil
	}
	text, err := readSecret(dir.file(c.AdminTokens), false, nil)
	if err != nil {
		return nil, fmt.Errorf("admin_tokens: %w", err)
	}
	tokens, err := admin.ParseTokens(text)
	if err != nil {
		return nil, fmt.Errorf("admin_tokens: %s: %w", c.AdminTokens, err)
	}
	return tokens, nil
}

// checkAdmin refuses an address that others reach: tokens travel in clear.
func (c config) checkAdmin() error {
	if c.AdminListen == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(c.AdminListen)
	if err != nil || !isPort(port) || !provider.IsLoopback(host) {
		return fmt.Errorf("admin_listen: %q is not a loopback address and port, such as 127.0.0.1:8183", c.AdminListen)
	}
	return nil
}

// office is the handler of the operator's listener, or nil.
func (s *server) office(c config, p *provider.Provider, upstreams []brokers.Upstream) (http.Handler, error) {
	tokens, err := c.adminTokens(s.dir)
	if err != nil || tokens == nil {
		return nil, err
	}
	static, _, err := c.registered(levels.Default(), s.secrets)
	if err != nil {
		return nil, err
	}
	return admin.New(admin.Config{
		Outages: s.board, Upstreams: upstreams, Bans: s.guard, EndPerson: p.EndPerson,
		Changes:  func(most int) ([]audit.Line, error) { return c.changes(s.dir, most) },
		Registry: c.clientRegistry(static, s.secrets, s.database, s.events), Tokens: tokens, Receipt: s.database.Receipt, Log: s.log,
		Flight: func(ctx context.Context, reference string, now time.Time) (*brokers.Flight, error) {
			return provider.LoadFlight(ctx, s.database, reference, now)
		},
	})
}
