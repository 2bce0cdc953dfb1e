package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/eidbridge/eidbridge/fixtures/demo"
	"github.com/eidbridge/eidbridge/fixtures/idps/digid"
)

type demoCommand struct {
	Once          bool   `help:"End after the walk, with exit code 0 or 1."`
	Out           string `help:"Folder for the signed document, its report and the programs' logs." default:"demo-out" type:"path"`
	InProcessCard bool   `help:"Use the card without pcscd even if one could run."`
	FreePorts     bool   `help:"Take any free ports instead of 8180 to 8187 and 27184."`
	Broker        string `help:"The eidbroker to run; by default the one beside eidlab." placeholder:"PROGRAM" type:"path"`
	Agent         string `help:"The eidagent to run; by default the one beside eidlab." placeholder:"PROGRAM" type:"path"`
}

// Run starts the lab, walks once, and waits for an interrupt unless told not to.
func (c *demoCommand) Run(ctx context.Context, s streams) error {
	options := demo.Options{Ports: demo.DefaultPorts(), OutDir: c.Out, InProcessCard: c.InProcessCard, Out: s.out}
	if c.FreePorts {
		options.Ports = demo.Ports{}
	}
	var err error
	if options.Lab, err = os.Executable(); err != nil {
		return err
	}
	if options.Broker, err = program(c.Broker, options.Lab, "eidbroker"); err != nil {
		return err
	}
	if options.Agent, err = program(c.Agent, options.Lab, "eidagent"); err != nil {
		return err
	}
	fmt.Fprintln(s.out, "Starting the lab.")
	lab, err := demo.Start(ctx, options)
	if err != nil {
		return err
	}
	defer lab.Stop()
	fmt.Fprintln(s.out, "\nOne citizen's journey:")
	if err := lab.Walk(ctx, s.out); err != nil {
		return err
	}
	if c.Once {
		return nil
	}
	if err := lab.HandOver(ctx); err != nil {
		return err
	}
	fmt.Fprintf(s.out, byHand, lab.URLs.Portal, digid.LabPassword, lab.URLs.DigiD, demo.PIN2, c.Out)
	<-ctx.Done()
	fmt.Fprintln(s.out, "Stopping the lab.")
	return nil
}

// byHand is what a person needs to try it.
const byHand = `
Now you. Open %s in a browser on this machine.
  log in     lab-alles, password %s
  SMS code   %s/lab/outbox
  sign       PIN2 %s, when the agent's window or this terminal asks for it
The signed document, its report and the logs are in %s.
Press Ctrl-C to stop.
`

// program finds one of the other two programs.
func program(given, self, name string) (string, error) {
	if given != "" {
		return given, nil
	}
	beside := filepath.Join(filepath.Dir(self), name)
	if _, err := os.Stat(beside); err == nil {
		return beside, nil
	}
	found, err := exec.LookPath(name)
	if err != nil {
		return "", errors.New(name + " is neither beside eidlab nor on the PATH; run make build, or name it with --" + name[len("eid"):])
	}
	return found, nil
}
