package main

import (
	"bytes"
	"encoding/json/jsontext"
	json "encoding/json/v2"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"text/tabwriter"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/pkcs11"
	"github.com/eidbridge/eidbridge/desktop/prompt"
)

type diagnoseCommand struct {
	Save string `placeholder:"FILE" help:"Write the report to this file, after showing it and asking."`
	Yes  bool   `help:"Do not ask before writing."`
	JSON bool   `name:"json" help:"Show JSON. What is saved is always JSON."`
	entering
}

// diagnosisReport is the JSON of this command. It names neither the card's holder
// nor the card.
type diagnosisReport struct {
	Time    time.Time `json:"time"`
	Version string    `json:"version"`
	Go      string    `json:"go"`
	System  string    `json:"system"`
	// Service is how readers are reached.
	Service string `json:"service"`
	cardreader.Diagnosis
	Modules []moduleReport `json:"modules,omitzero"`
}

// moduleReport is a PKCS #11 module that was named.
type moduleReport struct {
	File         string `json:"file"` // without its folder
	Tokens       int    `json:"tokens"`
	Certificates int    `json:"certificates"`
	Error        string `json:"error,omitzero"`
}

// Run shows the report, and writes the same after a yes. A card that does not
// work is what the report is for, so the exit code speaks of the report alone.
func (c *diagnoseCommand) Run(p *program) error {
	ask := c.questions()
	cards, err := p.cards(ask)
	if err != nil {
		return err
	}
	report := diagnosisReport{
		Time: time.Now().UTC().Truncate(time.Second), Version: version(), Go: runtime.Version(),
		System: runtime.GOOS + "/" + runtime.GOARCH, Service: "pcsc", Diagnosis: cards.Diagnose(p.ctx),
	}
	if p.Service.emulated != "" || p.VPCD != "" {
		report.Service = "vpcd"
	}
	for _, path := range p.PKCS11 {
		report.Modules = append(report.Modules, p.diagnoseModule(path))
	}
	if c.JSON {
		err = p.printJSON(report)
	} else {
		err = report.write(p.stdout)
	}
	if err != nil || c.Save == "" {
		return err
	}
	if !c.Yes {
		manager, err := ask.manager()
		if err != nil {
			return err
		}
		if err := manager.Save(p.ctx, c.Save); err != nil {
			return nothingChanged(err)
		}
	}
	var file bytes.Buffer
	if err := json.MarshalWrite(&file, report, jsontext.WithIndent("  ")); err != nil {
		return err
	}
	file.WriteByte('\n')
	return os.WriteFile(c.Save, file.Bytes(), 0o600)
}

func (p *program) diagnoseModule(path string) moduleReport {
	r := moduleReport{File: filepath.Base(path)}
	slots, err := (&pkcs11.Module{Path: path, Host: moduleHost}).List(p.ctx)
	for _, s := range slots {
		r.Tokens++
		r.Certificates += len(s.Credentials)
		if err == nil {
			err = s.Err
		}
	}
	if err != nil {
		r.Error = err.Error()
	}
	return r
}

// write prints the report for people, with all that the JSON has.
func (r diagnosisReport) write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "Program\teidagent %s, %s, %s\n", r.Version, r.Go, r.System)
	fmt.Fprintf(t, "Time\t%s\n", r.Time.Format(time.RFC3339))
	fmt.Fprintf(t, "Card service\t%s\n", r.Service)
	if r.ServiceError != "" {
		fmt.Fprintf(t, "  problem\t%s\n", prompt.Quote(r.ServiceError, 300))
	}
	for _, slot := range r.Readers {
		fmt.Fprintf(t, "\nReader\t%s\n", prompt.Quote(slot.Name, 128))
		fmt.Fprintf(t, "  state\t%s\n", slot.State)
		if slot.PINPad {
			fmt.Fprintf(t, "  PIN pad\tyes\n")
		}
		if slot.ATR == "" {
			continue
		}
		fmt.Fprintf(t, "  answer to reset\t%s\n", slot.ATR)
		if len(slot.Drivers) == 0 {
			fmt.Fprintf(t, "  driver\tnone knows this card\n")
		}
		for _, d := range slot.Drivers {
			fmt.Fprintf(t, "  driver\t%s\n", d)
		}
		for _, a := range slot.Applications {
			fmt.Fprintf(t, "  application\t%s (%s), status %s\n", a.Name, a.AID, a.Status)
		}
		for _, s := range slot.Steps {
			result := s.Result
			if s.Error != "" {
				result = "FAILED: " + s.Error
			}
			fmt.Fprintf(t, "  %s\t%s (%d ms)\n", s.Name, prompt.Quote(result, 300), s.Milliseconds)
		}
	}
	for _, m := range r.Modules {
		fmt.Fprintf(t, "\nModule\t%s\n  found\t%d tokens, %d certificates\n", prompt.Quote(m.File, 128), m.Tokens, m.Certificates)
		if m.Error != "" {
			fmt.Fprintf(t, "  problem\t%s\n", prompt.Quote(m.Error, 300))
		}
	}
	return t.Flush()
}
