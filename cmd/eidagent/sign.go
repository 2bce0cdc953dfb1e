package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/desktop"
	"github.com/eidbridge/eidbridge/signing"
)

type signCommand struct {
	File     string `arg:"" help:"The PDF to sign."`
	Out      string `short:"o" placeholder:"FILE" help:"Where to write the signed PDF (default: FILE-signed.pdf beside it)."`
	Force    bool   `help:"Replace the output file if it exists."`
	Reason   string `placeholder:"TEXT" help:"Reason to put into the signature."`
	Location string `placeholder:"TEXT" help:"Place to put into the signature."`
	Level    string `enum:"B-B,B-T,B-LT,B-LTA" default:"B-B" help:"Baseline level: B-B, B-T (time-stamp), B-LT (with validation data) or B-LTA (archive time-stamp)."`
	JSON     bool   `name:"json" help:"Print the result as JSON."`
	raising
	choosing
	entering
}

// signReport is the JSON of this command.
type signReport struct {
	File        string           `json:"file"`
	Output      string           `json:"output"`
	Format      signing.Format   `json:"format"`
	Baseline    signing.Baseline `json:"baseline"`
	Algorithm   string           `json:"algorithm"`
	SHA256      string           `json:"sha256"` // of the output
	Holder      string           `json:"holder"`
	Certificate string           `json:"certificateSHA256"`
	Time        time.Time        `json:"time"` // when the command ended, by this computer's clock
}

func (c *signCommand) Run(p *program) error {
	level := signing.Baseline(c.Level)
	services, err := c.services(level)
	if err != nil {
		return err
	}
	ask := c.questions()
	prompter, err := ask.prompter()
	if err != nil {
		return err
	}
	source, err := p.source(ask)
	if err != nil {
		return err
	}
	wanted, err := c.selection(p.ctx, source)
	if err != nil {
		return err
	}
	if wanted.Usage == cardreader.UsageAuthentication {
		return &problem{exit: exitUsage, message: "an authentication certificate never signs documents", hints: []string{
			"Leave out --certificate, or choose signature.",
		}}
	}
	service, _, closeAll, err := p.service(source, prompter, slog.New(slog.NewTextHandler(p.stderr, nil)))
	if err != nil {
		return err
	}
	defer closeAll()
	out := c.Out
	if out == "" {
		out = beside(c.File, "-signed.pdf")
	}
	result, err := service.Do(p.ctx, desktop.Request{
		Door: desktop.DoorCommandLine, Kind: desktop.KindSign,
		Documents: []desktop.Document{desktop.PDFFile(c.File, out, desktop.FileOptions{Overwrite: c.Force})},
		Output: desktop.Output{
			Format: signing.PAdES, Baseline: level, Services: services, Reason: c.Reason, Location: c.Location,
		},
		Credential: desktop.Wanted{Reader: wanted.Reader, CertificateSHA256: wanted.CertificateSHA256},
		Locale:     c.Lang,
	})
	if err != nil {
		return err
	}
	return c.print(p, result, out)
}

func (c *signCommand) print(p *program, s desktop.Snapshot, out string) error {
	signed := s.Signed[0]
	p.tellShortfall(signed.Baseline, signed.Shortfall, filepath.Base(out))
	if !c.JSON {
		_, err := fmt.Fprintln(p.stdout, out)
		return err
	}
	sum := sha256.Sum256(s.Certificate.Raw)
	return p.printJSON(signReport{
		File: c.File, Output: out, Format: signing.PAdES, Baseline: signed.Baseline,
		Algorithm: signed.Algorithm, SHA256: hex.EncodeToString(signed.SHA256[:]),
		Holder: desktop.HolderOf(s.Certificate).Name, Certificate: hex.EncodeToString(sum[:]), Time: s.Finished,
	})
}
