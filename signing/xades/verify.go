package xades

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/revocation"
	"github.com/eidbridge/eidbridge/signing/validation"
	"github.com/eidbridge/eidbridge/signing/xmldsig"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// Codes of findings. A program may rely on them; those of package signing come on
// top.
const (
	findFormat     = "xml_signature"        // malformed ds:Signature
	findReference  = "reference"            // a reference leads nowhere, or to the wrong thing
	findTransform  = "transform"            // a transform that is not accepted
	findProperties = "signed_properties"    // SignedProperties are not covered, or not those of the signature
	findManifest   = "manifest"             // an entry of a manifest does not match
	findCounter    = "countersignature"     // it does not sign the signature it stands in
	findPartial    = "partial_coverage"     // parts of the document are not covered
	findIssuer     = "issuer_serial"        // issuer and serial number are not those of the certificate
	findEncoding   = "signature_encoding"   // the value is encoded otherwise than XML Signature wants
	findVersion    = "properties_version"   // XAdES properties of an old version
	findNoXAdES    = "no_xades_properties"  // plain XML signature
	findPolicy     = "policy_not_evaluated" // the signature names a policy
)

// VerifyOptions sets the context of a verification. The zero value has no trust
// anchors and finds no external data.
type VerifyOptions struct {
	signing.VerifyOptions
	// Resolver gives the octets of external references: the files of a container,
	// or those beside the document. Nothing is ever fetched.
	Resolver xmldsig.Resolver
	// Limits bound the document; IDAttributes names further attributes that hold
	// identifiers.
	Limits       xmltext.Limits
	IDAttributes []string
	// Watch is shown each token of the document once, in its order, for formats that
	// have rules beyond the signature. It may keep none of its bytes.
	Watch func(*xmltext.Token)
}

// Verify examines every signature of an XML document, countersignatures too, in
// the order of the document. An error means that the document could not be read
// at all: *xmltext.Error, xmldsig.ErrLimit, or an error of src. A bad signature is
// no error but a verdict.
func Verify(ctx context.Context, src io.ReaderAt, size int64, o VerifyOptions) (*signing.Report, error) {
	doc, err := xmldsig.Open(ctx, src, size, xmldsig.Options{Limits: o.Limits, IDAttributes: o.IDAttributes, Resolver: o.Resolver, XPointer: true, Watch: o.Watch})
	if err != nil {
		return nil, err
	}
	return report(ctx, doc, size, o)
}

func report(ctx context.Context, doc *xmldsig.Document, size int64, o VerifyOptions) (*signing.Report, error) {
	r := &signing.Report{
		Format: signing.XAdES, Size: size, Signatures: []signing.Signature{}, TimeStamps: []signing.TimeStamp{},
		Warnings: []signing.Finding{}, NotChecked: []signing.Check{signing.CheckTrustedList},
	}
	if len(o.Roots) == 0 {
		r.NotChecked = append(r.NotChecked, signing.CheckChain)
	}
	if err := doc.PrepareAll(ctx); err != nil {
		return nil, err
	}
	v := &verifier{doc: doc, options: o, numbers: make(map[*xmldsig.Signature]int)}
	var embedded revocation.Material
	for _, s := range doc.Signatures {
		if s.Outer == nil {
			s.Element.Walk(func(e *xmldsig.Element) {
				if e.Is(xmldsig.Namespace, "Signature") {
					embedded.Add(readMaterial(e))
				}
			})
		}
	}
	v.judge = validation.New(o.VerifyOptions, embedded)
	answered := true
	for i, s := range doc.Signatures {
		v.numbers[s] = i + 1
		e := &examination{v: v, s: s}
		if err := e.run(ctx); err != nil {
			return nil, err
		}
		answered = answered && e.answered
		r.Signatures = append(r.Signatures, e.out)
	}
	if !answered {
		r.NotChecked = append(r.NotChecked, signing.CheckRevocation)
	}
	return r, nil
}

// verifier examines one document.
type verifier struct {
	doc     *xmldsig.Document
	options VerifyOptions
	judge   *validation.Judge
	numbers map[*xmldsig.Signature]int
}

// examination is the verdict on one signature in the making, in the order of
// EN 319 102-1 5.3: format, signing certificate, references and value, times,
// path, acceptance.
type examination struct {
	v          *verifier
	s          *xmldsig.Signature
	out        signing.Signature
	properties *properties
	outcomes   []xmldsig.Outcome
	proof      validation.Proof
	times      times
	signer     *x509.Certificate
	// answered tells that revocation is known for the whole path.
	answered bool
	// departs says why the signature is of no baseline level; empty if it is.
	departs string
}

func (e *examination) run(ctx context.Context) error {
	e.out = signing.Signature{
		Format: signing.XAdES, Findings: []signing.Finding{}, Integrity: signing.Unknown, TimeStamps: []signing.TimeStamp{},
	}
	e.properties = readProperties(e.s.Element)
	e.claims()
	var err error
	if e.outcomes, err = e.v.doc.Digest(ctx, e.s, e.s.References); err != nil {
		return err
	}
	if !e.format() {
		return nil
	}
	signer := e.identify()
	unidentified := e.out.SubIndication
	whole := e.references()
	if err := e.manifests(ctx); err != nil {
		return err
	}
	switch {
	case signer.refused:
		// The certificate comes before what is signed (EN 319 102-1 5.3.4).
		e.out.Indication, e.out.SubIndication = signing.Indeterminate, unidentified
	case signer.value != nil:
		e.value(signer.value)
	case whole:
		e.out.Integrity = signing.Intact
	}
	c := signer.certificate
	if c == nil {
		return nil
	}
	e.signer = c
	candidates := validation.Certificates(e.s.Certificates)
	if err := e.judgeTimes(ctx); err != nil {
		return err
	}
	if e.out.Integrity != signing.Intact || e.out.Indication != "" {
		// The level is what is there, whether it is right or not.
		e.formal(signer)
		e.level(c, candidates)
		return nil
	}
	e.answered = e.v.judge.Signer(ctx, &e.out, c, candidates, e.proof)
	e.accept(signer)
	e.level(c, candidates)
	e.v.judge.Conclude(&e.out, e.answered)
	return nil
}

// claims copies what the signer says.
func (e *examination) claims() {
	p := e.properties
	e.out.ClaimedTime, e.out.Policy, e.out.Commitments, e.out.Roles, e.out.Location = p.time, p.policy, p.commitments, p.roles, p.place
	if e.s.Algorithm.Scheme != "" {
		e.out.SignatureAlgorithm = e.s.Algorithm.String()
	}
	if len(e.s.References) > 0 && e.s.References[0].Digest != 0 {
		e.out.DigestAlgorithm = e.s.References[0].Digest.String()
	}
	if e.s.Outer != nil && e.counter() {
		e.out.Countersigns = e.v.numbers[e.s.Outer]
	}
}

// counter tells whether the signature stands where countersignatures stand.
func (e *examination) counter() bool {
	return e.s.ParentLocal == "CounterSignature" && isXAdES(e.s.ParentSpace)
}

// format judges whether the signature can be processed, and whether its
// properties are covered (threats X-55).
func (e *examination) format() bool {
	wrong := func(code, text string, args ...any) bool {
		e.out.Fail(signing.TotalFailed, signing.FormatFailure, code, text, args...)
		return false
	}
	switch err := e.s.Err; {
	case err == nil:
	case errors.Is(err, xmldsig.ErrFormat), errors.Is(err, xmldsig.ErrLimit), errors.Is(err, xmldsig.ErrTransform):
		return wrong(findFormat, "%v", err)
	default:
		e.out.Fail(signing.Indeterminate, signing.CryptoConstraintsFailureNoPOE, signing.FindAlgorithm, "the signature cannot be checked: %v", err)
		return false
	}
	typed, at := 0, -1
	for i := range e.s.References {
		if signedPropertiesType(e.s.References[i].Type) {
			typed, at = typed+1, i
		}
	}
	q := qualifying(e.s.Element)
	switch {
	case ambiguous(e.s.Element):
		// EN 319 132-1 4.3.1: all of them are in one element.
		return wrong(findProperties, "the signature has XAdES properties twice")
	case typed > 1:
		return wrong(findProperties, "the signature refers to its properties more than once")
	case typed == 0 && q != nil:
		return wrong(findProperties, "the signature does not cover its properties")
	case typed == 1 && e.properties.element == nil:
		return wrong(findProperties, "the properties that the signature covers are not there")
	case typed == 0:
		e.departs = "it has no XAdES properties"
		e.out.Note(findNoXAdES, "the signature is a plain XML signature without XAdES properties")
		return true
	}
	if e.properties.element.HasInstructions() {
		return wrong(findProperties, "a processing instruction stands in the signed properties")
	}
	// The reference must lead to the properties of this signature and not to others
	// elsewhere.
	out := &e.outcomes[at]
	own := e.s.Offset(e.properties.element.Start)
	if out.Err == nil && out.Start != own {
		out.Err = fmt.Errorf("%w: the reference to the properties leads elsewhere", xmldsig.ErrNotFound)
	}
	switch target, ok := q.Attr("", "Target"); {
	case !ok || target != "#"+e.s.ID():
		e.departs = "its properties do not name it as their target"
	case e.s.References[at].Type != typeSignedProperties:
		e.departs = "it refers to its properties as those of another version"
	case e.properties.named > 1:
		e.departs = "it names its certificate twice"
	}
	return true
}

// ambiguous tells whether a signature has QualifyingProperties, or the signed ones in
// them, more than once: nothing says which are meant.
func ambiguous(signature *xmldsig.Element) bool {
	outer, inner := 0, 0
	for _, object := range signature.All(xmldsig.Namespace, "Object") {
		for _, q := range object.Children {
			if q.Local == "QualifyingProperties" && isXAdES(q.Space) {
				outer++
				inner += len(q.All(q.Space, "SignedProperties"))
			}
		}
	}
	return outer > 1 || inner > 1
}

// signedPropertiesType knows the types of all versions of XAdES.
func signedPropertiesType(t string) bool {
	switch t {
	case typeSignedProperties, "http://uri.etsi.org/01903/v1.1.1#SignedProperties", "http://uri.etsi.org/01903/v1.2.2#SignedProperties", "http://uri.etsi.org/01903/v1.3.2#SignedProperties":
		return true
	}
	return false
}

// references judges what the references yield; true means that all of them are
// right.
func (e *examination) references() bool {
	whole, broken := true, false
	counted := false
	for i := range e.s.References {
		r, out := &e.s.References[i], e.outcomes[i]
		if e.v.doc.Misplaced(e.s, r, out) {
			out.Err = fmt.Errorf("%w: the element %s stands where it may not", xmldsig.ErrNotFound, out.Local)
		}
		matched := e.reference(r, out)
		whole = whole && matched == signing.Intact
		broken = broken || matched == signing.Broken
		if !signedPropertiesType(r.Type) {
			e.out.Data = append(e.out.Data, e.data(r, out, matched))
			if r.HasURI && r.URI != "" && r.URI[0] != '#' {
				e.out.Signed = append(e.out.Signed, r.URI)
			}
		}
		if e.s.Outer != nil && matched == signing.Intact {
			value := e.s.Outer.Element.Child(xmldsig.Namespace, "SignatureValue")
			counted = counted || value != nil && out.Start == e.s.Outer.Offset(value.Start)
		}
	}
	if broken {
		e.out.Integrity = signing.Broken
	}
	if whole && e.coversNothing() {
		whole = false
		e.out.Fail(signing.Indeterminate, signing.SignedDataNotFound, findReference, "the signature covers nothing but what belongs to itself")
	}
	if e.counter() && !counted && whole {
		// EN 319 132-1 5.2.7.2; threats X-57.
		whole = false
		e.out.Integrity = signing.Broken
		e.out.Fail(signing.TotalFailed, signing.HashFailure, findCounter, "the countersignature is not about the signature it stands in")
	}
	return whole
}

// coversNothing tells whether a signature is about nothing but its own properties and
// keys: there are no signed data (EN 319 132-1 4.2), whatever stands beside it.
func (e *examination) coversNothing() bool {
	for i := range e.s.References {
		if !signedPropertiesType(e.s.References[i].Type) && !e.keyInfo(i) && !e.signatureProperties(i) {
			return false
		}
	}
	return true
}

// reference judges one reference.
func (e *examination) reference(r *xmldsig.Reference, out xmldsig.Outcome) signing.Integrity {
	switch err := out.Err; {
	case err == nil && string(out.Digest) == string(r.Value):
		return signing.Intact
	case err == nil:
		e.out.Fail(signing.TotalFailed, signing.HashFailure, signing.FindDigest, "what the reference %q leads to was changed: its digest is not the signed one", shown(r))
		return signing.Broken
	case errors.Is(err, xmldsig.ErrNotFound):
		e.out.Fail(signing.Indeterminate, signing.SignedDataNotFound, findReference, "the reference %q cannot be followed: %v", shown(r), err)
	case errors.Is(err, xmldsig.ErrTransform):
		e.out.Fail(signing.TotalFailed, signing.FormatFailure, findTransform, "the reference %q is not followed: %v", shown(r), err)
	case errors.Is(err, xmldsig.ErrAlgorithm):
		e.out.Fail(signing.Indeterminate, signing.CryptoConstraintsFailureNoPOE, signing.FindAlgorithm, "the reference %q cannot be checked: %v", shown(r), err)
	default:
		e.out.Fail(signing.TotalFailed, signing.FormatFailure, findReference, "the reference %q cannot be followed: %v", shown(r), err)
	}
	return signing.Unknown
}

func shown(r *xmldsig.Reference) string { return fmt.Sprintf("%.80s", r.URI) }

// data says what a reference covers.
func (e *examination) data(r *xmldsig.Reference, out xmldsig.Outcome, matched signing.Integrity) signing.SignedData {
	d := signing.SignedData{URI: r.URI, Integrity: matched, MimeType: e.properties.formats[r.ID]}
	if out.Err == nil {
		d.Element, d.Start, d.End, d.Omitted = out.Local, out.Start, out.End, out.Omitted
	}
	return d
}

// manifests judges the entries of manifests that the signature covers (threats
// XML Signature leaves them to the application.
func (e *examination) manifests(ctx context.Context) error {
	for i := range e.s.References {
		r, out := &e.s.References[i], e.outcomes[i]
		if r.Type != xmldsig.TypeManifest || out.Err != nil {
			continue
		}
		at := e.find(out.Start)
		if at == nil {
			continue
		}
		entries, err := xmldsig.ReadManifest(at)
		if err != nil {
			e.out.Fail(signing.TotalFailed, signing.FormatFailure, findManifest, "%v", err)
			continue
		}
		outcomes, err := e.v.doc.Digest(ctx, e.s, entries)
		if err != nil {
			return err
		}
		for j := range entries {
			matched := signing.Intact
			switch {
			case outcomes[j].Err != nil:
				matched = signing.Unknown
				e.times.unfound = append(e.times.unfound, shown(&entries[j]))
			case string(outcomes[j].Digest) != string(entries[j].Value):
				matched = signing.Broken
				e.out.Fail(signing.TotalFailed, signing.HashFailure, findManifest, "the entry %q of the manifest was changed: its digest is not the signed one", shown(&entries[j]))
			}
			d := e.data(&entries[j], outcomes[j], matched)
			d.Manifest = true
			e.out.Data = append(e.out.Data, d)
		}
	}
	return nil
}

// find finds an element of the signature by its place in the document.
func (e *examination) find(at int64) *xmldsig.Element {
	var found *xmldsig.Element
	e.s.Element.Walk(func(x *xmldsig.Element) {
		if e.s.Offset(x.Start) == at {
			found = x
		}
	})
	return found
}

// value judges the outcome of the check of the signature value.
func (e *examination) value(err error) {
	switch {
	case errors.Is(err, xmldsig.ErrValue) && e.out.SubIndication == signing.SignedDataNotFound:
		// That data is missing is found first (EN 319 102-1 5.2.7.4).
		e.out.Integrity = signing.Broken
		e.out.Note(signing.FindValue, "the signature value does not verify with the key of the signer")
	case errors.Is(err, xmldsig.ErrValue):
		e.out.Integrity = signing.Broken
		e.out.Fail(signing.TotalFailed, signing.SigCryptoFailure, signing.FindValue, "the signature value does not verify with the key of the signer")
	case errors.Is(err, xmldsig.ErrAlgorithm):
		e.out.Fail(signing.Indeterminate, signing.CryptoConstraintsFailureNoPOE, signing.FindAlgorithm, "the signature cannot be checked: %v", err)
	default:
		e.out.Fail(signing.TotalFailed, signing.FormatFailure, findFormat, "%v", err)
	}
}
