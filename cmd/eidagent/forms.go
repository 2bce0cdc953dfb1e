package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/eidbridge/eidbridge/desktop"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/asic"
)

// forming are the options that choose the form of a signature.
type forming struct {
	Format    string `enum:"auto,pades,xades,cades,asic-e,asic-s,facturae" default:"auto" help:"Form of the signature: pades, xades, cades, asic-e, asic-s or facturae (default: what fits the file; several files or another type of file give an asic-e container)."`
	Packaging string `enum:"auto,enveloped,enveloping,attached,detached" default:"auto" help:"Where the signature stands: enveloped in the XML, enveloping (attached) around the file, or detached beside it."`
	CAdES     bool   `name:"cades" help:"Sign containers with CAdES in place of XAdES."`
	Content   string `placeholder:"FILE" help:"The file that a detached message is about, to sign the message again (default: FILE of FILE.p7s)."`
}

// job is what is to be signed, and how.
type job struct {
	format    signing.Format
	packaging signing.Packaging
	batch     bool // PDFs, each for itself
	out       string
	// document is what is signed; the password opens a PDF.
	document func(desktop.FileOptions) desktop.Document
}

// job finds out what to do with the files.
func (c *signCommand) job() (job, error) {
	kinds, err := c.kinds()
	if err != nil {
		return job{}, err
	}
	j := job{format: signing.Format(c.Format), packaging: signing.Packaging(c.Packaging)}
	if c.Format == "auto" {
		j.format = usualFormat(kinds)
	}
	switch c.Packaging {
	case "auto":
		j.packaging = ""
	case "attached":
		j.packaging = signing.Enveloping
	}
	if j.format == signing.PAdES && c.isBatch() {
		j.batch = true
		return j, c.onlyPDF(j)
	}
	if err := c.onlyPDF(j); err != nil {
		return j, err
	}
	first := c.Files[0]
	switch container := j.format == signing.ASiCE || j.format == signing.ASiCS; {
	case container && len(c.Files) == 1 && kinds[0] == kindContainer && c.Format == "auto":
		j.out = c.output(marked(first, "-signed"))
		j.document = func(o desktop.FileOptions) desktop.Document { return desktop.Container(first, j.out, o) }
	case container:
		j.out = c.output(strings.TrimSuffix(first, filepath.Ext(first)) + asic.Extension(j.format))
		j.document = func(o desktop.FileOptions) desktop.Document { return desktop.NewContainer(c.Files, j.out, o) }
	case len(c.Files) > 1:
		return j, &problem{exit: exitUsage, message: fmt.Sprintf("%s signs one file at a time", j.format.Title()), hints: []string{
			"Leave out --format to put the files into one container.",
		}}
	case j.format == signing.PAdES:
		j.out = c.output(beside(first, "-signed.pdf"))
		j.document = func(o desktop.FileOptions) desktop.Document { return desktop.PDFFile(first, j.out, o) }
	case j.format == signing.CAdES && kinds[0] == kindMessage:
		j.out = c.output(marked(first, "-signed"))
		content := ""
		if c.Content != "" {
			content = c.Content
		} else {
			content = detachedFile(first, nil)
		}
		j.document = func(o desktop.FileOptions) desktop.Document { return desktop.Message(first, content, j.out, o) }
	default:
		j.out = c.output(outputOf(first, kinds[0], j))
		j.document = func(o desktop.FileOptions) desktop.Document { return desktop.File(first, j.out, o) }
	}
	return j, nil
}

// kinds looks at the files; a folder stands for PDFs.
func (c *signCommand) kinds() ([]kind, error) {
	var kinds []kind
	for _, name := range c.Files {
		info, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		if info.IsDir() {
			kinds = append(kinds, kindPDF)
			continue
		}
		k, err := kindOf(name)
		if err != nil {
			return nil, err
		}
		kinds = append(kinds, k)
	}
	return kinds, nil
}

// usualFormat is that of the file; several files go into a container unless all of
// them are PDFs.
func usualFormat(kinds []kind) signing.Format {
	if len(kinds) == 1 {
		return kinds[0].format()
	}
	for _, k := range kinds {
		if k != kindPDF {
			return signing.ASiCE
		}
	}
	return signing.PAdES
}

// onlyPDF refuses options that have a meaning in PDF alone, or none in it.
func (c *signCommand) onlyPDF(j job) error {
	wrong := func(option, hint string) error {
		return &problem{exit: exitUsage, message: option + " has no meaning for " + j.format.Title(), hints: []string{hint}}
	}
	switch {
	case j.format == signing.PAdES && (j.packaging != "" || c.CAdES):
		return wrong("--packaging", "A signature stands inside its PDF.")
	case j.format == signing.PAdES:
	case c.Reason != "":
		return wrong("--reason", "Reasons are part of PDF signatures.")
	case c.wanted() || c.Field != "":
		return wrong("--mark", "Marks show on the pages of a PDF.")
	case c.Batch:
		return wrong("--batch", "Batches are of PDFs.")
	case j.format == signing.FacturaE && c.Location != "":
		return wrong("--location", "The policy of invoices has no place for it.")
	}
	return nil
}

func (c *signCommand) output(usual string) string {
	if c.Out != "" {
		return c.Out
	}
	return usual
}

// outputOf names the signed form of a file.
func outputOf(file string, k kind, j job) string {
	switch {
	case j.format == signing.FacturaE:
		return strings.TrimSuffix(file, filepath.Ext(file)) + ".xsig"
	case j.format == signing.CAdES && j.packaging == signing.Detached:
		return file + ".p7s"
	case j.format == signing.CAdES:
		return file + ".p7m"
	case k == kindXML || k == kindInvoice:
		return marked(file, "-signed")
	default:
		return file + "-signed.xml"
	}
}
