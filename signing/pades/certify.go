package pades

import (
	"fmt"

	"github.com/eidbridge/eidbridge/signing/pdf"
)

// Certification is /P of a DocMDP transform (ISO 32000-2 table 257): what may be
// done to a document after its author certified it.
type Certification int

// The certifications. The zero value makes an ordinary signature.
const (
	NotCertified Certification = 0
	// CertifyNoChanges allows nothing but validation data and time-stamps.
	CertifyNoChanges Certification = 1
	// CertifyForms also allows filling in forms and signing.
	CertifyForms Certification = 2
	// CertifyAnnotations also allows annotations.
	CertifyAnnotations Certification = 3
)

// LockAction says how a FieldLock means its fields (table 236).
type LockAction string

// The actions.
const (
	LockAll     LockAction = "All"
	LockInclude LockAction = "Include"
	LockExclude LockAction = "Exclude"
)

// FieldLock locks form fields against later changes.
type FieldLock struct {
	Action LockAction
	// Fields are fully qualified names, each for itself and all below it; none
	// with LockAll.
	Fields []string
}

// checkCertification refuses a certification that would be none.
func (l *layout) checkCertification() error {
	if l.opts.Certify < NotCertified || l.opts.Certify > CertifyAnnotations {
		return refuse(RefusedOption, "choose 1, 2 or 3", "%d is no kind of certification", l.opts.Certify)
	}
	if l.certify == NotCertified { // else a seed value decided
		l.certify = l.opts.Certify
	}
	if l.certify == NotCertified {
		if l.opts.LegalAttestation != "" {
			return refuse(RefusedOption, "certify the document, or leave the attestation out", "a legal attestation belongs to a certification")
		}
		return nil
	}
	if l.earlier > 0 {
		return refuse(RefusedCertification, "sign it without certifying it",
			"the document is signed already, and a certification must be the first signature")
	}
	return nil
}

// putCertification adds the DocMDP transform to the signature and names the
// signature in the permissions of the document: without either it is no
// certification (12.8.2.2, 12.8.6).
func (l *layout) putCertification() error {
	if l.certify == NotCertified {
		return nil
	}
	l.target.references = append(l.target.references, fmt.Appendf(nil,
		"<< /Type /SigRef /TransformMethod /DocMDP /TransformParams << /Type /TransformParams /P %d /V /1.2 >> >>", l.certify))
	if err := l.putInCatalog("Perms", "DocMDP", []byte(l.signature.String())); err != nil {
		return err
	}
	if l.opts.LegalAttestation == "" {
		return nil
	}
	return l.putInCatalog("Legal", "Attestation", pdf.AppendText(nil, l.opts.LegalAttestation))
}

// putInCatalog sets one entry of a dictionary that the catalog holds or refers
// to.
func (l *layout) putInCatalog(name, key string, value []byte) error {
	entry := l.catalog.Dict().Get(name)
	dict, err := l.doc.Resolve(entry)
	if err != nil {
		return err
	}
	if !dict.IsNull() && dict.Kind() != pdf.Dictionary {
		return &pdf.FormatError{Offset: dict.Offset(), What: "/" + name + " of the catalog is no dictionary"}
	}
	if err := unambiguous(dict, "/"+name+" of the catalog"); err != nil {
		return err
	}
	body := pdf.NewEdit(dict).Set(key, value).Bytes()
	if ref, ok := entry.Ref(); ok && !dict.IsNull() {
		l.update.Put(ref, body)
		return nil
	}
	l.setCatalog(name, body)
	return nil
}

// useLock applies the lock of the options; names are those of all fields.
func (l *layout) useLock(names map[string]bool) error {
	lock := l.opts.Lock
	if lock == nil {
		return nil
	}
	switch lock.Action {
	case LockAll:
		if len(lock.Fields) > 0 {
			return refuse(RefusedOption, "name no fields, or lock only those", "a lock of all fields names none")
		}
	case LockInclude, LockExclude:
		if len(lock.Fields) == 0 {
			return refuse(RefusedOption, "name the fields", "the lock names no fields")
		}
	default:
		return refuse(RefusedOption, "", "%q is no kind of lock", lock.Action)
	}
	for _, f := range lock.Fields {
		if !names[f] {
			return refuse(RefusedOption, "check the names of the fields", "the document has no form field %q to lock", f)
		}
	}
	entries := lockEntries(string(lock.Action), lock.Fields)
	l.target.lock = fmt.Appendf(nil, "<< /Type /SigFieldLock%s >>", entries)
	l.target.references = append(l.target.references, l.fieldMDP(entries))
	return nil
}

// lockEntries are /Action and /Fields of a lock or of its transform.
func lockEntries(action string, fields []string) []byte {
	out := fmt.Appendf(nil, " /Action /%s", action)
	if action == string(LockAll) {
		return out
	}
	out = append(out, " /Fields ["...)
	for _, f := range fields {
		out = append(pdf.AppendText(out, f), ' ')
	}
	return append(out, ']')
}

// fieldMDP is the transform that makes a lock effective (12.8.2.4).
func (l *layout) fieldMDP(entries []byte) []byte {
	return fmt.Appendf(nil,
		"<< /Type /SigRef /TransformMethod /FieldMDP /TransformParams << /Type /TransformParams /V /1.2%s >> /Data %s >>", entries, l.root)
}

// lockReferences turns a SigFieldLock dictionary (table 236) into the transforms
// that make the lock effective: FieldMDP, and DocMDP for its /P.
func (l *layout) lockReferences(lock pdf.Object) ([][]byte, error) {
	action := lock.Get("Action").Name()
	if action != string(LockAll) && action != string(LockInclude) && action != string(LockExclude) {
		return nil, refuse(RefusedSeedValue, "", "the field has a lock with the unknown action %q", action)
	}
	var names []string
	if action != string(LockAll) {
		fields, err := l.doc.Value(lock, "Fields")
		if err != nil {
			return nil, err
		}
		if fields.Kind() != pdf.Array {
			return nil, refuse(RefusedSeedValue, "", "the field has a lock without a list of fields")
		}
		for _, item := range fields.Items() {
			if item, err = l.doc.Resolve(item); err != nil {
				return nil, err
			}
			names = append(names, item.Text())
		}
	}
	references := [][]byte{l.fieldMDP(lockEntries(action, names))}
	permission, err := l.doc.Value(lock, "P")
	if err != nil {
		return nil, err
	}
	if p, ok := permission.Int(); ok {
		if p < 1 || p > 3 {
			return nil, refuse(RefusedSeedValue, "", "the field has a lock with the unknown permission %d", p)
		}
		references = append(references, lockDocument(p))
	}
	return references, nil
}

// lockDocument is the transform by which a signature that certifies nothing
// limits what may follow (table 236, /P).
func lockDocument(p int64) []byte {
	return fmt.Appendf(nil,
		"<< /Type /SigRef /TransformMethod /DocMDP /TransformParams << /Type /TransformParams /V /1.2 /P %d >> >>", p)
}
