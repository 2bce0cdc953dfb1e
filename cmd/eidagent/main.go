// Command eidagent is the citizen's desktop signing agent: it lists cards, signs
// and verifies documents, and serves the loopback API for portals.
//
// Results go to standard output, everything else to standard error, questions to
// the terminal or a pinentry program. A mistake gets one line saying what
// happened and further lines, marked as hints, saying what to do next.
package main

import (
	"context"
	"encoding/json/jsontext"
	json "encoding/json/v2"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"unicode"

	"github.com/alecthomas/kong"

	"github.com/eidbridge/eidbridge/desktop/hardening"
	"github.com/eidbridge/eidbridge/desktop/localapi"
)

// version is what the Go toolchain recorded: a release's tag, or a commit.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// program is what commands share.
type program struct {
	where
	Config kong.ConfigFlag `placeholder:"FILE" env:"EIDAGENT_CONFIG" help:"Options that hold where none is given (default: eidbridge/eidagent.toml in the folder of configurations)."`
	Data   string          `placeholder:"DIR" help:"Folder of journal and pairings (default: ~/.local/share/eidbridge)."`

	Cards   cardsCommand     `cmd:"" help:"List readers, cards and certificates."`
	Card    cardCommand      `cmd:"" help:"Look at one card, manage its PINs, find out why it does not work."`
	Sign    signCommand      `cmd:"" help:"Sign documents with the card: PDF, XML, invoices, containers, any file."`
	Scan    scanCommand      `cmd:"" help:"Name what a PDF does by itself or hides, before you sign it."`
	Extend  extendCommand    `cmd:"" help:"Raise a signed document to a higher baseline level, or renew it."`
	Verify  verifyCommand    `cmd:"" help:"Check the signatures of a document."`
	Bundle  containerCommand `cmd:"" name:"container" help:"Make signature containers, change and list them, take files out."`
	Run     runCommand       `cmd:"" help:"Serve portals on the loopback address."`
	Phrase  phraseCommand    `cmd:"" help:"Choose the words by which you know the agent's own windows."`
	Version versionCommand   `cmd:"" help:"Print the version."`
	Host    hostCommand      `cmd:"" name:"pkcs11-host" hidden:"" help:"Load a PKCS #11 module for another eidagent."`

	ctx            context.Context
	stdout, stderr io.Writer
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	p := &program{ctx: ctx, stdout: stdout, stderr: stderr}
	// kong ends the program itself after --help.
	exited := -1
	parser, err := kong.New(p,
		kong.Name("eidagent"), kong.Description("Sign with your national identity card."),
		kong.Vars{"ports": fmt.Sprint(localapi.Ports())}, kong.Configuration(readSettings, configFile()), kong.Writers(stdout, stderr), kong.Exit(func(code int) { exited = code }))
	if err != nil {
		return p.fail(err)
	}
	if err := hardening.Process(); err != nil {
		return p.fail(err)
	}
	command, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err != nil {
		return p.fail(&problem{exit: exitUsage, message: err.Error(), hints: []string{"eidagent --help lists commands and options."}})
	}
	if err := command.Run(p); err != nil {
		return p.fail(err)
	}
	return exitDone
}

// fail prints what went wrong and what to do, and returns the exit code.
func (p *program) fail(err error) int {
	e := explain(err)
	if e.message != "" {
		fmt.Fprintf(p.stderr, "eidagent: %s\n", harmless(e.message))
	}
	for _, hint := range e.hints {
		fmt.Fprintf(p.stderr, "eidagent: hint: %s\n", harmless(hint))
	}
	return e.exit
}

// harmless keeps what documents, cards and services wrote into an error from steering
// the terminal.
func harmless(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

type versionCommand struct {
	JSON bool `name:"json" help:"Print JSON."`
}

func (c versionCommand) Run(p *program) error {
	if c.JSON {
		return p.printJSON(struct {
			Version string `json:"version"`
			Go      string `json:"go"`
			System  string `json:"system"`
		}{version(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH})
	}
	_, err := fmt.Fprintln(p.stdout, "eidagent "+version())
	return err
}

// printJSON writes a result for programs. Fields are stable.
func (p *program) printJSON(v any) error {
	if err := json.MarshalWrite(p.stdout, v, jsontext.WithIndent("  ")); err != nil {
		return err
	}
	_, err := fmt.Fprintln(p.stdout)
	return err
}

// quiet wraps an exit code whose explanation is on standard output already.
func quiet(code int) error { return &problem{exit: code} }

var errNoData = errors.New("no folder for the agent's data")
