package facturae_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/xmls"
	"github.com/eidbridge/eidbridge/signing/facturae"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

func TestCheckAcceptsInvoicesOfEveryVersion(t *testing.T) {
	for _, version := range xmls.Versions() {
		for _, lines := range []int{1, 50} {
			got, err := facturae.Check(bytes.NewReader(xmls.Invoice(version, lines)), xmltext.Limits{})
			if err != nil || got.Version != version || got.Issuer != "EM" || got.Signed {
				t.Errorf("version %s: %+v, %v", version, got, err)
			}
		}
	}
}

// TestCheckRefuses changes an invoice in one place; the path must name it.
func TestCheckRefuses(t *testing.T) {
	for _, c := range []struct{ name, old, new, path, problem string }{
		{"other namespace", xmls.Namespace("3.2.2"), "urn:other", "/", "is no invoice"},
		{"an element left out", "<Modality>I</Modality>", "", "/Facturae/FileHeader", "where Modality is expected"},
		{"two in the wrong order", "<InvoiceDocumentType>FC</InvoiceDocumentType>\n        <InvoiceClass>OO</InvoiceClass>", "<InvoiceClass>OO</InvoiceClass><InvoiceDocumentType>FC</InvoiceDocumentType>", "/Facturae/Invoices/Invoice/InvoiceHeader", "InvoiceDocumentType is expected"},
		{"an element twice", "<Modality>I</Modality>", "<Modality>I</Modality><Modality>I</Modality>", "/Facturae/FileHeader", "InvoiceIssuerType is expected"},
		{"an unknown element", "<Quantity>4.0</Quantity>", "<Quantity>4.0</Quantity><Size>1</Size>", "/Facturae/Invoices/Invoice/Items/InvoiceLine", `"Size"`},
		{"children with a namespace", "<Modality>I</Modality>", `<fe:Modality>I</fe:Modality>`, "/Facturae/FileHeader", "Modality"},
		{"a code that is none", "<Modality>I</Modality>", "<Modality>X</Modality>", "/Facturae/FileHeader/Modality", "not one of the listed values"},
		{"a date that is none", "2026-11-28", "2026-02-30", "/Facturae/Invoices/Invoice/InvoiceIssueData/IssueDate", "not a value of type date"},
		{"a number that is none", "<Quantity>4.0</Quantity>", "<Quantity>four</Quantity>", "/Facturae/Invoices/Invoice/Items/InvoiceLine/Quantity", "not a value of type double"},
		{"too many decimals", "<TaxRate>21.00</TaxRate>", "<TaxRate>21.123456789</TaxRate>", "/Facturae/Invoices/Invoice/TaxesOutputs/Tax/TaxRate", "not of the form"},
		{"a text too long", "<InvoiceNumber>2026-1</InvoiceNumber>", "<InvoiceNumber>" + strings.Repeat("1", 21) + "</InvoiceNumber>", "/Facturae/Invoices/Invoice/InvoiceHeader/InvoiceNumber", "more than 20 characters"},
		{"a postcode too short", "<PostCode>28001</PostCode>", "<PostCode>2800</PostCode>", "/Facturae/Parties/SellerParty/LegalEntity/AddressInSpain/PostCode", "not of 5 characters"},
		{"text between elements", "<Modality>", "I<Modality>", "/Facturae/FileHeader", "text where elements"},
		{"elements in a value", "<Modality>I</Modality>", "<Modality><b>I</b></Modality>", "/Facturae/FileHeader/Modality", "instead of a value"},
		{"an attribute", "<Modality>", `<Modality x="1">`, "/Facturae/FileHeader/Modality", "attribute"},
		{"neither of a choice", "<LegalEntity>", "<LegalPerson>", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			changed := strings.Replace(string(xmls.Invoice("3.2.2", 1)), c.old, c.new, 1)
			_, err := facturae.Check(strings.NewReader(changed), xmltext.Limits{})
			var schema *facturae.SchemaError
			if c.path == "" {
				if err == nil {
					t.Error("accepted")
				}
				return
			}
			if !errors.As(err, &schema) || !errors.Is(err, facturae.ErrSchema) {
				t.Fatalf("got %v", err)
			}
			if schema.Path != c.path || !strings.Contains(schema.Problem, c.problem) {
				t.Errorf("%s: %s, want %s: %s", schema.Path, schema.Problem, c.path, c.problem)
			}
		})
	}
}

// mutate changes an invoice at random: an element left out, doubled, moved, or its
// value replaced. Most changes break the schema, some do not.
func mutate(seed uint64, version string) []byte {
	r := rand.New(rand.NewPCG(seed, 7))
	lines := strings.SplitAfter(string(xmls.Invoice(version, 2)), "\n")
	at := 3 + r.IntN(len(lines)-5)
	switch r.IntN(5) {
	case 0:
		lines[at] = ""
	case 1:
		lines[at] += lines[at]
	case 2:
		lines[at], lines[at+1] = lines[at+1], lines[at]
	default:
		values := []string{"", " ", "0", "-1", "1.5", "1.50", "01", "I", "EUR", "ESP", "es", "J", "2026-11-28", "2026-11-28Z", "NaN", "1e3", strings.Repeat("x", 200)}
		if open, close := strings.IndexByte(lines[at], '>'), strings.LastIndexByte(lines[at], '<'); open < close {
			lines[at] = lines[at][:open+1] + values[r.IntN(len(values))] + lines[at][close:]
		}
	}
	return []byte(strings.Join(lines, ""))
}

// TestCheckIsNotFooledByMutations is about the test: mutations are of both kinds.
func TestCheckIsNotFooledByMutations(t *testing.T) {
	accepted := 0
	const all = 500
	for i := range uint64(all) {
		if _, err := facturae.Check(bytes.NewReader(mutate(i, "3.2.2")), xmltext.Limits{}); err == nil {
			accepted++
		}
	}
	if accepted < all/50 || accepted > all/2 {
		t.Errorf("%d of %d mutated invoices accepted", accepted, all)
	}
}

func FuzzCheck(f *testing.F) {
	for _, version := range xmls.Versions() {
		f.Add(xmls.Invoice(version, 1))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		invoice, err := facturae.Check(bytes.NewReader(data), xmltext.Limits{})
		if err == nil && invoice.Version == "" {
			t.Error("accepted without a version")
		}
	})
}
