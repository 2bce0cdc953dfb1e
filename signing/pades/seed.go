package pades

import (
	"bytes"
	"crypto"
	"fmt"
	"slices"
	"strings"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/cms"
	"github.com/eidbridge/eidbridge/signing/pdf"
)

// Bits of /Ff in a seed value dictionary (table 237).
const (
	seedFilter           = 1 << 0
	seedSubFilter        = 1 << 1
	seedV                = 1 << 2
	seedReasons          = 1 << 3
	seedLegalAttestation = 1 << 4
	seedAddRevInfo       = 1 << 5
	seedDigestMethod     = 1 << 6
	seedLockDocument     = 1 << 7
	seedAppearanceFilter = 1 << 8
)

// seedVersion is the newest version of seed value dictionaries: 3, of PDF 2.0.
const seedVersion = 3

// seed is the seed value dictionary of the field to be signed (12.7.5.5): what
// the author of the form wants of its signature. What is required is met or
// refused; what is not is advice and needs no answer.
type seed struct {
	l     *layout
	dict  pdf.Object
	flags int64
}

// honour applies seed values and lock of an existing field.
func (l *layout) honour(f *pdf.Field) error {
	if err := unambiguous(f.Dict, "the signature field"); err != nil {
		return err
	}
	dict, err := l.doc.Value(f.Dict, "SV")
	if err != nil {
		return err
	}
	lock, err := l.doc.Value(f.Dict, "Lock")
	if err != nil {
		return err
	}
	switch {
	case !lock.IsNull():
		if l.target.references, err = l.lockReferences(lock); err != nil {
			return err
		}
	case l.opts.Lock != nil:
		names := make(map[string]bool)
		for _, f := range l.form.Fields {
			names[f.Name] = true
		}
		if err := l.useLock(names); err != nil {
			return err
		}
	}
	if dict.IsNull() {
		return nil
	}
	if err := unambiguous(dict, "the seed value dictionary"); err != nil {
		return err
	}
	s := &seed{l: l, dict: dict}
	flags, err := s.value("Ff")
	if err != nil {
		return err
	}
	s.flags, _ = flags.Int()
	for _, check := range []func() error{
		s.handler, s.subFilter, s.version, s.digest, s.reasons, s.certification, s.attestation,
		s.revocation, s.stamp, s.lock, s.appearance, s.certificate,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (s *seed) value(key string) (pdf.Object, error) { return s.l.doc.Value(s.dict, key) }

func (s *seed) requires(bit int64) bool { return s.flags&bit != 0 }

// cannot refuses what no option could mend.
func (s *seed) cannot(what string, args ...any) error {
	return refuse(RefusedSeedValue, "sign another field or ask the author of the form",
		"the field demands "+what+", which this program cannot give", args...)
}

// words reads an array of names or text strings.
func (s *seed) words(dict pdf.Object, key string) ([]string, error) {
	v, err := s.l.doc.Value(dict, key)
	var words []string
	for _, item := range v.Items() {
		if item, err = s.l.doc.Resolve(item); err != nil {
			return nil, err
		}
		words = append(words, item.Name()+item.Text())
	}
	return words, err
}

func (s *seed) handler() error {
	v, err := s.value("Filter")
	if err == nil && s.requires(seedFilter) && v.Name() != "" && v.Name() != "Adobe.PPKLite" {
		return s.cannot("the signature handler %q", v.Name())
	}
	return err
}

func (s *seed) subFilter() error {
	list, err := s.words(s.dict, "SubFilter")
	if err == nil && s.requires(seedSubFilter) && len(list) > 0 && !slices.Contains(list, subFilterCAdES) {
		return s.cannot("one of the encodings %v", list)
	}
	return err
}

func (s *seed) version() error {
	v, err := s.value("V")
	if n, _ := v.Float(); err == nil && s.requires(seedV) && n > seedVersion {
		return s.cannot("version %v of seed values", n)
	}
	return err
}

// digest takes the first acceptable digest when the options leave the choice.
func (s *seed) digest() error {
	list, err := s.words(s.dict, "DigestMethod")
	if err != nil || len(list) == 0 {
		return err
	}
	name := func(h crypto.Hash) string { return strings.ReplaceAll(h.String(), "-", "") }
	template := s.l.template
	if slices.Contains(list, name(template.Algorithm.Digest)) {
		return nil
	}
	if s.l.opts.Digest == 0 {
		for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
			if !slices.Contains(list, name(h)) {
				continue
			}
			algorithm, err := cms.AlgorithmFor(template.Certificate.PublicKey, h, s.l.opts.PSS)
			if err == nil {
				template.Algorithm = algorithm
				return nil
			}
		}
	}
	if s.requires(seedDigestMethod) {
		return s.cannot("one of the digests %v", list)
	}
	return nil
}

func (s *seed) reasons() error {
	list, err := s.words(s.dict, "Reasons")
	if err != nil || !s.requires(seedReasons) {
		return err
	}
	reason := s.l.opts.Reason
	if len(list) == 0 || len(list) == 1 && list[0] == "." {
		if reason != "" {
			return refuse(RefusedSeedValue, "sign without a reason", "the field allows no reason")
		}
		return nil
	}
	if !slices.Contains(list, reason) {
		return refuse(RefusedSeedValue, fmt.Sprintf("give one of the reasons %q", list), "the field demands one of its own reasons")
	}
	return nil
}

// certification follows /MDP, which is always a constraint: 0 wants an ordinary
// signature, 1 to 3 a certification with that permission.
func (s *seed) certification() error {
	mdp, err := s.value("MDP")
	if err != nil {
		return err
	}
	value, err := s.l.doc.Value(mdp, "P")
	if err != nil {
		return err
	}
	p, ok := value.Int()
	wanted := s.l.opts.Certify
	switch {
	case !ok:
		return nil
	case p < 0 || p > 3:
		return s.cannot("the unknown certification %d", p)
	case p == 0 && wanted != NotCertified:
		return refuse(RefusedSeedValue, "sign it without certifying the document", "the field accepts no certification")
	case p != 0 && wanted != NotCertified && int64(wanted) != p:
		return refuse(RefusedSeedValue, fmt.Sprintf("certify with %d", p), "the field demands another certification than %d", wanted)
	}
	s.l.certify = Certification(p)
	return nil
}

func (s *seed) attestation() error {
	list, err := s.words(s.dict, "LegalAttestation")
	if err != nil || !s.requires(seedLegalAttestation) || len(list) == 0 {
		return err
	}
	if !slices.Contains(list, s.l.opts.LegalAttestation) {
		return refuse(RefusedSeedValue, fmt.Sprintf("give one of the legal attestations %q", list),
			"the field demands one of its own legal attestations")
	}
	return nil
}

// revocation wants validation data with the signature; in PAdES it goes into the
// document security store.
func (s *seed) revocation() error {
	v, err := s.value("AddRevInfo")
	if on, _ := v.Bool(); err == nil && on && s.requires(seedAddRevInfo) && rank(s.l.opts.Level) < rank(signing.BaselineLT) {
		return refuse(RefusedSeedValue, "sign at level B-LT or B-LTA", "the field demands that the validation data be added")
	}
	return err
}

// stamp wants a time-stamp. The authority stays the person's choice: a document
// does not decide whom this computer talks to.
func (s *seed) stamp() error {
	dict, err := s.value("TimeStamp")
	if err != nil {
		return err
	}
	flag, err := s.l.doc.Value(dict, "Ff")
	if n, _ := flag.Int(); err != nil || n&1 == 0 {
		return err
	}
	if rank(s.l.opts.Level) < rank(signing.BaselineT) {
		return refuse(RefusedSeedValue, "sign at level B-T or higher", "the field demands a time-stamp")
	}
	s.l.mustStamp = true
	return nil
}

// lock makes the signature the last one when the author wants so (PDF 2.0).
func (s *seed) lock() error {
	v, err := s.value("LockDocument")
	if err != nil || v.Name() != "true" || !s.requires(seedLockDocument) {
		return err
	}
	switch {
	case s.l.certify == CertifyNoChanges:
	case s.l.certify != NotCertified:
		return s.cannot("a certification that allows changes and a lock that allows none")
	default:
		s.l.target.references = slices.DeleteFunc(s.l.target.references, func(r []byte) bool { return bytes.Contains(r, []byte("/DocMDP")) })
		s.l.target.references = append(s.l.target.references, lockDocument(1))
	}
	return nil
}

// appearance: no appearances have names here.
func (s *seed) appearance() error {
	v, err := s.value("AppearanceFilter")
	if err == nil && s.requires(seedAppearanceFilter) && v.Text() != "" {
		return s.cannot("the appearance %q", v.Text())
	}
	return err
}
