package c14n_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/beevik/etree"
	goxmldsig "github.com/russellhaering/goxmldsig"

	"github.com/eidbridge/eidbridge/fixtures/needs"
	"github.com/eidbridge/eidbridge/signing/c14n"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// invoice is a document of about that many bytes, as an accounting program
// writes it.
func invoice(size int) []byte {
	var b strings.Builder
	b.Grow(size + 1000)
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<fe:Facturae xmlns:fe="http://www.facturae.gob.es/formato/Versiones/Facturaev3_2_2.xml" xmlns:ds="http://www.w3.org/2000/09/xmldsig#">` + "\n")
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, `  <InvoiceLine id="line-%d" unit="h">
    <ItemDescription>Mantenimiento &amp; revisión de la instalación nº %d, según contrato</ItemDescription>
    <Quantity>%d.0</Quantity>
    <UnitOfMeasure>01</UnitOfMeasure>
    <UnitPriceWithoutTax>%d.250000</UnitPriceWithoutTax>
    <TotalCost>%d.500000</TotalCost>
    <TaxesOutputs>
      <Tax><TaxTypeCode>01</TaxTypeCode><TaxRate>21.00</TaxRate><TaxableBase><TotalAmount>%d.00</TotalAmount></TaxableBase></Tax>
    </TaxesOutputs>
    <AdditionalLineItemInformation/>
  </InvoiceLine>
`, i, i, i%7, i%100, i%1000, i%50)
	}
	b.WriteString("</fe:Facturae>\n")
	return []byte(b.String())
}

func limits() xmltext.Options {
	return xmltext.Options{Limits: xmltext.Limits{Size: 1 << 30, Elements: 1 << 30}}
}

func BenchmarkTokens(b *testing.B) {
	source := invoice(10 << 20)
	b.SetBytes(int64(len(source)))
	b.ReportAllocs()
	for b.Loop() {
		r := xmltext.NewReader(bytes.NewReader(source), limits())
		var err error
		for err == nil {
			_, err = r.Next()
		}
		if !errors.Is(err, io.EOF) {
			b.Fatal(err)
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	source := invoice(10 << 20)
	for _, m := range []c14n.Method{c14n.Inclusive10, c14n.Exclusive10} {
		b.Run(string(m), func(b *testing.B) {
			b.SetBytes(int64(len(source)))
			b.ReportAllocs()
			for b.Loop() {
				h := sha256.New()
				if err := c14n.Write(bytes.NewReader(source), limits(), c14n.Output{Method: m, To: h}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkGoxmldsig parses and canonicalizes with etree and goxmldsig.
func BenchmarkGoxmldsig(b *testing.B) {
	source := invoice(10 << 20)
	for _, c := range []goxmldsig.Canonicalizer{goxmldsig.MakeC14N10RecCanonicalizer(), goxmldsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")} {
		b.Run(string(c.Algorithm()), func(b *testing.B) {
			b.SetBytes(int64(len(source)))
			b.ReportAllocs()
			for b.Loop() {
				doc := etree.NewDocument()
				if err := doc.ReadFromBytes(source); err != nil {
					b.Fatal(err)
				}
				out, err := c.Canonicalize(doc.Root())
				if err != nil {
					b.Fatal(err)
				}
				sha256.Sum256(out)
			}
		})
	}
}

// BenchmarkXmllint runs xmllint on a file; its peak memory is in the metric.
func BenchmarkXmllint(b *testing.B) {
	program := needs.Program(b, "xmllint", "libxml2-utils")
	source := invoice(10 << 20)
	file := filepath.Join(b.TempDir(), "invoice.xml")
	if err := os.WriteFile(file, source, 0o600); err != nil {
		b.Fatal(err)
	}
	for _, option := range []string{"--c14n", "--exc-c14n"} {
		b.Run(strings.Trim(option, "-"), func(b *testing.B) {
			b.SetBytes(int64(len(source)))
			peak := int64(0)
			for b.Loop() {
				run := exec.Command(program, option, file)
				if err := run.Run(); err != nil {
					b.Fatal(err)
				}
				if usage, ok := run.ProcessState.SysUsage().(*syscall.Rusage); ok {
					peak = max(peak, usage.Maxrss)
				}
			}
			b.ReportMetric(float64(peak)/1024, "peak-MB")
		})
	}
}
