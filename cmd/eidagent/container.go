package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/archive"
	"github.com/eidbridge/eidbridge/signing/asic"
)

// containerCommand manages signature containers.
type containerCommand struct {
	Create  containerCreate  `cmd:"" help:"Put files into a new unsigned container."`
	Add     containerAdd     `cmd:"" help:"Put further files into an unsigned container."`
	Remove  containerRemove  `cmd:"" help:"Take files out of an unsigned container."`
	List    containerList    `cmd:"" help:"List what is in a container."`
	Extract containerExtract `cmd:"" help:"Write the files of a container into a folder."`
	Sign    signCommand      `cmd:"" help:"Sign files in a container: the same as eidagent sign."`
}

type containerCreate struct {
	Container string   `arg:"" help:"The container to make: .asice, .bdoc or .asics."`
	Files     []string `arg:"" name:"file" help:"The files that go into it."`
	Format    string   `enum:"auto,asic-e,asic-s" default:"auto" help:"Kind of container (default: what the name says)."`
	Force     bool     `help:"Replace the container if it exists."`
}

func (c *containerCreate) Run(p *program) error {
	kind := signing.Format(c.Format)
	if c.Format == "auto" {
		kind = signing.ASiCE
		if e := filepath.Ext(c.Container); e == ".asics" || e == ".scs" {
			kind = signing.ASiCS
		}
	}
	err := asic.CreateFile(p.ctx, c.Files, c.Container, kind, c.Force)
	if refused, ok := errors.AsType[*signing.RefusedError](err); ok && refused.Code == signing.RefusedOption {
		return &problem{exit: exitUsage, message: refused.Why, hints: []string{refused.Advice}}
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.stdout, c.Container)
	return err
}

// changing are the options of commands that write a container anew.
type changing struct {
	Out   string `short:"o" placeholder:"FILE" help:"Where to write the changed container (default: in place of the container)."`
	Force bool   `help:"Replace the output file if it exists."`
}

type containerAdd struct {
	Container string   `arg:"" help:"The container."`
	Files     []string `arg:"" name:"file" help:"The files to put into it."`
	changing
}

func (c *containerAdd) Run(p *program) error {
	if err := asic.AddFiles(p.ctx, c.Container, c.Out, c.Force, c.Files...); err != nil {
		return err
	}
	_, err := fmt.Fprintln(p.stdout, c.written(c.Container))
	return err
}

func (c *changing) written(container string) string {
	if c.Out != "" {
		return c.Out
	}
	return container
}

type containerRemove struct {
	Container string   `arg:"" help:"The container."`
	Names     []string `arg:"" name:"name" help:"The files to take out, as eidagent container list names them."`
	changing
}

func (c *containerRemove) Run(p *program) error {
	if err := asic.RemoveFiles(p.ctx, c.Container, c.Out, c.Force, c.Names...); err != nil {
		return err
	}
	_, err := fmt.Fprintln(p.stdout, c.written(c.Container))
	return err
}

type containerList struct {
	Container string `arg:"" help:"The container."`
	JSON      bool   `name:"json" help:"Print JSON."`
}

// containerReport is the JSON of container list.
type containerReport struct {
	Container  string            `json:"container"`
	Format     signing.Format    `json:"format"`
	Files      []containerFile   `json:"files"`
	Signatures []string          `json:"signature_files"`
	Warnings   []signing.Finding `json:"warnings"`
}

type containerFile struct {
	Name      string `json:"name"`
	MediaType string `json:"media_type"`
	Size      int64  `json:"size"` // bytes
}

// openContainer opens a container for reading; the caller closes the file.
func openContainer(p *program, name string) (*asic.Container, *os.File, error) {
	if k, err := kindOf(name); err == nil && k != kindContainer && k != kindZIP {
		return nil, nil, &problem{exit: exitDocument, message: filepath.Base(name) + " is no container", hints: []string{
			"Containers are .asice, .bdoc, .sce, .asics and .scs files. eidagent container create makes one.",
		}}
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil {
		var c *asic.Container
		if c, err = asic.Open(p.ctx, f, info.Size(), archive.Limits{}); err == nil {
			return c, f, nil
		}
	}
	f.Close()
	return nil, nil, err
}

func (c *containerList) Run(p *program) error {
	opened, f, err := openContainer(p, c.Container)
	if err != nil {
		return err
	}
	defer f.Close()
	r := containerReport{
		Container: c.Container, Format: opened.Kind, Files: []containerFile{}, Signatures: append([]string{}, opened.SignatureFiles()...),
		Warnings: append([]signing.Finding{}, opened.Warnings...),
	}
	for _, file := range opened.Files {
		r.Files = append(r.Files, containerFile{file.Name, file.MediaType, file.Size})
	}
	if c.JSON {
		return p.printJSON(r)
	}
	for _, file := range r.Files {
		if _, err := fmt.Fprintf(p.stdout, "%12d  %s  (%s)\n", file.Size, printable(file.Name), printable(file.MediaType)); err != nil {
			return err
		}
	}
	for _, w := range r.Warnings {
		fmt.Fprintf(p.stderr, "eidagent: warning: %s\n", printable(w.Text))
	}
	_, err = fmt.Fprintf(p.stdout, "%s, %s, %s with signatures or time-stamps\n", r.Format.Title(), filesOf(len(r.Files)), filesOf(len(r.Signatures)))
	return err
}

// filesOf counts files in words.
func filesOf(n int) string {
	if n == 1 {
		return "1 file"
	}
	return fmt.Sprintf("%d files", n)
}

type containerExtract struct {
	Container string   `arg:"" help:"The container."`
	Names     []string `arg:"" optional:"" name:"name" help:"The files to extract (default: all)."`
	Folder    string   `short:"C" default:"." placeholder:"DIR" help:"Where to write them (default: here)."`
}

func (c *containerExtract) Run(p *program) error {
	if info, err := os.Stat(c.Folder); err != nil || !info.IsDir() {
		return &problem{exit: exitUsage, message: "there is no folder " + printable(c.Folder), hints: []string{
			"Make it first, or name another one with -C.",
		}}
	}
	opened, f, err := openContainer(p, c.Container)
	if err != nil {
		return err
	}
	defer f.Close()
	done, err := opened.Extract(p.ctx, c.Folder, c.Names...)
	for _, name := range done {
		if _, failure := fmt.Fprintln(p.stdout, printable(filepath.Join(c.Folder, filepath.FromSlash(name)))); failure != nil {
			return failure
		}
	}
	if errors.Is(err, signing.ErrExists) {
		return &problem{exit: exitOther, message: err.Error(), hints: []string{"No file was replaced. Extract into another folder with -C DIR."}}
	}
	return err
}

// printable keeps names of strangers from steering the terminal.
func printable(s string) string {
	if archive.Misleading(s) {
		return fmt.Sprintf("%+q", s)
	}
	return s
}
