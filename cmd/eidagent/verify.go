package main

import (
	"crypto/x509"
	"encoding/json/jsontext"
	json "encoding/json/v2"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/eidbridge/eidbridge/signing/fetch"
	"github.com/eidbridge/eidbridge/signing/pades"
)

type verifyCommand struct {
	File    string   `arg:"" help:"The signed PDF."`
	Anchors string   `placeholder:"PATH" help:"Trusted certificates: a PEM file, or a folder of *.pem files."`
	Offline bool     `name:"without-revocation" help:"Accept certificates although nothing says whether they were revoked."`
	Online  bool     `help:"Ask the authorities that the certificates name, where the document does not say."`
	Local   []string `name:"allow-local" placeholder:"HOST:PORT" help:"Services inside this computer or its network that may be asked."`
	JSON    bool     `name:"json" help:"Print the report as JSON."`
	unlocking
	asking
}

// verifyReport is the JSON of this command: the verdict on the whole, then what
// was found.
type verifyReport struct {
	File    string           `json:"file"`
	Verdict pades.Indication `json:"verdict"`
	*pades.Report
}

// maxAnchors bounds a file of trust anchors, in bytes.
const maxAnchors = 1 << 20

func (c *verifyCommand) Run(p *program) error {
	o := pades.VerifyOptions{WithoutRevocation: c.Offline}
	if c.Online {
		o.Fetch = fetch.New(fetch.Options{Allow: c.Local})
	}
	if c.Anchors != "" {
		certificates, err := anchors(c.Anchors)
		if err != nil {
			return err
		}
		for _, a := range certificates {
			// Only what signs itself is trusted; the rest helps to build paths.
			if a.CheckSignatureFrom(a) == nil {
				o.Roots = append(o.Roots, a)
			} else {
				o.Intermediates = append(o.Intermediates, a)
			}
		}
	}
	f, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	open := c.passwords(c.manager)
	defer open.wipe()
	if o.Password, err = open.of(p.ctx, c.File); err != nil {
		return err
	}
	report, err := pades.Verify(p.ctx, f, info.Size(), o)
	if err != nil {
		return err
	}
	verdict := verdictOf(report)
	if c.JSON {
		err = json.MarshalWrite(p.stdout, verifyReport{File: c.File, Verdict: verdict, Report: report}, jsontext.WithIndent("  "))
		if err == nil {
			_, err = fmt.Fprintln(p.stdout)
		}
	} else {
		err = report.WriteText(p.stdout)
	}
	if err != nil {
		return err
	}
	return c.judge(report, verdict)
}

// verdictOf is the worst of the signatures' indications. No signature is a
// failure: somebody took the file for a signed one.
func verdictOf(r *pades.Report) pades.Indication {
	if len(r.Signatures) == 0 {
		return pades.TotalFailed
	}
	verdict := pades.TotalPassed
	for _, s := range r.Signatures {
		switch s.Indication {
		case pades.TotalPassed:
		case pades.TotalFailed:
			return pades.TotalFailed
		default:
			verdict = pades.Indeterminate
		}
	}
	return verdict
}

func (c *verifyCommand) judge(r *pades.Report, verdict pades.Indication) error {
	switch {
	case len(r.Signatures) == 0:
		return &problem{exit: exitFailed, message: "the document carries no signature"}
	case verdict == pades.TotalFailed:
		return quiet(exitFailed)
	case verdict == pades.Indeterminate:
		p := &problem{exit: exitIndeterminate}
		if r.Intact() && c.Anchors == "" {
			p.hints = []string{"The signature is whole. Who is behind it needs trusted certificates: --anchors PATH"}
		}
		if r.Intact() && c.Anchors != "" && !c.Offline {
			p.hints = []string{"The signature is whole. Where revocation is missing, --online asks for it; --without-revocation leaves it out of the verdict."}
		}
		return p
	}
	return nil
}

// anchors reads trusted certificates from a PEM file or the *.pem and *.crt files
// of a folder.
func anchors(path string) ([]*x509.Certificate, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	files := []string{path}
	if info.IsDir() {
		files = nil
		for _, pattern := range []string{"*.pem", "*.crt"} {
			found, err := filepath.Glob(filepath.Join(path, pattern))
			if err != nil {
				return nil, err
			}
			files = append(files, found...)
		}
	}
	var all []*x509.Certificate
	for _, file := range files {
		certificates, err := readPEM(file)
		if err != nil {
			return nil, fmt.Errorf("anchors: %s: %w", file, err)
		}
		all = append(all, certificates...)
	}
	if len(all) == 0 {
		return nil, &problem{exit: exitUsage, message: "no certificate is in " + path, hints: []string{
			"--anchors takes a PEM file, or a folder with *.pem files.",
		}}
	}
	return all, nil
}

func readPEM(path string) ([]*x509.Certificate, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxAnchors+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxAnchors {
		return nil, errors.New("file is too large")
	}
	var all []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return all, nil
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
}
