package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/desktop"
	"github.com/eidbridge/eidbridge/desktop/prompt"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/outfile"
	"github.com/eidbridge/eidbridge/signing/pades"
)

type signCommand struct {
	Files    []string `arg:"" name:"file" help:"The files to sign; a folder stands for the PDFs in it."`
	Out      string   `short:"o" placeholder:"FILE" help:"Where to write the signed file (default: beside it, such as FILE-signed.pdf or FILE.asice). Of a batch, the folder."`
	Force    bool     `help:"Replace the output file if it exists."`
	Reason   string   `placeholder:"TEXT" help:"Reason to put into the signature of a PDF."`
	Location string   `placeholder:"TEXT" help:"Place to put into the signature."`
	Level    string   `enum:"B-B,B-T,B-LT,B-LTA,B,T,LT,LTA" placeholder:"LEVEL" default:"B-B" help:"Baseline level: B-B, B-T (time-stamp), B-LT (with validation data) or B-LTA (archive time-stamp)."`
	Active   bool     `name:"allow-active" help:"Sign PDFs with scripts, programs to start, remote or hidden content, too. The question names what each has, and the journal notes it."`
	JSON     bool     `name:"json" help:"Print the result as JSON."`
	forming
	claiming
	marking
	permitting
	batching
	unlocking
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
	// Findings are what the document was found to do or hide before it was signed.
	Findings []pades.ScanFinding `json:"findings"`
}

func (c *signCommand) Run(p *program) error {
	job, output, err := c.order()
	if err != nil {
		return err
	}
	several, err := c.several(p, job)
	if err != nil {
		return err
	}
	ask := c.questions()
	if output.Visible, err = c.visible(p, c.template); err != nil {
		return err
	}
	if err := c.apply(&output); err != nil {
		return err
	}
	open := c.passwords(ask.manager)
	defer open.wipe()
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
	if c.Preview != "" {
		password, err := open.of(p.ctx, c.Files[0])
		if err != nil {
			return err
		}
		return c.preview(p, c.Files[0], desktop.FileOptions{Password: password}, source, wanted, output)
	}
	service, _, closeAll, err := p.service(source, prompter, c.Active, slog.New(slog.NewTextHandler(p.stderr, nil)))
	if err != nil {
		return err
	}
	defer closeAll()
	if several != nil {
		return several.run(service, open, wanted, output)
	}
	return c.one(p, service, open, wanted, job, output)
}

// order is what was asked for, checked as far as that needs neither card nor file. A
// mark and permissions are not in it yet.
func (c *signCommand) order() (job, desktop.Output, error) {
	level := baselineOf(c.Level)
	services, err := c.services(level)
	if err != nil {
		return job{}, desktop.Output{}, err
	}
	j, err := c.job()
	if err != nil {
		return job{}, desktop.Output{}, err
	}
	claims, err := c.claims()
	if err != nil {
		return job{}, desktop.Output{}, err
	}
	if err := c.check(claims, j.format, j.format == signing.CAdES || c.CAdES, c.Reason); err != nil {
		return job{}, desktop.Output{}, err
	}
	return j, desktop.Output{
		Format: j.format, Packaging: j.packaging, CAdES: c.CAdES, Baseline: level, Services: services,
		Reason: c.Reason, Location: c.Location, Field: c.Field,
		Claims: claims, Elements: c.Element, Parallel: c.Parallel, Manifest: c.SignManifest, Countersign: c.Countersign,
	}, nil
}

// several is the batch, or nil for one file. A list that is longer than a pinentry
// shows is shown in the terminal.
func (c *signCommand) several(p *program, j job) (*batchRun, error) {
	if !j.batch || c.Preview != "" {
		return nil, nil
	}
	run, err := c.newBatch(p)
	if err != nil {
		return nil, err
	}
	if len(run.todo) > prompt.MaxListed && c.Pinentry == "" {
		c.terminal = true
	}
	return run, nil
}

// one signs a single file and tells about it.
func (c *signCommand) one(p *program, service *desktop.Service, open *passwords, wanted cardreader.Selection, j job, output desktop.Output) (err error) {
	var password []byte
	if j.format == signing.PAdES {
		if password, err = open.of(p.ctx, c.Files[0]); err != nil {
			return err
		}
	}
	if _, err := outfile.Sweep(j.out); err != nil {
		return err
	}
	result, err := service.Do(p.ctx, desktop.Request{
		Door: desktop.DoorCommandLine, Kind: desktop.KindSign,
		Documents:  []desktop.Document{j.document(desktop.FileOptions{Overwrite: c.Force, Password: password})},
		Output:     output,
		Credential: desktop.Wanted{Reader: wanted.Reader, CertificateSHA256: wanted.CertificateSHA256},
		Locale:     c.Lang,
	})
	if err != nil {
		return err
	}
	return c.print(p, result, j)
}

// template is what a mark says by default.
func (c *signCommand) template() (string, error) {
	texts, err := newTexts()
	if err != nil {
		return "", err
	}
	return texts.MarkTemplate(c.Lang), nil
}

func (c *signCommand) print(p *program, s desktop.Snapshot, j job) error {
	signed, out := s.Signed[0], j.out
	short := p.tellShortfall(signed.Baseline, signed.Shortfall, out)
	p.tellActive(signed.Scan)
	if !c.JSON {
		if _, err := fmt.Fprintln(p.stdout, out); err != nil {
			return err
		}
		return short
	}
	sum := sha256.Sum256(s.Certificate.Raw)
	findings := []pades.ScanFinding{}
	if signed.Scan != nil {
		findings = signed.Scan.Findings
	}
	if err := p.printJSON(signReport{
		File: c.Files[0], Output: out, Format: j.format, Baseline: signed.Baseline,
		Algorithm: signed.Algorithm, SHA256: hex.EncodeToString(signed.SHA256[:]),
		Holder: desktop.HolderOf(s.Certificate).Name, Certificate: hex.EncodeToString(sum[:]), Time: s.Finished,
		Findings: findings,
	}); err != nil {
		return err
	}
	return short
}
