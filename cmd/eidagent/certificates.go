package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/desktop/prompt"
)

type certificatesCommand struct {
	PEM     bool     `name:"pem" help:"Print PEM. A certificate holds its holder's name and number."`
	Chain   bool     `help:"Add the certificates of the issuers up to the root, from --issuers."`
	Issuers []string `sep:"none" placeholder:"FILE" help:"PEM or DER files in which issuers are looked for."`
	JSON    bool     `name:"json" help:"Print JSON."`
	choosing
	entering
}

// chainReport is a certificate in the JSON of this command.
type chainReport struct {
	certificateReport
	Reader   string   `json:"reader"`
	Key      string   `json:"key"`
	Serial   string   `json:"serial"`            // hexadecimal
	PEM      string   `json:"pem,omitzero"`      // with --pem
	Chain    []string `json:"chain,omitzero"`    // with --chain: names of the issuers, nearest first
	ChainPEM string   `json:"chainPEM,omitzero"` // with both
	Complete bool     `json:"complete,omitzero"` // the chain ends in a root
}

const (
	// maxIssuers bounds the certificates of --issuers, maxIssuerFile a file of them
	// in bytes.
	maxIssuers    = 1000
	maxIssuerFile = 4 << 20
	// maxChain bounds the issuers above a certificate.
	maxChain = 6
)

func (c *certificatesCommand) Run(p *program) error {
	if c.Chain && len(c.Issuers) == 0 {
		return &problem{exit: exitUsage, message: "--chain needs certificates of issuers", hints: []string{
			"Name files with --issuers. Issuers publish them; no card of this project's holds them all.",
		}}
	}
	issuers, err := readIssuers(c.Issuers)
	if err != nil {
		return err
	}
	source, err := p.source(c.questions())
	if err != nil {
		return err
	}
	wanted, err := c.selection(p.ctx, source)
	if err != nil {
		return err
	}
	slots, err := source.List(p.ctx)
	if err != nil {
		return err
	}
	reports := []chainReport{}
	printed := make(map[string]bool)
	for _, slot := range slots {
		if wanted.Reader != "" && slot.Reader.Name != wanted.Reader {
			continue
		}
		for i, r := range p.describe(slot, time.Now()).Certificates {
			credential := slot.Credentials[i]
			if wanted.Usage != "" && wanted.Usage != r.Usage || wanted.CertificateSHA256 != "" && wanted.CertificateSHA256 != r.SHA256 {
				continue
			}
			if c.PEM && !c.JSON && printed[r.SHA256] {
				continue // a key file's certificate for two usages
			}
			printed[r.SHA256] = true
			reports = append(reports, c.report(slot, credential, r, issuers))
		}
	}
	if len(reports) == 0 {
		if err := missing(slots); err != nil {
			return err
		}
		return cardreader.ErrNoCredential
	}
	if c.JSON {
		return p.printJSON(struct {
			Certificates []chainReport `json:"certificates"`
		}{reports})
	}
	if c.PEM {
		for _, r := range reports {
			fmt.Fprint(p.stdout, r.PEM, r.ChainPEM)
		}
		return nil
	}
	return writeCertificates(p.stdout, reports)
}

func (c *certificatesCommand) report(slot cardreader.Inserted, credential cardreader.Credential, r certificateReport, issuers []*x509.Certificate) chainReport {
	certificate := credential.Certificate
	report := chainReport{
		certificateReport: r, Reader: slot.Reader.Name, Key: keyName(certificate), Serial: fmt.Sprintf("%x", certificate.SerialNumber),
	}
	if c.PEM {
		report.PEM = toPEM(certificate)
	}
	if c.Chain {
		chain := chainOf(certificate, issuers)
		for _, issuer := range chain {
			report.Chain = append(report.Chain, issuer.Subject.CommonName)
			if c.PEM {
				report.ChainPEM += toPEM(issuer)
			}
		}
		report.Complete = len(chain) > 0 && selfIssued(chain[len(chain)-1])
	}
	return report
}

func writeCertificates(w io.Writer, reports []chainReport) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i, r := range reports {
		if i > 0 {
			fmt.Fprintln(t)
		}
		fmt.Fprintf(t, "Certificate\t%s\n", r.Usage)
		fmt.Fprintf(t, "  reader\t%s\n", prompt.Quote(r.Reader, 128))
		fmt.Fprintf(t, "  holder\t%s\n", prompt.Quote(strings.TrimSpace(r.Holder+" "+r.Number), 100))
		fmt.Fprintf(t, "  issuer\t%s\n", prompt.Quote(r.Issuer, 100))
		for n, issuer := range r.Chain {
			fmt.Fprintf(t, "  %d above\t%s\n", n+1, prompt.Quote(issuer, 100))
		}
		if r.Chain != nil && !r.Complete {
			fmt.Fprintf(t, "  chain\tends before a root: add files with --issuers\n")
		}
		fmt.Fprintf(t, "  serial number\t%s\n", r.Serial)
		fmt.Fprintf(t, "  key\t%s\n", r.Key)
		fmt.Fprintf(t, "  valid\t%s to %s%s\n", r.NotBefore.Format(time.DateOnly), r.NotAfter.Format(time.DateOnly), validity(r.certificateReport))
		if r.PIN != "" {
			fmt.Fprintf(t, "  PIN\t%s\n", prompt.Quote(r.PIN, 40))
		}
		fmt.Fprintf(t, "  SHA-256\t%s\n", r.SHA256)
	}
	return t.Flush()
}

func keyName(c *x509.Certificate) string {
	switch key := c.PublicKey.(type) {
	case *ecdsa.PublicKey:
		return key.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA-%d", key.N.BitLen())
	default:
		return c.PublicKeyAlgorithm.String()
	}
}

func toPEM(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

func selfIssued(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, c.RawIssuer) }

// chainOf climbs from issuer to issuer as long as one is known whose key verifies
// the signature. It is no validation: dates and revocation are not looked at.
func chainOf(c *x509.Certificate, issuers []*x509.Certificate) []*x509.Certificate {
	var chain []*x509.Certificate
	for len(chain) < maxChain && !selfIssued(c) {
		var above *x509.Certificate
		for _, candidate := range issuers {
			if bytes.Equal(candidate.RawSubject, c.RawIssuer) && c.CheckSignatureFrom(candidate) == nil {
				above = candidate
				break
			}
		}
		if above == nil {
			break
		}
		chain, c = append(chain, above), above
	}
	return chain
}

func readIssuers(paths []string) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(io.LimitReader(f, maxIssuerFile))
		f.Close()
		if err != nil {
			return nil, err
		}
		before := len(all)
		if c, err := x509.ParseCertificate(data); err == nil {
			all = append(all, c)
			continue
		}
		for rest := data; len(all) < maxIssuers; {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			if c, err := x509.ParseCertificate(block.Bytes); err == nil {
				all = append(all, c)
			}
		}
		if len(all) == before {
			return nil, &problem{exit: exitUsage, message: "no certificate is in " + path}
		}
	}
	return all, nil
}
