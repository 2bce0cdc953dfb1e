package asic

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/cades"
	"github.com/eidbridge/eidbridge/signing/xades"
)

// Extend writes the container with all its signatures raised to a level. A
// container of B-LTA is renewed. Data files are read, since archive time-stamps
// are about them, and copied as they are.
//
// It returns a *signing.RefusedError where there is nothing to extend, or where a
// signature is not whole. When a service cannot be reached, what was reached is
// written and Shortfall says what is missing.
func (c *Container) Extend(ctx context.Context, dst io.Writer, level signing.Baseline, services *signing.Services) (*signing.Extension, error) {
	if err := services.Check(level); err != nil {
		return nil, err
	}
	switch {
	case level.Rank() < signing.BaselineT.Rank():
		return nil, signing.Refuse(signing.RefusedOption, "choose B-T, B-LT or B-LTA", "%q is no level to extend to", level)
	case !c.hasSignatures():
		return nil, signing.Refuse(signing.RefusedUnsigned, "sign the files first", "the container has no signature")
	}
	x := &extender{c: c, s: c.stage(services.Now()), services: services, level: level, result: signing.Extension{
		Before: signing.BaselineLTA, After: signing.BaselineLTA, SourceSize: c.size,
	}}
	var err error
	switch {
	case len(c.metaOf(roleXAdES)) > 0:
		err = x.xades(ctx)
	case c.Kind == signing.ASiCS:
		err = x.cades(ctx, nameSignatureS, c.Files[0], level)
	default:
		err = x.manifests(ctx)
	}
	if err != nil {
		return nil, err
	}
	if x.result.Size, err = x.s.write(ctx, dst); err != nil {
		return nil, err
	}
	return &x.result, nil
}

// extender raises the signatures of a container.
type extender struct {
	c        *Container
	s        *staged
	services *signing.Services
	level    signing.Baseline
	result   signing.Extension
}

// took joins the outcome for one signature file.
func (x *extender) took(e *signing.Extension) {
	if e.Before.Rank() < x.result.Before.Rank() {
		x.result.Before = e.Before
	}
	if e.After.Rank() < x.result.After.Rank() {
		x.result.After = e.After
	}
	if e.Shortfall != "" {
		x.result.Shortfall = e.Shortfall
	}
}

func (x *extender) xades(ctx context.Context) error {
	files := &resolver{c: x.c, seen: make(map[string]bool)}
	for _, name := range x.s.of(roleXAdES) {
		have, err := x.s.read(name)
		if err != nil {
			return err
		}
		var out bytes.Buffer
		e, err := xades.Extend(ctx, bytes.NewReader(have), int64(len(have)), &out, x.level, x.services, xades.ExtendOptions{Resolver: files})
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		x.took(e)
		x.s.put(name, out.Bytes())
	}
	return nil
}

// cades extends one CAdES file over content.
func (x *extender) cades(ctx context.Context, name string, content signing.Content, level signing.Baseline) error {
	have, err := x.s.read(name)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	e, err := cades.Extend(ctx, bytes.NewReader(have), int64(len(have)), content, &out, level, x.services)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	x.took(e)
	x.s.put(name, out.Bytes())
	return nil
}

// manifests extends the signatures of an ASiC-E with CAdES to B-LT at most and
// archives them together. What an archive manifest covers stays as it is.
func (x *extender) manifests(ctx context.Context) error {
	report, err := x.c.Verify(ctx, signing.VerifyOptions{Roots: x.services.Anchors, Time: x.services.Now()})
	if err != nil {
		return err
	}
	for i, s := range report.Signatures {
		if s.Indication == signing.TotalFailed || s.Integrity != signing.Intact {
			return signing.Refuse(signing.RefusedBroken, "ask for an unbroken copy", "signature %d is not whole", i+1)
		}
	}
	archived := x.s.has(nameArchiveManifest)
	level := x.level
	if level == signing.BaselineLTA {
		level = signing.BaselineLT
	}
	for _, name := range x.s.of(roleManifest) {
		raw, err := x.s.read(name)
		if err != nil {
			return err
		}
		m, err := parseASiCManifest(name, raw)
		if err != nil {
			return err
		}
		file := x.c.refer(m.signature)
		if file == nil || roleOf(file.Name) != roleCAdES {
			continue
		}
		i := slices.IndexFunc(report.Signatures, func(s signing.Signature) bool { return s.File == file.Name && s.Countersigns == 0 })
		if archived && i >= 0 && report.Signatures[i].Baseline == signing.BaselineLTA {
			x.took(&signing.Extension{Before: signing.BaselineLTA, After: signing.BaselineLTA})
			continue
		}
		if err := x.cades(ctx, file.Name, memory(raw), level); err != nil {
			return err
		}
	}
	if x.level != signing.BaselineLTA || x.result.After.Rank() < signing.BaselineLT.Rank() {
		return nil
	}
	if err := x.s.archive(ctx, x.services); err != nil {
		if !unreached(err) {
			return err
		}
		x.result.Shortfall = err.Error()
		return nil
	}
	x.result.After = signing.BaselineLTA
	return nil
}
