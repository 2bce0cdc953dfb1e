package pades

import (
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
