// Command eidbroker is an OpenID Provider in front of national logins: it sends
// citizens to their country's scheme and tells a portal who came back, and how
// sure that is.
//
// It starts from an empty directory: configuration, keys and database are made
// there. See the file that it writes, or eidbroker config, for every setting.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	_ "time/tzdata" // rules speak of local time, also where no zones are installed

	"github.com/alecthomas/kong"
)

type commands struct {
	Serve   serveCommand      `cmd:"" help:"Serve logins. Makes configuration, keys and database where there are none."`
	Keys    keysCommand       `cmd:"" help:"Make the keys and secrets of a deployment."`
	Cards   cardsCommand      `cmd:"" help:"Decide about cards that were refused."`
	Audit   auditCommand      `cmd:"" help:"Check the audit log."`
	Receipt receiptCommand    `cmd:"" help:"Verify a level receipt without asking anybody, and read it."`
	Client  clientCommand     `cmd:"" help:"Keep clients in the database."`
	Outage  outageCommand     `cmd:"" help:"Put login methods out of order, and back."`
	Bans    bansCommand       `cmd:"" help:"List and lift bans of addresses."`
	Person  personCommand     `cmd:"" help:"End the sessions of a person."`
	Migrate migrateCommand    `cmd:"" help:"Bring the schema of PostgreSQL up to date, by the role that owns it."`
	Backup  backupCommand     `cmd:"" help:"Copy the database while it is served, with a signed statement."`
	Restore restoreCommand    `cmd:"" help:"Put a backup in place, and end all that was issued before."`
	Token   adminTokenCommand `cmd:"" name:"admin-token" help:"Make a token for the listener of operators."`
	Explain explainCommand    `cmd:"" help:"Say what the rules would do with a login."`
	Check   checkCommand      `cmd:"" name:"check-config" help:"Read a configuration with all its files, and say which login methods it offers."`
	Config  configCommand     `cmd:"" help:"Print the default configuration with every setting explained."`
	Version versionCommand    `cmd:"" help:"Print the version."`
}

// streams are where a command writes.
type streams struct {
	out, err io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], streams{os.Stdout, os.Stderr}))
}

// run is the whole program: 0 for success, 1 for a failure, 2 for a wrong
// command line.
func run(ctx context.Context, args []string, s streams) int {
	var c commands
	exit := -1
	parser, err := kong.New(&c, kong.Name("eidbroker"), kong.Description("From a national login to an OpenID Connect token."),
		kong.Writers(s.out, s.err), kong.Exit(func(code int) { exit = code }), kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(s))
	if err != nil {
		fmt.Fprintln(s.err, "eidbroker:", err)
		return 1
	}
	command, err := parser.Parse(args)
	if exit >= 0 { // help was asked for
		return exit
	}
	if err != nil {
		fmt.Fprintf(s.err, "eidbroker: %v; try eidbroker --help\n", err)
		return 2
	}
	if err := command.Run(); err != nil {
		fmt.Fprintln(s.err, "eidbroker:", err)
		return 1
	}
	return 0
}

type configCommand struct{}

// Run prints the file that serve would write.
func (configCommand) Run(s streams) error {
	_, err := s.out.Write(defaultConfig)
	return err
}

type versionCommand struct{}

// Run prints the version that the Go toolchain recorded.
func (versionCommand) Run(s streams) error {
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
	}
	_, err := fmt.Fprintln(s.out, "eidbroker", version)
	return err
}
