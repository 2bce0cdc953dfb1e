package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/eidbridge/eidbridge/desktop"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/asic"
)

// forming are the options that choose the form of a signature.
type forming struct {
	Format    string `enum:"auto,pades,xades,cades,asic-e,asic-s,facturae" default:"auto" help:"Form of the signature: pades, xades, cades, asic-e, asic-s or facturae (default: what fits the file; several files or another type of file give an asic-e container)."`
	Packaging string `enum:"auto,enveloped,enveloping,attached,detached,internal" default:"auto" help:"Where the signature stands: enveloped in the XML, enveloping (attached) around the file, detached in a file beside it or them, or internal, beside the XML in one new document."`
	CAdES     bool   `name:"cades" help:"Sign containers with CAdES in place of XAdES."`
	Content   string `placeholder:"FILE" help:"The file that a detached message is about, to sign the message again (default: FILE of FILE.p7s)."`

	Element      []string `sep:"none" placeholder:"ID" help:"Sign the element of the XML document with this identifier in place of all of it (may be repeated)."`
	Parallel     bool     `help:"Leave other signatures out of what an enveloped one signs, so that others can sign beside it."`
	SignManifest bool     `help:"Sign a list (ds:Manifest) of what is signed, for programs that check the files by themselves."`
	Countersign  string   `placeholder:"WHICH" help:"Sign the signature with this number (eidagent verify lists them; in XML also its Id) in place of the data."`
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
	if err := c.onlyXML(j, kinds); err != nil {
		return j, err
	}
	first := c.Files[0]
	switch container := j.format == signing.ASiCE || j.format == signing.ASiCS; {
	case c.Countersign != "":
		j.out = c.output(marked(first, "-countersigned"))
		j.document = func(o desktop.FileOptions) desktop.Document { return desktop.File(first, j.out, o) }
		if j.format == signing.CAdES {
			j.document = func(o desktop.FileOptions) desktop.Document { return desktop.Message(first, c.content(), j.out, o) }
		}
	case j.format == signing.XAdES && j.packaging == signing.Detached:
		j.out = c.output(strings.TrimSuffix(first, filepath.Ext(first)) + "-signature.xml")
		j.document = func(o desktop.FileOptions) desktop.Document { return desktop.Beside(c.Files, j.out, o) }
	case container && len(c.Files) == 1 && kinds[0] == kindContainer && c.Format == "auto":
		j.out = c.output(marked(first, "-signed"))
		j.document = func(o desktop.FileOptions) desktop.Document { return desktop.Container(first, j.out, o) }
	case container:
		j.out = c.output(strings.TrimSuffix(first, filepath.Ext(first)) + asic.Extension(j.format))
		j.document = func(o desktop.FileOptions) desktop.Document { return desktop.NewContainer(c.Files, j.out, o) }
	case len(c.Files) > 1:
		return j, &problem{exit: exitUsage, message: fmt.Sprintf("%s signs one file at a time", j.format.Title()), hints: []string{
			"Leave out --format to put the files into one container, or sign them where they are: --format xades --packaging detached",
		}}
	case j.format == signing.PAdES:
		j.out = c.output(beside(first, "-signed.pdf"))
		j.document = func(o desktop.FileOptions) desktop.Document { return desktop.PDFFile(first, j.out, o) }
	case j.format == signing.CAdES && kinds[0] == kindMessage:
		j.out = c.output(marked(first, "-signed"))
		j.document = func(o desktop.FileOptions) desktop.Document { return desktop.Message(first, c.content(), j.out, o) }
	default:
		j.out = c.output(outputOf(first, kinds[0], j))
		j.document = func(o desktop.FileOptions) desktop.Document { return desktop.File(first, j.out, o) }
	}
	return j, c.checkOutput(j.out)
}

// checkOutput refuses places where no output can go, whatever --force says. What else may
// be wrong comes up when it is written.
func (c *signCommand) checkOutput(out string) error {
	info, err := os.Stat(out)
	switch {
	case err != nil:
		switch folder, missing := os.Stat(filepath.Dir(out)); {
		case errors.Is(missing, fs.ErrNotExist):
			return &problem{exit: exitUsage, message: "there is no folder " + filepath.Dir(out), hints: []string{"Make it first, or name another place with --out."}}
		case missing == nil && !folder.IsDir():
			return &problem{exit: exitUsage, message: filepath.Dir(out) + " is no folder", hints: []string{"Name another place with --out."}}
		}
		return nil
	case info.IsDir():
		return &problem{exit: exitUsage, message: out + " is a folder", hints: []string{
			"Name the file to write in it with --out, or leave it out to write beside the original.",
		}}
	}
	for _, name := range c.Files {
		if source, err := os.Stat(name); err == nil && os.SameFile(info, source) {
			return &problem{exit: exitUsage, message: "the output would replace " + name + " itself", hints: []string{
				"Originals stay as they are. Name another file with --out, or leave it out.",
			}}
		}
	}
	return nil
}

// content is the file that a message is about, empty where it is inside.
func (c *signCommand) content() string {
	if c.Content != "" {
		return c.Content
	}
	return detachedFile(c.Files[0], nil)
}

// kinds looks at the files; a folder stands for PDFs.
func (c *signCommand) kinds() ([]kind, error) {
	var kinds []kind
	for _, name := range c.Files {
		info, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		if info.IsDir() && (c.Format == "auto" || c.Format == string(signing.PAdES)) {
			kinds = append(kinds, kindPDF)
			continue
		}
		if err := signable(name, info); err != nil {
			return nil, err
		}
		k, err := kindOf(name)
		if err != nil {
			return nil, err
		}
		kinds = append(kinds, k)
	}
	return kinds, nil
}

// signable refuses what no format signs.
func signable(name string, info os.FileInfo) error {
	switch {
	case info.IsDir():
		return &problem{exit: exitUsage, message: name + " is a folder, of which PDFs are signed", hints: []string{
			"For another format name the files: " + filepath.Join(name, "*"),
		}}
	case !info.Mode().IsRegular():
		return &problem{exit: exitUsage, message: name + " is no file that can be signed", hints: []string{
			"It is a device or a pipe. Save what comes from it to a file, and sign that.",
		}}
	case info.Size() == 0:
		return &problem{exit: exitDocument, message: name + " is empty", hints: []string{
			"It has no content at all: perhaps it was not saved, or its download broke off.",
		}}
	}
	return nil
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
	case j.packaging != "" && (j.format == signing.ASiCE || j.format == signing.ASiCS):
		return wrong("--packaging", "A container holds files and signatures. Without one, choose --format xades or --format cades.")
	case j.packaging != "" && j.packaging != signing.Enveloped && j.format == signing.FacturaE:
		return wrong("--packaging "+string(j.packaging), "The signature of an invoice stands inside it. Without the policy of invoices, choose --format xades.")
	case j.format == signing.CAdES && (j.packaging == signing.Enveloped || j.packaging == signing.Internal):
		return wrong("--packaging "+string(j.packaging), "Choose attached or detached.")
	case j.format == signing.FacturaE && c.Location != "":
		return wrong("--location", "The policy of invoices has no place for it.")
	}
	return nil
}

// onlyXML refuses options that have a meaning for some signatures in XML alone, and
// countersignatures of what has none to be countersigned.
func (c *signCommand) onlyXML(j job, kinds []kind) error {
	enveloped := j.format == signing.XAdES && (j.packaging == "" || j.packaging == signing.Enveloped)
	signs := len(c.Element) > 0 || c.Parallel || c.SignManifest
	for _, o := range []struct {
		set, fits    bool
		option, hint string
	}{
		{len(c.Element) > 0, enveloped, "--element", "It names a part of an XML document that gets an enveloped signature: --format xades"},
		{c.Parallel, enveloped, "--parallel", "It is about enveloped signatures in XML: --format xades"},
		{c.SignManifest, j.format == signing.XAdES, "--sign-manifest", "It is about signatures in XML: --format xades"},
		{c.Countersign != "", j.format == signing.XAdES || j.format == signing.CAdES, "--countersign", "Signatures in XML files and messages (.p7m, .p7s) can be countersigned. Containers and PDFs are signed again."},
	} {
		if o.set && !o.fits {
			return &problem{exit: exitUsage, message: fmt.Sprintf("%s has no meaning for %s here", o.option, j.format.Title()), hints: []string{o.hint}}
		}
	}
	if c.Countersign == "" {
		if (enveloped || j.format == signing.XAdES && j.packaging == signing.Internal) && !slices.ContainsFunc(kinds, func(k kind) bool { return k == kindXML || k == kindInvoice }) {
			return &problem{exit: exitUsage, message: filepath.Base(c.Files[0]) + " is no XML document, which such a signature stands in", hints: []string{
				"Choose --packaging enveloping or detached, or leave out --format to put it into a container.",
			}}
		}
		return nil
	}
	signed := map[signing.Format]kind{signing.XAdES: kindXML, signing.CAdES: kindMessage}[j.format]
	switch {
	case kinds[0] == kindInvoice:
		return &problem{exit: exitUsage, message: "an invoice has one signature and no countersignature", hints: []string{"The policy of FacturaE says so. Put it into a container: --format asic-e"}}
	case len(kinds) > 1 || kinds[0] != signed:
		return &problem{exit: exitUsage, message: "one XML file or message with a signature is countersigned", hints: []string{"Name the signed file, not what it is about."}}
	case signs || j.packaging != "":
		return &problem{exit: exitUsage, message: "a countersignature is about the value of a signature and nothing else", hints: []string{"Leave out --packaging, --element, --parallel and --sign-manifest."}}
	}
	if _, err := strconv.Atoi(c.Countersign); err != nil && j.format == signing.CAdES {
		return &problem{exit: exitUsage, message: fmt.Sprintf("--countersign %q is no number of a signer", c.Countersign), hints: []string{"The signers of a message are numbered from 1, as eidagent verify lists them."}}
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
