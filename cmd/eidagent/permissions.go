package main

import (
	"github.com/eidbridge/eidbridge/desktop"
	"github.com/eidbridge/eidbridge/signing/pades"
)

// permitting are the options that say what may happen to the document later.
type permitting struct {
	Certify     string   `enum:"no,none,forms,annotations" default:"no" help:"Certify the document as its author: afterwards none, forms (filling in and signing) or annotations may be added. Must be the first signature."`
	Attestation string   `placeholder:"TEXT" help:"Legal attestation of a certification: what can make the document look different."`
	Lock        []string `placeholder:"FIELD" help:"Form fields that nobody may change afterwards (may be repeated); 'all' locks every one."`
	LockExcept  []string `name:"lock-except" placeholder:"FIELD" help:"Lock all form fields but these."`
}

// apply puts the options into an output.
func (o *permitting) apply(out *desktop.Output) error {
	out.Certify = map[string]pades.Certification{
		"no": pades.NotCertified, "none": pades.CertifyNoChanges, "forms": pades.CertifyForms, "annotations": pades.CertifyAnnotations,
	}[o.Certify]
	out.LegalAttestation = o.Attestation
	switch {
	case len(o.Lock) > 0 && len(o.LockExcept) > 0:
		return &problem{exit: exitUsage, message: "--lock and --lock-except exclude each other", hints: []string{"Name the fields to lock, or those to leave open."}}
	case len(o.Lock) == 1 && o.Lock[0] == "all":
		out.Lock = &pades.FieldLock{Action: pades.LockAll}
	case len(o.Lock) > 0:
		out.Lock = &pades.FieldLock{Action: pades.LockInclude, Fields: o.Lock}
	case len(o.LockExcept) > 0:
		out.Lock = &pades.FieldLock{Action: pades.LockExclude, Fields: o.LockExcept}
	}
	return nil
}
