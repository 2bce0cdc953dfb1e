package saml

import (
	"bytes"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"slices"
	"strings"
	"time"
)

// verifier checks enveloped signatures against trusted certificates.
type verifier struct {
	certificates []*x509.Certificate
	now          time.Time
	lenient      Leniency
	// parse reads the bytes that a signature covers.
	parse func(covered []byte) (*element, error)
}

// signatureForm is a signature whose form was checked and whose value was not.
type signatureForm struct {
	info             *element
	canonicalization string
	infoPrefixes     string
	method           signatureMethod
	value            []byte
	transform        string
	prefixes         string
	digest           []byte
	digestURI        string
	keyInfo          *element
}

// verify checks the one signature of e and returns e parsed again from the
// bytes that the signature covers. It returns nil if e has no signature.
func (v *verifier) verify(e *element) (*element, error) {
	signatures := e.all(signatureNS, "Signature")
	switch len(signatures) {
	case 0:
		return nil, nil
	case 1:
	default:
		return nil, reject(ReasonSignatureForm, "two signatures in %s", e.local)
	}
	form, err := v.form(e, signatures[0])
	if err != nil {
		return nil, err
	}
	if err := v.checkKeyInfo(form.keyInfo); err != nil {
		return nil, err
	}
	if err := v.checkValue(form); err != nil {
		return nil, err
	}
	return v.covered(e, signatures[0], form)
}

// checkValue tries the trusted keys on the canonical SignedInfo.
func (v *verifier) checkValue(form *signatureForm) error {
	message, err := canonicalize(form.info, nil, form.canonicalization, form.infoPrefixes)
	if err != nil {
		return err
	}
	return v.tryKeys(form.method, message, form.value)
}

// tryKeys verifies a value with the trusted keys that may be used.
func (v *verifier) tryKeys(m signatureMethod, message, value []byte) error {
	tried := false
	for _, c := range v.certificates {
		if !m.usable(c, v.lenient) || !v.inForce(c) {
			continue
		}
		tried = true
		if m.verify(c.PublicKey, message, value) {
			return nil
		}
	}
	if !tried {
		return reject(ReasonSignatureKey, "no trusted key in force fits the method")
	}
	return reject(ReasonSignatureInvalid, "signature value")
}

// inForce leaves out expired and not yet valid certificates (threat X-68).
func (v *verifier) inForce(c *x509.Certificate) bool {
	return v.lenient.CertificateDates || !v.now.Before(c.NotBefore) && !v.now.After(c.NotAfter)
}

// covered digests the element and parses what was digested.
func (v *verifier) covered(e, signature *element, form *signatureForm) (*element, error) {
	data, err := canonicalize(e, signature, form.transform, form.prefixes)
	if err != nil {
		return nil, err
	}
	hash, ok := digestMethod(form.digestURI, v.lenient)
	if !ok {
		return nil, reject(ReasonSignatureAlgorithm, "digest is not on the list")
	}
	// A canonical form of nothing has a digest too (threat X-20).
	if len(data) == 0 || data[0] != '<' {
		return nil, reject(ReasonSignatureInvalid, "nothing is covered")
	}
	if subtle.ConstantTimeCompare(sum(hash, data), form.digest) != 1 {
		return nil, reject(ReasonSignatureInvalid, "digest of %s", e.local)
	}
	verified, err := v.parse(data)
	if err != nil {
		return nil, err
	}
	if !verified.is(e.ns, e.local) {
		return nil, reject(ReasonSignatureInvalid, "covered bytes are another element")
	}
	return verified, nil
}

// form checks a signature against the one profile that SAML allows (SAML Core
// 5.4): one reference, to the element itself, two transforms.
func (v *verifier) form(e, signature *element) (*signatureForm, error) {
	parts := signature.elements()
	if len(parts) < 2 || len(parts) > 3 || hasText(signature) ||
		!parts[0].is(signatureNS, "SignedInfo") || !parts[1].is(signatureNS, "SignatureValue") ||
		len(parts) == 3 && !parts[2].is(signatureNS, "KeyInfo") {
		return nil, reject(ReasonSignatureForm, "content of Signature")
	}
	form := &signatureForm{info: parts[0]}
	if len(parts) == 3 {
		form.keyInfo = parts[2]
	}
	var err error
	if form.value, err = base64Text(parts[1]); err != nil || len(form.value) == 0 {
		return nil, reject(ReasonSignatureForm, "SignatureValue")
	}
	info := form.info.elements()
	if len(info) != 3 || hasText(form.info) ||
		!info[0].is(signatureNS, "CanonicalizationMethod") || !info[1].is(signatureNS, "SignatureMethod") ||
		!info[2].is(signatureNS, "Reference") {
		// Two references end here, too (threats ).
		return nil, reject(ReasonSignatureForm, "content of SignedInfo")
	}
	if form.canonicalization, form.infoPrefixes, err = v.canonicalization(info[0]); err != nil {
		return nil, err
	}
	var ok bool
	if form.method, ok = findSignatureMethod(info[1].value("Algorithm"), v.lenient); !ok {
		return nil, reject(ReasonSignatureAlgorithm, "signature method is not on the list")
	}
	if form.method.legacy && !inPlace(e, signature) {
		// A message may be old or oddly built, but a weak digest gets no second
		// allowance.
		return nil, reject(ReasonSignatureForm, "misplaced signature of a legacy method")
	}
	if !isEmpty(info[1]) {
		// HMACOutputLength and RSAPSSParams (threat X-65).
		return nil, reject(ReasonSignatureForm, "parameters in SignatureMethod")
	}
	return form, v.reference(e, info[2], form)
}

// inPlace says whether a signature stands where the schemas put it: after Issuer,
// or first where there is none.
func inPlace(e, signature *element) bool {
	var before *element
	for _, child := range e.elements() {
		if child == signature {
			break
		}
		before = child
	}
	return before == nil && e.child(assertionNS, "Issuer") == nil || before.is(assertionNS, "Issuer")
}

func (v *verifier) reference(e, reference *element, form *signatureForm) error {
	id := e.value("ID")
	uri, present := reference.attribute("URI")
	switch {
	case !present:
		return reject(ReasonSignatureForm, "Reference without URI")
	case uri == "" && v.lenient.EmptyURI && e.parent == nil:
	case id == "" || uri != "#"+id:
		return reject(ReasonSignatureForm, "Reference to another element")
	}
	parts := reference.elements()
	if len(parts) != 3 || hasText(reference) || !parts[0].is(signatureNS, "Transforms") ||
		!parts[1].is(signatureNS, "DigestMethod") || !parts[2].is(signatureNS, "DigestValue") {
		return reject(ReasonSignatureForm, "content of Reference")
	}
	transforms := parts[0].elements()
	implied := len(transforms) == 1 && v.lenient.Canonicalizations
	if len(transforms) != 2 && !implied || hasText(parts[0]) ||
		slices.ContainsFunc(transforms, func(t *element) bool { return !t.is(signatureNS, "Transform") }) ||
		transforms[0].value("Algorithm") != transformEnv || !isEmpty(transforms[0]) {
		return reject(ReasonSignatureForm, "transforms other than enveloped-signature and canonicalization")
	}
	var err error
	if implied {
		// XML Signature 4.4.3.2: where none is named, it is Canonical XML 1.0.
		form.transform = c14nInclusive
	} else if form.transform, form.prefixes, err = v.canonicalization(transforms[1]); err != nil {
		return err
	}
	form.digestURI = parts[1].value("Algorithm")
	if hash, ok := digestMethod(form.digestURI, v.lenient); !ok || !isEmpty(parts[1]) {
		return reject(ReasonSignatureAlgorithm, "digest is not on the list")
	} else if form.digest, err = base64Text(parts[2]); err != nil || len(form.digest) != hash.Size() {
		return reject(ReasonSignatureForm, "DigestValue")
	}
	return nil
}

// canonicalization reads a CanonicalizationMethod or a second Transform.
func (v *verifier) canonicalization(e *element) (algorithm, prefixes string, err error) {
	algorithm = e.value("Algorithm")
	switch algorithm {
	case c14nExclusive:
	case c14nExclusiveCmt, c14nInclusive, c14nInclusiveCmt, c14n11:
		if !v.lenient.Canonicalizations {
			return "", "", reject(ReasonSignatureAlgorithm, "canonicalization is not exclusive without comments")
		}
	default:
		return "", "", reject(ReasonSignatureAlgorithm, "canonicalization is not on the list")
	}
	parameters := e.elements()
	if hasText(e) || len(parameters) > 1 {
		return "", "", reject(ReasonSignatureForm, "parameters of canonicalization")
	}
	if len(parameters) == 1 {
		if !parameters[0].is(excC14NNS, "InclusiveNamespaces") || !isEmpty(parameters[0]) {
			return "", "", reject(ReasonSignatureForm, "parameters of canonicalization")
		}
		// "#default" takes a namespace into the form that may stand anywhere around.
		prefixes = parameters[0].value("PrefixList")
		if strings.Contains(prefixes, "#default") && !v.lenient.Canonicalizations {
			return "", "", reject(ReasonSignatureForm, "#default in a PrefixList")
		}
	}
	return algorithm, prefixes, nil
}

// checkKeyInfo refuses a certificate in the message that is not a trusted one:
// such a message would fail anyway, and the log says why. KeyInfo is outside the
// signature and no source of keys (threats ).
func (v *verifier) checkKeyInfo(info *element) error {
	if info == nil || v.lenient.ForeignKeyInfo {
		return nil
	}
	for _, data := range info.all(signatureNS, "X509Data") {
		for _, c := range data.all(signatureNS, "X509Certificate") {
			der, err := base64Text(c)
			if err != nil {
				return reject(ReasonSignatureForm, "certificate in KeyInfo")
			}
			if !v.trusts(der) {
				return reject(ReasonSignatureKey, "certificate in KeyInfo is not a trusted one")
			}
		}
	}
	return nil
}

func (v *verifier) trusts(der []byte) bool {
	for _, c := range v.certificates {
		if bytes.Equal(c.Raw, der) {
			return true
		}
	}
	return false
}

// hasText reports character data other than blanks between child elements.
func hasText(e *element) bool {
	for _, c := range e.children {
		if c.element == nil && !c.comment && !isBlank(c.text) {
			return true
		}
	}
	return false
}

// isEmpty reports an element without content, blanks aside.
func isEmpty(e *element) bool {
	return len(e.elements()) == 0 && !hasText(e)
}

// base64Text decodes xs:base64Binary: blanks and line ends may stand anywhere,
// everything else is canonical.
func base64Text(e *element) ([]byte, error) {
	text, ok := e.text()
	if !ok {
		return nil, errNotText
	}
	return decodeBase64(text)
}

func decodeBase64(text string) ([]byte, error) {
	stripped := strings.Map(func(r rune) rune {
		switch r {
		case ' ', '\t', '\r', '\n':
			return -1
		}
		return r
	}, text)
	return base64.StdEncoding.Strict().DecodeString(stripped)
}
