// Command eidlab is an eID country on one machine: a PKI, an emulated card in a
// real pcscd, an emulated DigiD and a sample portal. It is for tests, for the
// demo, and for portal developers who own no card. Nothing it issues is worth
// anything outside.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/eidbridge/eidbridge/fixtures/pcscd"
)

type commands struct {
	Demo       demoCommand       `cmd:"" help:"Start everything, let one citizen log in and sign, then keep running for you to try."`
	Card       cardCommand       `cmd:"" help:"Emulated cards in PC/SC readers, for tests and continuous integration."`
	Country    countryCommand    `cmd:"" help:"OCSP, CRLs, time-stamps and trusted lists alone, for validators and signers."`
	C14N       c14nCommand       `cmd:"" name:"c14n" help:"Print the canonical form of an XML document, to compare octets with other programs."`
	BadIDP     badIDPCommand     `cmd:"" name:"badidp" help:"Play a bad identity provider for a SAML service provider, fault by fault, and report what it accepted."`
	JudgeSAML  judgeSAMLCommand  `cmd:"" name:"judge-saml" help:"Judge a recorded SAML response by the rules of the broker; prints JSON."`
	IDP        idpCommand        `cmd:"" name:"idp" help:"Emulate one identity provider, and print a configuration for eidbroker."`
	LoadTarget loadTargetCommand `cmd:"" help:"Start a broker whose only upstream approves a numbered person at once, for load and conformance tools."`
	Pinentry   pinentryCommand   `cmd:"" hidden:"" help:"Answer the agent's prompts in the lab's own walk."`
	Version    versionCommand    `cmd:"" help:"Print the version."`
}

// streams are where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

func main() {
	// The lab runs itself again inside namespaces to give pcscd a place of its own.
	pcscd.Child()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

// run is the whole program: 0 for success, 1 for a failure, 2 for wrong use.
func run(ctx context.Context, args []string, s streams) int {
	var c commands
	exit := -1
	parser, err := kong.New(&c, kong.Name("eidlab"), kong.Description("An eID country on one machine, for tests and developers."),
		kong.Writers(s.out, s.err), kong.Vars(variables()), kong.Exit(func(code int) { exit = code }), kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(s))
	if err != nil {
		fmt.Fprintln(s.err, "eidlab:", err)
		return 1
	}
	command, err := parser.Parse(args)
	if exit >= 0 { // help was asked for
		return exit
	}
	if err != nil {
		fmt.Fprintf(s.err, "eidlab: %v; try eidlab --help\n", err)
		return 2
	}
	if err := command.Run(); err != nil {
		fmt.Fprintln(s.err, "eidlab:", err)
		return 1
	}
	return 0
}

type versionCommand struct{}

// Run prints the version that the Go toolchain recorded.
func (versionCommand) Run(s streams) error {
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
	}
	_, err := fmt.Fprintln(s.out, "eidlab", version)
	return err
}
