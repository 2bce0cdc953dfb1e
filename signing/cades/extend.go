package cades

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/cms"
	"github.com/eidbridge/eidbridge/signing/outfile"
	"github.com/eidbridge/eidbridge/signing/revocation"
	"github.com/eidbridge/eidbridge/signing/tsp"
	"github.com/eidbridge/eidbridge/signing/validation"
)

// extender raises the level of the signers of a message.
type extender struct {
	services *signing.Services
	message  *message
	// only is the index of the one signer that is raised; -1 raises all.
	only    int
	reached signing.Baseline
}

// raise adds what the level needs beyond what was reached. An error that matches
// signing.ErrUnreached leaves a whole message of the level in x.reached.
func (x *extender) raise(ctx context.Context, want signing.Baseline) error {
	if want.Rank() <= signing.BaselineB.Rank() || want.Rank() <= x.reached.Rank() && want != signing.BaselineLTA {
		return nil
	}
	if x.reached.Rank() < signing.BaselineT.Rank() {
		if err := x.each(func(si *cms.SignerInfo) error { return x.stamp(ctx, si) }); err != nil {
			return err
		}
		x.reached = signing.BaselineT
	}
	if want.Rank() < signing.BaselineLT.Rank() {
		return nil
	}
	if err := x.collect(ctx); err != nil {
		return err
	}
	if x.reached.Rank() < signing.BaselineLT.Rank() {
		x.reached = signing.BaselineLT
	}
	if want != signing.BaselineLTA {
		return nil
	}
	if err := x.each(func(si *cms.SignerInfo) error { return x.archive(ctx, si) }); err != nil {
		return err
	}
	x.reached = signing.BaselineLTA
	return nil
}

// raiseCounter raises a countersignature that is not in the message yet: its
// time-stamp is an attribute of its own, its validation data is that of the message
// (EN 319 122-1 5.2.7 and 6.3).
func (x *extender) raiseCounter(ctx context.Context, counter *cms.SignerInfo, want signing.Baseline) error {
	if want.Rank() < signing.BaselineT.Rank() {
		return nil
	}
	if err := x.stamp(ctx, counter); err != nil {
		return err
	}
	x.reached = signing.BaselineT
	if want.Rank() < signing.BaselineLT.Rank() {
		return nil
	}
	if err := x.embed(ctx, x.message.chains(counter, true)); err != nil {
		return err
	}
	x.reached = signing.BaselineLT
	return nil
}

// each changes the unsigned attributes of the signers that are raised. A signer
// that fails leaves all as they were.
func (x *extender) each(change func(*cms.SignerInfo) error) error {
	signers := slices.Clone(x.message.SignerInfos)
	var only []byte
	if x.only >= 0 {
		only = signers[x.only].Fields()
	}
	for i := range signers {
		if x.only >= 0 && i != x.only {
			continue
		}
		if err := change(&signers[i]); err != nil {
			return err
		}
	}
	all := *x.message.SignedData
	all.SignerInfos = nil
	for _, si := range signers {
		if err := all.AddSigner(si); err != nil {
			return err
		}
	}
	*x.message.SignedData = all
	if only != nil {
		x.only = x.message.find(only)
	}
	return nil
}

func (x *extender) ask(ctx context.Context, digest []byte) (*tsp.Token, error) {
	if x.services.TimeStamps == nil {
		return nil, fmt.Errorf("%w: no time-stamping authority is configured", signing.ErrUnreached)
	}
	token, err := x.services.TimeStamps.Stamp(ctx, stampDigest, digest)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", signing.ErrUnreached, err)
	}
	return token, nil
}

// stamp adds a signature-time-stamp (EN 319 122-1 5.3) to a signer without one.
func (x *extender) stamp(ctx context.Context, si *cms.SignerInfo) error {
	if len(si.UnsignedAttribute(cms.OIDSignatureTimeStamp)) > 0 {
		return nil
	}
	h := stampDigest.New()
	h.Write(si.Signature)
	token, err := x.ask(ctx, h.Sum(nil))
	if err != nil {
		return err
	}
	return si.AddUnsigned(cms.OIDSignatureTimeStamp, token.Raw)
}

// collect puts validation data about every signer and time-stamp into
// certificates and crls (EN 319 122-1 5.4.2 and 5.5.1).
func (x *extender) collect(ctx context.Context) error {
	var chains []validation.Chain
	for i := range x.message.SignerInfos {
		if x.only < 0 || i == x.only {
			chains = append(chains, x.message.chains(&x.message.SignerInfos[i], false)...)
		}
	}
	return x.embed(ctx, chains)
}

func (x *extender) embed(ctx context.Context, chains []validation.Chain) error {
	found, err := validation.Collect(ctx, x.services, chains)
	if err != nil {
		return err
	}
	if err := x.message.AddCertificates(found.Certificates...); err != nil {
		return err
	}
	return x.message.AddRevocation(found.CRLs, found.OCSPs)
}

// chains lists the certificates of a signer or countersigner, of its countersigners
// and of all their time-stamping authorities.
func (m *message) chains(si *cms.SignerInfo, counter bool) []validation.Chain {
	var all []validation.Chain
	seen := make(map[string]bool)
	given := validation.Certificates(m.Certificates)
	add := func(c *x509.Certificate, more []*x509.Certificate) {
		if c != nil && !seen[string(c.Raw)] {
			seen[string(c.Raw)] = true
			all = append(all, validation.Chain{Certificate: c, Candidates: slices.Concat(more, given)})
		}
	}
	var visit func(si *cms.SignerInfo, counter bool, depth int)
	visit = func(si *cms.SignerInfo, counter bool, depth int) {
		verify := m.Verify
		if counter {
			verify = m.VerifyCounter
		}
		// Only the certificate is wanted; that the digest is not looked at here makes
		// the answer an error that does not matter.
		if result, _ := verify(si, nil); result != nil {
			add(result.Certificate, nil)
		}
		for _, oid := range []cms.OID{cms.OIDSignatureTimeStamp, cms.OIDArchiveTimeStampV3} {
			for _, raw := range si.UnsignedAttribute(oid) {
				if token, err := tsp.Parse(raw, given...); err == nil {
					add(token.Certificate, token.Certificates)
				}
			}
		}
		for _, raw := range si.UnsignedAttribute(cms.OIDCounterSignature) {
			if counter, err := cms.ParseSignerInfo(raw); err == nil && depth < maxCounterDepth {
				visit(&counter, true, depth+1)
			}
		}
	}
	visit(si, counter, 0)
	return all
}

// archive adds an archive-time-stamp-v3 over everything that is there
// (EN 319 122-1 5.5.3).
func (x *extender) archive(ctx context.Context, si *cms.SignerInfo) error {
	content, ok := x.message.digests[stampDigest]
	if !ok {
		return errors.New("digest of the content is not known")
	}
	index := newHashIndex(x.message, si, stampDigest)
	token, err := x.ask(ctx, index.imprint(x.message, si, stampDigest, content))
	if err != nil {
		return err
	}
	parsed, err := cms.Parse(token.Raw)
	if err != nil {
		return err
	}
	if err := parsed.SignerInfos[0].AddUnsigned(cms.OIDATSHashIndexV3, index.raw); err != nil {
		return err
	}
	raw, err := parsed.Append(nil)
	if err != nil {
		return err
	}
	return si.AddUnsigned(cms.OIDArchiveTimeStampV3, raw)
}

// Extend writes a message with all its signers raised to a level: what is missing
// of time-stamp, validation data and archive time-stamp is added. A message of
// B-LTA is renewed: validation data for its last time-stamp, and a new one over
// all. Content is that of a detached message, nil where it is inside; B-LTA needs
// it.
//
// It returns a *signing.RefusedError where a signature is not whole or of no
// baseline level. When a service cannot be reached, what was reached is written
// and Shortfall says what is missing.
func Extend(ctx context.Context, src io.ReaderAt, size int64, content signing.Content, dst io.Writer, level signing.Baseline, s *signing.Services) (*signing.Extension, error) {
	if err := s.Check(level); err != nil {
		return nil, err
	}
	if level.Rank() < signing.BaselineT.Rank() {
		return nil, signing.Refuse(signing.RefusedOption, "choose B-T, B-LT or B-LTA", "%q is no level to extend to", level)
	}
	m, content, err := open(src, size, content)
	if err != nil {
		return nil, err
	}
	if err := m.extendable(); err != nil {
		return nil, err
	}
	report, v, err := verify(ctx, m, content, signing.VerifyOptions{Roots: s.Anchors, Time: s.Now()})
	if err != nil {
		return nil, err
	}
	before, err := extendable(report)
	if err != nil {
		return nil, err
	}
	m.digests = make(map[crypto.Hash][]byte)
	if d, ok := v.digests[stampDigest]; ok {
		m.digests[stampDigest] = d
	}
	x := &extender{services: s, message: m, only: -1, reached: before}
	shortfall := x.raise(ctx, level)
	if shortfall != nil && !errors.Is(shortfall, signing.ErrUnreached) {
		return nil, shortfall
	}
	written, err := m.write(ctx, dst, content, v.size)
	if err != nil {
		return nil, fmt.Errorf("writing the message: %w", err)
	}
	e := &signing.Extension{Before: before, After: x.reached, SourceSize: size, Size: written}
	if shortfall != nil {
		e.Shortfall = shortfall.Error()
	}
	return e, nil
}

// extendable returns the lowest level among the signatures that are no
// countersignatures.
func extendable(r *signing.Report) (signing.Baseline, error) {
	if len(r.Signatures) == 0 {
		return "", signing.Refuse(signing.RefusedUnsigned, "sign the file first", "the message has no signature")
	}
	lowest := signing.BaselineLTA
	for i, s := range r.Signatures {
		if s.SubIndication == signing.SignedDataNotFound {
			return "", signing.Refuse(signing.RefusedOption, "name the signed file", "the signature does not hold what it signs")
		}
		if s.Indication == signing.TotalFailed || s.Integrity != signing.Intact {
			return "", signing.Refuse(signing.RefusedBroken, "ask for an unbroken copy", "signature %d is not whole", i+1)
		}
		if s.Countersigns > 0 {
			continue
		}
		if s.Baseline == "" {
			return "", signing.Refuse(signing.RefusedBroken, "have the file signed again", "signature %d is of no baseline level", i+1)
		}
		if s.Baseline.Rank() < lowest.Rank() {
			lowest = s.Baseline
		}
	}
	return lowest, nil
}

// ExtendFile extends the message in the file in and puts the result in place as
// out, under the rules of SignFile.
func ExtendFile(ctx context.Context, in, content, out string, level signing.Baseline, s *signing.Services, overwrite bool) (*signing.Extension, error) {
	src, info, err := outfile.Open(in)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	given := contentOf(content)
	return toFile(ctx, out, info, overwrite, given, func(dst io.Writer) (*signing.Extension, error) {
		return Extend(ctx, src, info.Size(), given, dst, level, s)
	})
}

// material is the validation data that a message carries, its time-stamps
// included.
func (m *message) material() revocation.Material {
	var all revocation.Material
	all.Add(materialOf(m.SignedData))
	var visit func(si *cms.SignerInfo, depth int)
	visit = func(si *cms.SignerInfo, depth int) {
		all.Add(oldValues(si))
		for _, oid := range stampTypes() {
			for _, raw := range si.UnsignedAttribute(oid) {
				token, err := cms.Parse(raw)
				if err != nil {
					continue
				}
				all.Add(materialOf(token))
				for i := range token.SignerInfos {
					all.Add(oldValues(&token.SignerInfos[i]))
				}
			}
		}
		for _, raw := range si.UnsignedAttribute(cms.OIDCounterSignature) {
			if counter, err := cms.ParseSignerInfo(raw); err == nil && depth < maxCounterDepth {
				visit(&counter, depth+1)
			}
		}
	}
	for i := range m.SignerInfos {
		visit(&m.SignerInfos[i], 0)
	}
	return all
}

func materialOf(d *cms.SignedData) revocation.Material {
	crls, ocsps := cms.RevocationInfo(d.CRLs)
	return revocation.Material{Certificates: d.Certificates, CRLs: crls, OCSPs: ocsps}
}

func stampTypes() []cms.OID {
	return []cms.OID{cms.OIDSignatureTimeStamp, cms.OIDArchiveTimeStampV3, cms.OIDArchiveTimeStampV2}
}
