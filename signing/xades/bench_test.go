package xades_test

import (
	"bufio"
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/needs"
	"github.com/eidbridge/eidbridge/fixtures/xmls"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// large are limits for documents beyond those of unknown origin.
func large() xmltext.Limits { return xmltext.Limits{Size: 1 << 30, Elements: 1 << 30} }

// bench is a folder with a key, its certificate, and documents.
type bench struct {
	key, certificate string
	dir              string
}

func newBench(b testing.TB) *bench {
	b.Helper()
	needs.Program(b, "xmlsec1", "xmlsec1")
	cred := spaniard(b)
	d := &bench{dir: b.TempDir()}
	d.key, d.certificate = filepath.Join(d.dir, "key.pem"), filepath.Join(d.dir, "certificate.pem")
	raw, err := x509.MarshalPKCS8PrivateKey(cred.Signer)
	if err != nil {
		b.Fatal(err)
	}
	d.write(b, d.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
	d.write(b, d.certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cred.Certificate.Raw}))
	return d
}

func (d *bench) write(b testing.TB, name string, data []byte) {
	b.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		b.Fatal(err)
	}
}

// template is an empty signature for xmlsec1 to fill in, with the same algorithms
// as ours.
const template = `<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/><ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"/><ds:Reference URI=""><ds:Transforms><ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/><ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/></ds:Transforms><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue/></ds:Reference></ds:SignedInfo><ds:SignatureValue/><ds:KeyInfo><ds:X509Data/></ds:KeyInfo></ds:Signature>`

// invoices writes so many invoices of so many lines, and the same with a template.
// They are not held in memory: what a process takes is counted from what this one
// has when it starts it.
func (d *bench) invoices(b testing.TB, count, lines int) (plain, templates []string) {
	b.Helper()
	for i := range count {
		plain = append(plain, filepath.Join(d.dir, fmt.Sprintf("%d-%d.xml", lines, i)))
		templates = append(templates, filepath.Join(d.dir, fmt.Sprintf("%d-%d-template.xml", lines, i)))
		d.invoice(b, plain[i], lines, "")
		d.invoice(b, templates[i], lines, template)
	}
	return plain, templates
}

func (d *bench) invoice(b testing.TB, name string, lines int, last string) {
	b.Helper()
	f, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 256<<10)
	if err := errors.Join(xmls.WriteInvoice(w, "3.2.2", lines, last), w.Flush(), f.Close()); err != nil {
		b.Fatal(err)
	}
}

// cost is what a process took.
type cost struct {
	wall, cpu time.Duration
	peak      float64 // MB
}

func measure(b testing.TB, name string, args ...string) cost {
	b.Helper()
	c := exec.Command(name, args...)
	var out bytes.Buffer
	c.Stderr = &out
	began := time.Now()
	if err := c.Run(); err != nil {
		b.Fatalf("%s: %v\n%s", name, err, out.Bytes())
	}
	took := cost{wall: time.Since(began), cpu: c.ProcessState.UserTime() + c.ProcessState.SystemTime()}
	if usage, ok := c.ProcessState.SysUsage().(*syscall.Rusage); ok {
		took.peak = float64(usage.Maxrss) / 1024
	}
	return took
}

// add is what two processes took, one after the other.
func (c cost) add(o cost) cost {
	return cost{wall: c.wall + o.wall, cpu: c.cpu + o.cpu, peak: max(c.peak, o.peak)}
}

// BenchmarkAgainstXmlsec signs and checks the same invoices with our program and
// with xmlsec1, in turn. Ours is SignFile, which reads its output again to check it
// and makes it durable before it has its name; xmlsec1 takes a process to sign and
// one to check, and leaves durability to the system. "sign" compares ours, check
// included, with its signing alone. Of many files ours signs as many side by side as
// there are processors and makes them durable in groups; xmlsec1 does one after the
// other.
func BenchmarkAgainstXmlsec(b *testing.B) {
	d := newBench(b)
	for _, c := range []struct {
		name         string
		count, lines int
	}{{"10MB", 1, 15500}, {"100MB", 1, 155000}, {"1000 invoices", 1000, 3}} {
		plain, templates := d.invoices(b, c.count, c.lines)
		signed := make([]string, len(plain))
		for i := range plain {
			signed[i] = plain[i] + ".signed"
		}
		report := func(b *testing.B, ours, theirs cost) {
			b.ReportMetric(ours.wall.Seconds(), "s")
			b.ReportMetric(theirs.wall.Seconds(), "xmlsec-s")
			b.ReportMetric(theirs.wall.Seconds()/ours.wall.Seconds(), "times-faster")
			b.ReportMetric(theirs.cpu.Seconds()/ours.cpu.Seconds(), "times-less-cpu")
			b.ReportMetric(ours.peak, "peak-MB")
			b.ReportMetric(theirs.peak, "xmlsec-peak-MB")
			b.ReportMetric(0, "ns/op")
		}
		sign := append([]string{"--sign", "--privkey-pem", d.key + "," + d.certificate, "--output", filepath.Join(d.dir, "out.xml")}, templates...)
		verify := append([]string{"--verify", "--insecure", "--enabled-key-data", "x509", "--id-attr:Id", "http://uri.etsi.org/01903/v1.3.2#:SignedProperties"}, signed...)
		b.Run("sign "+c.name, func(b *testing.B) {
			for b.Loop() {
				ours := measure(b, os.Args[0], append([]string{childSign, d.key, d.certificate}, plain...)...)
				report(b, ours, measure(b, "xmlsec1", sign...))
			}
		})
		b.Run("sign and check "+c.name, func(b *testing.B) {
			for b.Loop() {
				ours := measure(b, os.Args[0], append([]string{childSign, d.key, d.certificate}, plain...)...)
				theirs := measure(b, "xmlsec1", sign...).add(measure(b, "xmlsec1", verify...))
				report(b, ours, theirs)
			}
		})
		b.Run("check "+c.name, func(b *testing.B) {
			for b.Loop() {
				ours := measure(b, os.Args[0], append([]string{childVerify}, signed...)...)
				report(b, ours, measure(b, "xmlsec1", verify...))
			}
		})
	}
}
