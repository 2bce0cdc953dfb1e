package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json/jsontext"
	json "encoding/json/v2"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/desktop"
	"github.com/eidbridge/eidbridge/desktop/prompt"
	"github.com/eidbridge/eidbridge/signing"
)

type signCommand struct {
	File        string `arg:"" help:"The PDF to sign."`
	Out         string `short:"o" placeholder:"FILE" help:"Where to write the signed PDF (default: FILE-signed.pdf beside it)."`
	Force       bool   `help:"Replace the output file if it exists."`
	Reader      string `placeholder:"NAME" help:"Use the reader with this in its name."`
	Certificate string `placeholder:"SHA256" help:"Use the certificate with this SHA-256."`
	Reason      string `placeholder:"TEXT" help:"Reason to put into the signature."`
	Location    string `placeholder:"TEXT" help:"Place to put into the signature."`
	PINFD       int    `name:"pin-fd" placeholder:"N" default:"-1" help:"Read the PIN from this file descriptor (first line)."`
	JSON        bool   `name:"json" help:"Print the result as JSON."`
	asking
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
	prompter, done, err := c.way()
	if err != nil {
		return err
	}
	defer done()
	cards := p.cards()
	reader, err := p.reader(cards, c.Reader)
	if err != nil {
		return err
	}
	service, _, closeAll, err := p.service(cards, prompter, slog.New(slog.NewTextHandler(p.stderr, nil)))
	if err != nil {
		return err
	}
	defer closeAll()
	out := c.Out
	if out == "" {
		extension := filepath.Ext(c.File)
		if !strings.EqualFold(extension, ".pdf") {
			extension = ""
		}
		out = strings.TrimSuffix(c.File, extension) + "-signed.pdf"
	}
	result, err := service.Do(p.ctx, desktop.Request{
		Door: desktop.DoorCommandLine, Kind: desktop.KindSign,
		Documents: []desktop.Document{desktop.PDFFile(c.File, out, c.Force)},
		Output: desktop.Output{
			Format: signing.PAdES, Baseline: signing.BaselineB, Reason: c.Reason, Location: c.Location,
		},
		Credential: desktop.Wanted{Reader: reader, CertificateSHA256: c.Certificate},
		Locale:     c.Lang,
	})
	if err != nil {
		return err
	}
	return c.print(p, result, out)
}

// way chooses how to ask; done closes what it opened.
func (c *signCommand) way() (_ desktop.Prompter, done func(), err error) {
	if c.PINFD >= 0 {
		f, err := pinFile(c.PINFD)
		if err != nil {
			return nil, nil, err
		}
		return prompt.File{Reader: f}, func() { f.Close() }, nil
	}
	texts, err := newTexts()
	if err != nil {
		return nil, nil, err
	}
	prompter, err := c.prompter(texts)
	return prompter, func() {}, err
}

func (c *signCommand) print(p *program, s desktop.Snapshot, out string) error {
	if !c.JSON {
		_, err := fmt.Fprintln(p.stdout, out)
		return err
	}
	signed, sum := s.Signed[0], sha256.Sum256(s.Certificate.Raw)
	err := json.MarshalWrite(p.stdout, signReport{
		File: c.File, Output: out, Format: signing.PAdES, Baseline: signing.BaselineB,
		Algorithm: signed.Algorithm, SHA256: hex.EncodeToString(signed.SHA256[:]),
		Holder: desktop.HolderOf(s.Certificate).Name, Certificate: hex.EncodeToString(sum[:]), Time: s.Finished,
	}, jsontext.WithIndent("  "))
	if err == nil {
		_, err = fmt.Fprintln(p.stdout)
	}
	return err
}
