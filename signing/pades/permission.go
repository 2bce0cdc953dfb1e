package pades

import (
	"fmt"
	"slices"
	"strings"

	"github.com/eidbridge/eidbridge/signing/pdf"
)

// restrictions is what earlier signatures allow.
type restrictions struct {
	signatures int
	// permission is the strictest DocMDP P, 0 without any.
	permission int64
	rules      []lockRule
}

// lockRule is one FieldMDP transform.
type lockRule struct {
	action string
	fields []string
}

// locks tells whether an earlier signature locked a field. A name stands for
// all fields below it.
func (r *restrictions) locks(name string) bool {
	for _, rule := range r.rules {
		named := slices.ContainsFunc(rule.fields, func(f string) bool {
			return name == f || strings.HasPrefix(name, f+".")
		})
		if rule.action == "All" || rule.action == "Include" && named || rule.action == "Exclude" && !named {
			return true
		}
	}
	return false
}

// readRestrictions collects the transforms of all signatures in the document,
// and of the certification that the catalog names even if no field does.
func readRestrictions(d *pdf.Document, form *pdf.Form, catalog pdf.Object) (*restrictions, error) {
	r := new(restrictions)
	for _, f := range form.Fields {
		if f.Type != "Sig" || f.Value.IsNull() {
			continue
		}
		if r.signatures++; r.signatures > d.Limits().Signatures {
			return nil, &pdf.LimitError{What: "signatures", Limit: int64(d.Limits().Signatures)}
		}
		dict, err := d.Resolve(f.Value)
		if err != nil {
			return nil, err
		}
		if err := r.read(d, dict); err != nil {
			return nil, err
		}
	}
	perms, err := d.Value(catalog, "Perms")
	if err != nil {
		return nil, err
	}
	certification, err := d.Value(perms, "DocMDP")
	if err != nil {
		return nil, err
	}
	return r, r.read(d, certification)
}

func (r *restrictions) read(d *pdf.Document, signature pdf.Object) error {
	references, err := d.Value(signature, "Reference")
	if err != nil {
		return err
	}
	for _, item := range references.Items() {
		reference, err := d.Resolve(item)
		if err != nil {
			return err
		}
		params, err := d.Value(reference, "TransformParams")
		if err != nil {
			return err
		}
		method, err := d.Value(reference, "TransformMethod")
		if err != nil {
			return err
		}
		switch method.Name() {
		case "DocMDP":
			p, err := docMDP(d, params)
			if err != nil {
				return err
			}
			if r.permission == 0 || p < r.permission {
				r.permission = p
			}
		case "FieldMDP":
			rule := lockRule{}
			action, err := d.Value(params, "Action")
			if err != nil {
				return err
			}
			fields, err := d.Value(params, "Fields")
			if err != nil {
				return err
			}
			rule.action = action.Name()
			for _, f := range fields.Items() {
				if f, err = d.Resolve(f); err != nil {
					return err
				}
				rule.fields = append(rule.fields, f.Text())
			}
			r.rules = append(r.rules, rule)
		}
	}
	return nil
}

// docMDP returns /P, which is 2 when absent (table 257).
func docMDP(d *pdf.Document, params pdf.Object) (int64, error) {
	value, err := d.Value(params, "P")
	if err != nil {
		return 0, err
	}
	if p, ok := value.Int(); ok && p >= 1 && p <= 3 {
		return p, nil
	}
	return 2, nil
}

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

// checkSeed refuses a field whose required seed values cannot be met. What is
// not required is advice and needs no answer.
func (l *layout) checkSeed(seed pdf.Object) error {
	if seed.IsNull() {
		return nil
	}
	flags, _ := seed.Get("Ff").Int()
	cannot := func(what string, args ...any) error {
		return refuse(RefusedSeedValue, "sign another field or ask the author of the form",
			"the field demands "+what+", which this program cannot give", args...)
	}
	value := func(key string) (pdf.Object, error) { return l.doc.Value(seed, key) }

	for _, unsupported := range []struct {
		bit  int64
		key  string
		what string
	}{
		{seedLegalAttestation, "LegalAttestation", "a legal attestation"},
		{seedAddRevInfo, "AddRevInfo", "revocation information inside the signature"},
		{seedLockDocument, "LockDocument", "that the document be locked"},
		{seedAppearanceFilter, "AppearanceFilter", "a certain appearance"},
	} {
		v, err := value(unsupported.key)
		if err != nil {
			return err
		}
		off, isBool := v.Bool()
		if flags&unsupported.bit != 0 && !v.IsNull() && (!isBool || off) && v.Name() != "false" {
			return cannot(unsupported.what)
		}
	}
	if v, err := value("Filter"); err != nil {
		return err
	} else if flags&seedFilter != 0 && v.Name() != "" && v.Name() != "Adobe.PPKLite" {
		return cannot("the signature handler %q", v.Name())
	}
	if v, err := value("V"); err != nil {
		return err
	} else if n, _ := v.Float(); flags&seedV != 0 && n > 3 {
		return cannot("version %v of seed values", n)
	}
	if err := l.checkSeedLists(seed, flags, cannot); err != nil {
		return err
	}
	return l.checkSeedDictionaries(seed, cannot)
}

// checkSeedLists looks at the entries that list what is acceptable.
func (l *layout) checkSeedLists(seed pdf.Object, flags int64, cannot func(string, ...any) error) error {
	list := func(key string) ([]string, error) {
		v, err := l.doc.Value(seed, key)
		var words []string
		for _, item := range v.Items() {
			if item, err = l.doc.Resolve(item); err != nil {
				return nil, err
			}
			words = append(words, item.Name()+item.Text())
		}
		return words, err
	}
	subFilters, err := list("SubFilter")
	if err != nil {
		return err
	}
	if flags&seedSubFilter != 0 && len(subFilters) > 0 && !slices.Contains(subFilters, subFilterCAdES) {
		return cannot("one of the encodings %v", subFilters)
	}
	digests, err := list("DigestMethod")
	if err != nil {
		return err
	}
	own := strings.ReplaceAll(l.template.Algorithm.Digest.String(), "-", "")
	if flags&seedDigestMethod != 0 && len(digests) > 0 && !slices.Contains(digests, own) {
		return cannot("one of the digests %v", digests)
	}
	reasons, err := list("Reasons")
	if err != nil || flags&seedReasons == 0 {
		return err
	}
	if len(reasons) == 0 || len(reasons) == 1 && reasons[0] == "." {
		if l.opts.Reason != "" {
			return refuse(RefusedSeedValue, "sign without a reason", "the field allows no reason")
		}
		return nil
	}
	if !slices.Contains(reasons, l.opts.Reason) {
		return refuse(RefusedSeedValue, fmt.Sprintf("give one of the reasons %q", reasons), "the field demands one of its own reasons")
	}
	return nil
}

// checkSeedDictionaries looks at the entries with flags of their own.
func (l *layout) checkSeedDictionaries(seed pdf.Object, cannot func(string, ...any) error) error {
	for _, e := range []struct{ key, flag, what string }{
		{"Cert", "Ff", "certain certificates"},
		{"TimeStamp", "Ff", "a time-stamp"},
		{"MDP", "P", "a certification"},
	} {
		dict, err := l.doc.Value(seed, e.key)
		if err != nil {
			return err
		}
		flag, err := l.doc.Value(dict, e.flag)
		if err != nil {
			return err
		}
		if n, _ := flag.Int(); n != 0 {
			return cannot(e.what)
		}
	}
	return nil
}
