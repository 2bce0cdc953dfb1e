package pades

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"time"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/cms"
	"github.com/eidbridge/eidbridge/signing/pdf"
)

// layout is a new revision while it is decided on.
type layout struct {
	doc      *pdf.Document
	update   *pdf.Update
	form     *pdf.Form
	root     pdf.Ref
	catalog  *pdf.Edit
	changed  bool // the catalog
	template *cms.Template
	opts     Options
	at       time.Time

	target    target
	field     string
	marks     []mark
	claims    claims
	newField  bool
	earlier   int
	rules     *restrictions // of the earlier signatures
	certify   Certification
	mustStamp bool // a seed value demands a time-stamp
	grown     bool // an array of the document security store
	// annotationLists counts the pages of each list of annotations; nil until asked for.
	annotationLists map[pdf.Ref]int

	signature   pdf.Ref
	fieldObject pdf.Ref // set for a new field
	byteRange   int     // offset of the array in the signature dictionary
	hole        int     // offset of /Contents in it
	holeLength  int
	tail        []byte
	holeStart   int // in tail
}

// maxSize is what thirteen digits of a ByteRange number hold, in bytes; ten
// suffice for documents below tenDigits with all that may be appended.
const (
	maxSize   = 9_999_999_999_999
	tenDigits = 9_000_000_000
)

// newLayout reads the document, refuses what must be refused, and builds the
// tail with its empty hole.
func newLayout(ctx context.Context, src io.ReaderAt, size int64, cred signing.Credential, o Options) (*layout, error) {
	l, err := beginLayout(cred, o)
	if err != nil {
		return nil, err
	}
	return l, l.decide(ctx, src, size)
}

// beginLayout decides what needs no document.
func beginLayout(cred signing.Credential, o Options) (*layout, error) {
	l := &layout{opts: o, at: o.SigningTime}
	if l.at.IsZero() {
		l.at = time.Now()
	}
	l.at = l.at.Truncate(time.Second)
	return l, l.useCredential(cred)
}

// decide does the rest.
func (l *layout) decide(ctx context.Context, src io.ReaderAt, size int64) error {
	doc, err := openForSigning(ctx, src, size, l.opts.Password)
	if err != nil {
		return err
	}
	l.doc = doc
	if err := l.inspect(); err != nil {
		return err
	}
	if l.update, err = doc.NewUpdate(); err != nil {
		return err
	}
	for _, step := range []func() error{l.chooseMarks, l.readClaims, l.avoidDangling, l.putField, l.putForm, l.putExtension, l.putCertification, l.putSignature, l.render} {
		if err := step(); err != nil {
			return err
		}
	}
	return l.rehearse(ctx, src)
}

// useCredential checks that the certificate may sign and sets the template.
func (l *layout) useCredential(cred signing.Credential) error {
	if err := cred.Check(l.at); err != nil {
		return err
	}
	c := cred.Certificate
	algorithm, err := cms.AlgorithmFor(c.PublicKey, l.opts.Digest, l.opts.PSS)
	if err != nil {
		return refuse(RefusedKey, "use another key", "the key cannot be used: %v", err)
	}
	claimed, err := l.opts.attributes()
	if err != nil {
		return err
	}
	l.template = &cms.Template{Certificate: c, Chain: cred.Chain, Algorithm: algorithm, Attributes: claimed}
	return nil
}

// inspect looks for reasons not to sign and chooses the field.
func (l *layout) inspect() error {
	if err := l.inspectFile(); err != nil {
		return err
	}
	var err error
	if l.rules, err = readRestrictions(l.doc, l.form, l.catalog.Dict()); err != nil {
		return err
	}
	l.earlier = l.rules.signatures
	if l.rules.permission == 1 {
		return refuse(RefusedCertifiedNoChanges, "ask the author for a version that may be signed",
			"the author certified the document and allowed no changes; a further signature would break that certification")
	}
	if err := l.chooseTarget(l.rules); err != nil {
		return err
	}
	return l.checkCertification()
}

// inspectFile reads catalog and form and looks for reasons not to add anything.
func (l *layout) inspectFile() error {
	d := l.doc
	if d.Locked() {
		return fmt.Errorf("signing: %w", pdf.ErrEncrypted)
	}
	if !d.Permits(pdf.PermitModify | pdf.PermitAnnotate | pdf.PermitFill) {
		return refuse(RefusedPermission, "ask its owner for a version that may be signed, or for the owner's password",
			"the protection of the document allows neither changes nor filling in nor signing")
	}
	if d.HeaderOffset() > 0 {
		return refuse(RefusedPrefixData, "save the document again with a PDF program",
			"%d bytes stand before the PDF header, and no signature would cover them as part of the document", d.HeaderOffset())
	}
	if d.Size() > maxSize/2 {
		return refuse(RefusedTooLarge, "", "the document is larger than a signature can describe")
	}
	if err := l.refuseSecondVersions(); err != nil {
		return err
	}
	root, catalog, err := d.Root()
	if err != nil {
		return err
	}
	if err := unambiguous(catalog, "the catalog"); err != nil {
		return err
	}
	l.root, l.catalog = root, pdf.NewEdit(catalog)
	if l.form, err = d.Form(); err != nil {
		return err
	}
	return unambiguous(l.form.Dict, "the form")
}

// refuseSecondVersions looks for objects that a reader which searches for them would
// take for others (P-14). Verify fails signatures over them.
func (l *layout) refuseSecondVersions() error {
	// Beyond, it takes more time and memory than all the rest. ScanDocument and Verify
	// look for them in any file.
	const most = 100_000 // objects
	if n, _ := l.doc.Trailer().Get("Size").Int(); n > most {
		return nil
	}
	if l.doc.Rebuilt() {
		return nil // all of them were looked for
	}
	twice := uint32(0)
	err := l.doc.Unlisted(func(ref pdf.Ref, another bool) {
		if another {
			twice = ref.Number
		}
	})
	if err == nil && twice != 0 {
		return refuse(RefusedAmbiguous, "save the document again with a PDF program",
			"the file has a second version of object %d, so programs may show different documents", twice)
	}
	return err
}

func unambiguous(dict pdf.Object, what string) error {
	if key, found := dict.Duplicate(); found {
		return refuse(RefusedAmbiguous, "save the document again with a PDF program",
			"%s has two entries /%s, so programs may show different documents", what, key)
	}
	return nil
}

// bytes lays the update out.
func (l *layout) bytes() ([]byte, error) {
	if l.changed {
		l.update.Put(l.root, l.catalog.Bytes())
	}
	l.update.SetID(l.newID())
	return l.update.Bytes()
}

// render lays the update out and fills in the byte range.
func (l *layout) render() error {
	tail, err := l.bytes()
	if err != nil {
		return err
	}
	body := int(l.update.BodyOffset(l.signature) - l.doc.Size())
	l.tail, l.holeStart = tail, body+l.hole
	start := l.doc.Size() + int64(l.holeStart)
	end := start + int64(l.holeLength)
	total := l.doc.Size() + int64(len(tail))
	if total > maxSize {
		return refuse(RefusedTooLarge, "", "the signed document would be larger than a signature can describe")
	}
	text := fmt.Sprintf("[0 %d %d %d", start, end, total-end)
	copy(tail[body+l.byteRange:], fmt.Sprintf("%-*s]", l.byteRangeWidth()-1, text))
	return nil
}

// newID derives the changing half of the file identifier (14.4) from what makes
// this revision different from others.
func (l *layout) newID() []byte {
	h := sha256.New()
	fmt.Fprintf(h, "%d %s %s ", l.doc.Size(), l.at.UTC().Format(time.RFC3339), l.field)
	if l.template != nil {
		h.Write(l.template.Certificate.Raw)
	}
	h.Write(l.doc.Trailer().Raw())
	return h.Sum(nil)[:16]
}

// plan describes the new revision. What depends on the document is left to digest.
func (l *layout) plan() *Plan {
	p := &Plan{
		SourceSize:        l.doc.Size(),
		Tail:              l.tail,
		HoleStart:         l.holeStart,
		HoleEnd:           l.holeStart + l.holeLength,
		Certificates:      [][]byte{l.template.Certificate.Raw},
		DigestAlgorithm:   l.template.Algorithm.Digest.String(),
		PSS:               l.template.Algorithm.Scheme == cms.RSAPSS,
		Field:             l.field,
		NewField:          l.newField,
		SigningTime:       l.at,
		EarlierSignatures: l.earlier,
		password:          l.opts.Password,
		made:              l.template,
	}
	for _, c := range l.template.Chain {
		p.Certificates = append(p.Certificates, c.Raw)
	}
	return p
}

// byteRangeWidth is the room for the array: brackets, a zero, three numbers of
// ten digits, or of thirteen, and the blanks between them.
func (l *layout) byteRangeWidth() int {
	if l.doc.Size() < tenDigits {
		return len("[0 0000000000 0000000000 0000000000]")
	}
	return len("[0 0000000000000 0000000000000 0000000000000]")
}

// putSignature writes the signature dictionary (ISO 32000-2 table 255) with
// empty room for ByteRange and Contents, whose places are remembered.
func (l *layout) putSignature() error {
	size, err := l.template.Size()
	if err != nil {
		return refuse(RefusedCertificate, "", "the certificates cannot be put into a signature: %v", err)
	}
	if rank(l.opts.Level) >= rank(signing.BaselineT) {
		size += tokenRoom
	}
	body := []byte("\n/M ")
	body = pdf.AppendLiteral(body, []byte(pdfDate(l.at)))
	for _, e := range []struct{ key, text string }{
		{"Name", l.opts.Name},
		{"Location", l.opts.Location},
		{"Reason", l.opts.Reason},
		{"ContactInfo", l.opts.ContactInfo},
	} {
		if e.text != "" {
			body = append(body, "\n/"+e.key+" "...)
			body = pdf.AppendText(body, e.text)
		}
	}
	if len(l.target.references) > 0 {
		body = append(body, "\n/Reference ["...)
		body = append(body, bytes.Join(l.target.references, []byte{' '})...)
		body = append(body, ']')
	}
	l.putHole([]byte("<<\n/Type /Sig\n/Filter /Adobe.PPKLite\n/SubFilter /ETSI.CAdES.detached\n/ByteRange "), size, append(body, "\n>>"...))
	return nil
}

// pdfDate writes a date (7.9.4) in the zone of the time.
func pdfDate(t time.Time) string {
	_, offset := t.Zone()
	if offset == 0 {
		return t.Format("D:20060102150405Z")
	}
	sign := '+'
	if offset < 0 {
		sign, offset = '-', -offset
	}
	return fmt.Sprintf("%s%c%02d'%02d", t.Format("D:20060102150405"), sign, offset/3600, offset/60%60)
}
