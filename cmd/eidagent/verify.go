package main

import (
	"bytes"
	"crypto/x509"
	"encoding/json/jsontext"
	json "encoding/json/v2"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/asic"
	"github.com/eidbridge/eidbridge/signing/cades"
	"github.com/eidbridge/eidbridge/signing/cms"
	"github.com/eidbridge/eidbridge/signing/facturae"
	"github.com/eidbridge/eidbridge/signing/fetch"
	"github.com/eidbridge/eidbridge/signing/pades"
	"github.com/eidbridge/eidbridge/signing/trustlist"
	"github.com/eidbridge/eidbridge/signing/xades"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

type verifyCommand struct {
	File    string   `arg:"" help:"The signed document: PDF, XML, a container (.asice, .asics, .bdoc), or a message (.p7m, .p7s)."`
	Content []string `placeholder:"FILE" help:"The file that a detached signature is about (may be repeated; default: FILE of FILE.p7s)."`
	Anchors string   `placeholder:"PATH" help:"Trusted certificates: a file (PEM or DER), or a folder of *.pem, *.crt and *.cer files."`
	List    []string `name:"trusted-list" placeholder:"FILE" help:"Trust the granted services of this trusted list (TS 119 612; may be repeated). Its own signature is not checked: get it from a place you trust."`
	At      string   `placeholder:"TIME" help:"Judge as of this moment, such as 2026-11-28T12:00:00Z or 2026-11-28 (default: now)."`
	Require string   `enum:",B-B,B-T,B-LT,B-LTA,B,T,LT,LTA" default:"" placeholder:"LEVEL" help:"Do not pass signatures below this baseline level."`
	Offline bool     `name:"without-revocation" help:"Accept certificates although nothing says whether they were revoked."`
	Online  bool     `help:"Ask the authorities that the certificates name, where the document does not say."`
	Local   []string `name:"allow-local" placeholder:"HOST:PORT" help:"Services inside this computer or its network that may be asked."`
	Notes   bool     `name:"accept-annotations" help:"Accept notes, stamps and other annotations that were laid over a signed PDF, where its certification allows them. The report names each."`
	JSON    bool     `name:"json" help:"Print the report as JSON."`
	unlocking
	asking
}

// verifyReport is the JSON of this command: the verdict on the whole, then what
// was found.
type verifyReport struct {
	File    string             `json:"file"`
	Verdict signing.Indication `json:"verdict"`
	// SignatureCount counts countersignatures too, and no time-stamps.
	SignatureCount int `json:"signature_count"`
	*signing.Report
}

// maxAnchors bounds a file of trust anchors, in bytes.
const maxAnchors = 1 << 20

func (c *verifyCommand) Run(p *program) error {
	o := signing.VerifyOptions{WithoutRevocation: c.Offline, AcceptAnnotations: c.Notes}
	if c.Online {
		o.Fetch = fetch.New(fetch.Options{Allow: c.Local})
	}
	if c.Anchors != "" {
		certificates, err := anchors(c.Anchors)
		if err != nil {
			return err
		}
		o.Roots, o.Intermediates = trusted(certificates)
	}
	if c.At != "" {
		var err error
		if o.Time, err = moment(c.At); err != nil {
			return err
		}
	}
	if err := c.trust(&o); err != nil {
		return err
	}
	report, err := c.verify(p, o)
	if err != nil {
		return err
	}
	if c.Require != "" {
		report.Require(baselineOf(c.Require))
	}
	verdict := verdictOf(report)
	if c.JSON {
		err = json.MarshalWrite(p.stdout, verifyReport{File: c.File, Verdict: verdict, SignatureCount: len(report.Signatures), Report: report}, jsontext.WithIndent("  "))
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

// trust takes the services of trusted lists: issuers and time-stamping units as
// anchors, OCSP responders for themselves, each for when it was granted.
func (c *verifyCommand) trust(o *signing.VerifyOptions) error {
	given := o.Roots
	var lists []*trustlist.List
	for _, name := range c.List {
		raw, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		list, err := trustlist.Parse(raw)
		if err != nil {
			return &problem{exit: exitUsage, message: name + ": " + err.Error(), hints: []string{
				"--trusted-list takes the XML of a national trusted list.",
			}}
		}
		lists = append(lists, list)
		o.Roots = slices.Concat(o.Roots, list.Listed(trustlist.Anchors()...))
		o.Responders = append(o.Responders, list.Listed(trustlist.Answers()...)...)
	}
	if len(lists) == 0 {
		return nil
	}
	types := slices.Concat(trustlist.Anchors(), trustlist.Answers())
	o.Relied = func(found *x509.Certificate, at time.Time) bool {
		return slices.ContainsFunc(given, found.Equal) ||
			slices.ContainsFunc(lists, func(l *trustlist.List) bool { return l.Relied(found, at, types...) })
	}
	return nil
}

// verify judges a file as what it is.
func (c *verifyCommand) verify(p *program, o signing.VerifyOptions) (*signing.Report, error) {
	kind, err := kindOf(c.File)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(c.File)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	x := xades.VerifyOptions{VerifyOptions: o, Resolver: xades.Files(c.Content), Limits: xmltext.FileLimits()}
	switch kind {
	case kindXML:
		return xades.Verify(p.ctx, f, info.Size(), x)
	case kindInvoice:
		return facturae.Verify(p.ctx, f, info.Size(), x)
	case kindContainer, kindZIP:
		return asic.Verify(p.ctx, f, info.Size(), o)
	case kindMessage:
		content, err := detachedContent(c.File, c.Content)
		if err != nil {
			return nil, err
		}
		return cades.Verify(p.ctx, f, info.Size(), content, o)
	case kindOther:
		return nil, unsignable(c.File)
	}
	open := c.passwords(c.manager)
	defer open.wipe()
	if o.Password, err = open.of(p.ctx, c.File); err != nil {
		return nil, err
	}
	return pades.Verify(p.ctx, f, info.Size(), o)
}

// verdictOf is the worst of the signatures' indications. No signature is a
// failure: somebody took the file for a signed one.
func verdictOf(r *signing.Report) signing.Indication {
	if len(r.Signatures) == 0 {
		return signing.TotalFailed
	}
	verdict := signing.TotalPassed
	for _, s := range r.Signatures {
		switch s.Indication {
		case signing.TotalPassed:
		case signing.TotalFailed:
			return signing.TotalFailed
		default:
			verdict = signing.Indeterminate
		}
	}
	return verdict
}

func (c *verifyCommand) judge(r *signing.Report, verdict signing.Indication) error {
	switch {
	case len(r.Signatures) == 0 && len(r.TimeStamps) > 0:
		return &problem{exit: exitFailed, message: "the document carries a time-stamp and no signature"}
	case len(r.Signatures) == 0:
		return &problem{exit: exitFailed, message: "the document carries no signature"}
	case verdict == signing.TotalFailed:
		return quiet(exitFailed)
	case verdict == signing.Indeterminate:
		p := &problem{exit: exitIndeterminate}
		if unfound(r) {
			p.hints = []string{"Name the file that was signed: --content FILE"}
			return p
		}
		if r.Intact() && c.Anchors == "" && len(c.List) == 0 {
			p.hints = []string{"The signature is whole. Who is behind it needs trusted certificates: --anchors PATH"}
		}
		if r.Intact() && (c.Anchors != "" || len(c.List) > 0) && !c.Offline {
			p.hints = []string{"The signature is whole. Where revocation is missing, --online asks for it; --without-revocation leaves it out of the verdict."}
		}
		return p
	}
	return nil
}

// unfound tells whether signed content was not at hand although it could be named.
func unfound(r *signing.Report) bool {
	return (r.Format == signing.CAdES || r.Format == signing.XAdES) && slices.ContainsFunc(r.Signatures, func(s signing.Signature) bool {
		return s.SubIndication == signing.SignedDataNotFound
	})
}

// trusted tells anchors from certificates that only help to build paths: what signs
// itself is an anchor, or everything if nothing does, since somebody named it.
func trusted(list []*x509.Certificate) (roots, helpers []*x509.Certificate) {
	for _, c := range list {
		if bytes.Equal(c.RawIssuer, c.RawSubject) && cms.CheckOldCertificate(c, c) == nil {
			roots = append(roots, c)
		} else {
			helpers = append(helpers, c)
		}
	}
	if len(roots) == 0 {
		return helpers, nil
	}
	return roots, helpers
}

// moment reads a time, or the end of a day.
func moment(text string) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return day, &problem{exit: exitUsage, message: "--at: " + text + " is no time", hints: []string{
			"Write it as 2026-11-28T12:00:00Z, or as 2026-11-28 for the end of that day in UTC.",
		}}
	}
	return day.AddDate(0, 0, 1).Add(-time.Second), nil
}

// anchors reads trusted certificates from a file or the certificates of a folder.
func anchors(path string) ([]*x509.Certificate, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	files := []string{path}
	if info.IsDir() {
		files = nil
		for _, pattern := range []string{"*.pem", "*.crt", "*.cer"} {
			found, err := filepath.Glob(filepath.Join(path, pattern))
			if err != nil {
				return nil, err
			}
			files = append(files, found...)
		}
	}
	var all []*x509.Certificate
	for _, file := range files {
		certificates, err := readCertificates(file)
		if err != nil {
			return nil, fmt.Errorf("anchors: %s: %w", file, err)
		}
		all = append(all, certificates...)
	}
	if len(all) == 0 {
		return nil, &problem{exit: exitUsage, message: "no certificate is in " + path, hints: []string{
			"--anchors takes a file with certificates (PEM or DER), or a folder of them.",
		}}
	}
	return all, nil
}

// readCertificates reads PEM, or one certificate in DER.
func readCertificates(path string) ([]*x509.Certificate, error) {
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
	if one, err := cms.ParseCertificate(data); err == nil {
		return []*x509.Certificate{one}, nil
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
		c, err := cms.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
}
