package pades

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/pdf"
	"github.com/eidbridge/eidbridge/signing/validation"
)

// Values of /SubFilter (ISO 32000-2 12.8.3, EN 319 142-1 and -2).
const (
	subFilterCAdES    = "ETSI.CAdES.detached"
	subFilterPKCS7    = "adbe.pkcs7.detached"
	subFilterRFC3161  = "ETSI.RFC3161"
	subFilterSHA1     = "adbe.pkcs7.sha1"
	subFilterX509SHA1 = "adbe.x509.rsa_sha1"
)

// Codes of findings. A program may rely on them.
const (
	findByteRange        = "byte_range"           // ByteRange or Contents have not the required shape
	findDictionary       = "signature_dictionary" // the dictionary is malformed
	findSubFilter        = "sub_filter"           // unknown or misplaced encoding
	findLegacy           = "legacy_encoding"      // rests on SHA-1
	findRevision         = "not_a_revision"       // the signed bytes are no complete state of the file
	findOverridden       = "signature_overridden" // the dictionary was changed by a later revision
	findShared           = "shared_signature"     // two fields claim one signature
	findRepaired         = "ambiguous_structure"  // the file needed tolerance to be read
	findCMS              = signing.FindCMS
	findDigest           = signing.FindDigest
	findValue            = signing.FindValue
	findNoCertificate    = signing.FindNoCertificate
	findBinding          = signing.FindBinding
	findNoBinding        = signing.FindNoBinding
	findNoAttributes     = signing.FindNoAttributes
	findAlgorithm        = signing.FindAlgorithm
	findWeak             = signing.FindWeak
	findNoChain          = signing.FindNoChain
	findRevocation       = signing.FindRevocation
	findChain            = signing.FindChain
	findValidity         = signing.FindValidity
	findKeyUsage         = signing.FindKeyUsage
	findChanged          = "changed_after_signing"
	findUnclassified     = "changes_unclassified"
	findAnnotations      = "annotations_added"
	findVisibleSignature = "visible_signature_added"
	findCertification    = "docmdp_violation"
	findFieldLocked      = "fieldmdp_violation"
	findActiveAdded      = "active_content_added"
	findFilled           = "form_filled" // fields were filled in later, as is allowed
	findRemoved          = "signature_removed"
	findOrphan           = "orphan_signature" // a signature that no form field leads to
	findTrailing         = "trailing_data"
	findPrefix           = "prefix_data"
	findNotBaseline      = signing.FindNotBaseline
	findTimeStamp        = signing.FindTimeStamp
	findRevoked          = signing.FindRevoked
)

// Verify examines every signature that the form fields of a document lead to. In a
// file whose structure is broken it says TOTAL_FAILED of every signature that lies
// there. An error means that the document could not be read at all: ErrNotPDF,
// ErrEncrypted, *FormatError and *LimitError of package pdf, or an error of src.
// A bad signature is no error but a verdict.
func Verify(ctx context.Context, src io.ReaderAt, size int64, o VerifyOptions) (*Report, error) {
	v, err := open(ctx, src, size, o)
	var r *Report
	if err == nil {
		r, err = v.report(ctx)
	}
	var format *pdf.FormatError
	if errors.As(err, &format) || errors.Is(err, pdf.ErrMissing) {
		if r := wreck(ctx, src, size, err); r != nil {
			return r, nil
		}
	}
	return r, err
}

// wreck is the report on a file that cannot be read although signatures lie in it,
// nil for one without any. A signed file is never repaired (threats P-04): it may
// have been cut, or somebody made it so that programs read different documents.
func wreck(ctx context.Context, src io.ReaderAt, size int64, why error) *Report {
	loose, err := pdf.LooseSignatures(ctx, src, size, pdf.Limits{})
	if err != nil {
		return nil
	}
	r := &Report{
		Format:     signing.PAdES,
		Size:       size,
		Signatures: []Signature{},
		TimeStamps: []TimeStamp{},
		Warnings:   []Finding{{Code: findRepaired, Text: why.Error()}},
		NotChecked: []Check{CheckTrustedList},
	}
	for _, l := range loose {
		if l.SubFilter == subFilterRFC3161 {
			continue
		}
		s := Signature{
			Format: signing.PAdES, SubFilter: l.SubFilter, Findings: []Finding{}, TimeStamps: []TimeStamp{},
			Integrity: Unknown, Coverage: Unclear, ChangesAfter: ChangesUndefined,
		}
		s.Fail(TotalFailed, FormatFailure, findRepaired, "the structure of the file is broken, so that nothing can be said about what object %d signs", l.Ref.Number)
		r.Signatures = append(r.Signatures, s)
	}
	if len(r.Signatures) == 0 {
		return nil
	}
	return r
}

func open(ctx context.Context, src io.ReaderAt, size int64, o VerifyOptions) (*verifier, error) {
	doc, err := pdf.OpenProtected(ctx, src, size, pdf.Limits{}, o.Password)
	if err != nil {
		return nil, err
	}
	v := &verifier{doc: doc, src: src, opts: o}
	return v, v.load()
}

// verifier examines one document.
type verifier struct {
	doc  *pdf.Document
	src  io.ReaderAt
	opts VerifyOptions
	// structure leaves out messages, digests and times: what is left tells how the
	// revisions of the file relate to what its signatures cover.
	structure bool
	// hashOnly names the one field whose signed bytes are digested; empty means
	// all of them.
	hashOnly string
	// beginning is the digest of what src begins with, if it is known.
	beginning *copied
	signed    []signedField
	changes   map[int]changeSet // by index of the signed revision
	ambiguous bool              // the file has second versions of objects
	loaded    bool
	judge     *validation.Judge
	stored    []int // revisions that put validation data into the document
	stamps    []stampedRevision
}

// signedField is a signature field with its value.
type signedField struct {
	field pdf.Field
	ref   pdf.Ref // of the signature dictionary, zero when direct
	dict  pdf.Object
	// shared names further fields that claim the same signature.
	shared []string
}

func (v *verifier) report(ctx context.Context) (*Report, error) {
	r := &Report{
		Format:     signing.PAdES,
		Size:       v.doc.Size(),
		Revisions:  len(v.doc.Revisions()),
		Encrypted:  v.doc.Encrypted(),
		Signatures: []Signature{},
		TimeStamps: []TimeStamp{},
		Warnings:   []Finding{},
		NotChecked: []Check{CheckTrustedList},
	}
	if len(v.opts.Roots) == 0 {
		r.NotChecked = append(r.NotChecked, CheckChain)
	}
	if err := v.load(); err != nil {
		return nil, err
	}
	v.warn(r)
	if v.hashOnly == "" && !v.structure { // a stranger's file, not our own output
		if err := v.search(r); err != nil {
			return nil, err
		}
	}
	if !v.structure {
		if err := v.judgeStamps(ctx); err != nil {
			return nil, err
		}
	}
	for _, s := range slices.Backward(v.stamps) {
		r.TimeStamps = append(r.TimeStamps, s.out)
	}
	answered := true
	for _, s := range v.signed {
		if isStamp(s) {
			continue
		}
		e := &examination{v: v, s: s}
		if err := e.run(ctx); err != nil {
			return nil, err
		}
		answered = answered && e.answered
		r.Signatures = append(r.Signatures, e.out)
	}
	if !answered {
		r.NotChecked = append(r.NotChecked, CheckRevocation)
	}
	slices.SortStableFunc(r.Signatures, func(a, b Signature) int { return cmp.Compare(a.Revision, b.Revision) })
	return r, nil
}

// load reads form and validation data.
func (v *verifier) load() error {
	if v.loaded {
		return nil
	}
	v.loaded = true
	v.changes = make(map[int]changeSet)
	form, err := v.doc.Form()
	if err != nil {
		return err
	}
	if err := v.collect(form); err != nil || v.structure {
		return err
	}
	embedded, err := readStore(v.doc)
	if err != nil {
		return err
	}
	v.stored = v.storedAt()
	v.judge = validation.New(v.opts, embedded)
	return nil
}

// collect lists the signature fields that have a value.
func (v *verifier) collect(form *pdf.Form) error {
	for _, f := range form.Fields {
		if f.Type != "Sig" || f.Value.IsNull() {
			continue
		}
		if len(v.signed) == v.doc.Limits().Signatures {
			return &pdf.LimitError{What: "signatures", Limit: int64(v.doc.Limits().Signatures)}
		}
		s := signedField{field: f}
		s.ref, _ = f.Value.Ref()
		if i := slices.IndexFunc(v.signed, func(o signedField) bool { return s.ref != (pdf.Ref{}) && o.ref == s.ref }); i >= 0 {
			v.signed[i].shared = append(v.signed[i].shared, f.Name)
			continue
		}
		dict, err := v.doc.Resolve(f.Value)
		var format *pdf.FormatError
		if err != nil && !errors.As(err, &format) {
			return err
		}
		s.dict = v.signedAs(s.ref, dict)
		v.signed = append(v.signed, s)
	}
	return nil
}

// signedAs finds the place where a signature dictionary was signed: later revisions
// may have written it again as it was.
func (v *verifier) signedAs(ref pdf.Ref, dict pdf.Object) pdf.Object {
	if ref == (pdf.Ref{}) {
		return dict
	}
	for i := range v.doc.Revisions() {
		object, err := v.doc.At(i).Object(ref)
		if err == nil && (samePlace(object.Value, dict) || sameSignature(object.Value, dict)) {
			return object.Value
		}
	}
	return dict
}

// samePlace tells whether two objects are the same bytes of the file.
func samePlace(a, b pdf.Object) bool { return a.Offset() >= 0 && a.Offset() == b.Offset() }

// overridden tells whether a signature dictionary means something else in the present
// document than in the revision that it signed.
func (v *verifier) overridden(view *pdf.Document, s signedField) bool {
	if s.ref == (pdf.Ref{}) || pdf.SameObject(view, v.doc, s.ref.Number) {
		return false
	}
	object, err := view.Object(s.ref)
	return err != nil || !sameSignature(object.Value, s.dict)
}

// sameFields tells whether the fields that claim a signature are those that did in the
// revision that it signed.
func (v *verifier) sameFields(view *pdf.Document, s signedField) bool {
	if s.ref == (pdf.Ref{}) {
		return true // it is where its field is
	}
	form, err := view.Form()
	if err != nil {
		return false
	}
	var was []string
	for _, f := range form.Fields {
		if ref, ok := f.Value.Ref(); ok && ref == s.ref && f.Type == "Sig" {
			was = append(was, f.Name)
		}
	}
	now := append([]string{s.field.Name}, s.shared...)
	slices.Sort(was)
	slices.Sort(now)
	return slices.Equal(was, now)
}

// sameSignature compares two signature dictionaries. Contents is never encrypted, so
// that its bytes count as they stand (ISO 32000-2 7.6.2).
func sameSignature(a, b pdf.Object) bool {
	was, _ := a.Get("Contents").Source()
	is, _ := b.Get("Contents").Source()
	return a.Kind() == pdf.Dictionary && pdf.Equal(a, b) && bytes.Equal(was, is)
}

// warn adds what concerns the file as a whole.
func (v *verifier) warn(r *Report) {
	add := func(code, format string, args ...any) {
		r.Warnings = append(r.Warnings, Finding{Code: code, Text: fmt.Sprintf(format, args...)})
	}
	if n := v.doc.HeaderOffset(); n > 0 {
		add(findPrefix, "%d bytes stand before the PDF header", n)
	}
	for _, d := range v.doc.Deviations() {
		add(findRepaired, "%s (byte %d)", d.What, d.Offset)
	}
	if revisions := v.doc.Revisions(); !v.blank(revisions[len(revisions)-1].End, v.doc.Size()) {
		add(findTrailing, "data follows the end of the document")
	}
	for i := len(v.doc.Revisions()) - 2; i >= 0; i-- {
		if removed := v.removedSince(i); removed != "" {
			add(findRemoved, "the signature in field %q of an earlier revision is no longer there", removed)
			break
		}
	}
}

// removedSince returns a signed field of an earlier revision that the present
// document lacks (P-17).
func (v *verifier) removedSince(revision int) string {
	form, err := v.doc.At(revision).Form()
	if err != nil {
		return ""
	}
	for _, f := range form.Fields {
		if f.Type != "Sig" || f.Value.IsNull() {
			continue
		}
		if !slices.ContainsFunc(v.signed, func(s signedField) bool { return s.field.Name == f.Name }) {
			return f.Name
		}
	}
	return ""
}

// shape is a ByteRange with its hole (ISO 32000-2 12.8.1, threats of 17).
type shape struct {
	start, end, total int64      // hole [start,end), signed bytes end at total
	hole              pdf.Object // the string in it
}

// contents decodes what is in the hole.
func (s shape) contents() []byte {
	b, _ := s.hole.Source()
	return b
}

func (s shape) byteRange() []int64 { return []int64{0, s.start, s.end, s.total - s.end} }

// readShape demands four direct integers, the first zero, and a gap that is to
// the byte the hexadecimal string of this very dictionary.
func readShape(s signedField, size int64) (shape, error) {
	var out shape
	if s.dict.Kind() != pdf.Dictionary {
		return out, errors.New("the signature field has no signature dictionary")
	}
	if key, found := s.dict.Duplicate(); found {
		return out, fmt.Errorf("the signature dictionary has two entries /%s", key)
	}
	if s.dict.Offset() < 0 {
		return out, errors.New("the signature dictionary lies in an object stream")
	}
	numbers := s.dict.Get("ByteRange")
	if numbers.Kind() != pdf.Array || len(numbers.Items()) != 4 {
		return out, errors.New("/ByteRange is no array of four numbers")
	}
	var n [4]int64
	for i, item := range numbers.Items() {
		value, ok := item.Int()
		if !ok || value < 0 || value > size {
			return out, errors.New("/ByteRange holds something else than offsets of this file")
		}
		n[i] = value
	}
	contents := s.dict.Get("Contents")
	if !contents.IsHex() {
		return out, errors.New("/Contents is no hexadecimal string")
	}
	out = shape{start: n[1], end: n[2], total: n[2] + n[3]}
	if n[0] != 0 || out.start >= out.end || out.total > size {
		return out, errors.New("/ByteRange does not describe two ranges of this file")
	}
	if contents.Offset() != out.start || contents.Offset()+int64(len(contents.Raw())) != out.end {
		return out, errors.New("the gap of /ByteRange is not the /Contents of this signature")
	}
	digits := contents.Raw()[1 : len(contents.Raw())-1]
	switch {
	case len(bytes.TrimRight(digits, "0")) == 0:
		return out, errors.New("/Contents is empty")
	case slices.ContainsFunc(digits, func(c byte) bool { return strings.IndexByte("0123456789ABCDEFabcdef", c) < 0 }):
		return out, errors.New("/Contents holds something else than digits") // P-12
	}
	out.hole = contents
	return out, nil
}

// coverage finds the revision that the signed bytes are, by index.
func (v *verifier) coverage(s shape) (Coverage, int) {
	revisions := v.doc.Revisions()
	i := len(revisions) - 1
	for i >= 0 && revisions[i].EOF > s.total {
		i--
	}
	switch {
	case i < 0 || s.start > revisions[i].EOF || !v.blank(revisions[i].EOF, s.total):
		return Partial, -1
	case i == len(revisions)-1 && v.blank(s.total, v.doc.Size()):
		return WholeFile, i
	default:
		return WholeRevision, i
	}
}

// blank tells whether a stretch of the file holds nothing but at most some white
// space.
func (v *verifier) blank(from, to int64) bool {
	const most = 1024
	if to <= from {
		return true
	}
	if to-from > most {
		return false
	}
	buf := make([]byte, to-from)
	if n, err := v.src.ReadAt(buf, from); n < len(buf) && err != nil {
		return false
	}
	return len(bytes.Trim(buf, " \t\r\n\f\x00")) == 0
}
