package xmldsig

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/eidbridge/eidbridge/signing/c14n"
	"github.com/eidbridge/eidbridge/signing/cms"
)

// Signature is a ds:Signature of a document.
type Signature struct {
	// Fragment is the outermost ds:Signature that Element is, or is in.
	*Fragment
	// Element is the ds:Signature.
	Element *Element
	// Start and End delimit the ds:Signature in the document, bytes.
	Start, End int64
	// Depth counts the elements down to it, itself included.
	Depth int
	// Parent is the name of the element around it, empty for the document itself.
	ParentSpace, ParentLocal string
	// Outer is the ds:Signature around it, nil if there is none.
	Outer *Signature

	// Canonicalization is that of ds:SignedInfo.
	Canonicalization Canonicalization
	// Algorithm is that of the value.
	Algorithm  cms.Algorithm
	References []Reference
	// Value is the decoded signature value, Certificates the content of
	// ds:X509Certificate in the order of ds:KeyInfo, in DER. Nothing vouches for
	// the latter.
	Value        []byte
	Certificates [][]byte
	// Deviations tells what the signature has that a strict reader refuses.
	Deviations []string
	// Err is why the signature cannot be processed: ErrFormat, ErrAlgorithm or
	// ErrLimit. What was read before is there.
	Err error
}

// Canonicalization is a canonical form with its PrefixList.
type Canonicalization struct {
	Method   c14n.Method
	Prefixes []string
}

// ID returns the Id of the ds:Signature.
func (s *Signature) ID() string { return s.Element.ID() }

// Offset turns a place in the fragment into one of the document.
func (s *Signature) Offset(at int64) int64 { return s.Start - s.Element.Start + at }

// read reads the parts of a ds:Signature (XML Signature 4.1).
func (s *Signature) read() error {
	e := s.Element
	if err := e.shape("SignedInfo", "SignatureValue", "KeyInfo?", "Object*"); err != nil {
		return err
	}
	if err := s.readKeyInfo(); err != nil {
		return err
	}
	info := e.Child(Namespace, "SignedInfo")
	if err := info.shape("CanonicalizationMethod", "SignatureMethod", "Reference+"); err != nil {
		return err
	}
	var failures []error
	if info.HasInstructions() {
		failures = append(failures, malformed("a processing instruction in ds:SignedInfo"))
	}
	var err error
	if s.Canonicalization, err = readCanonicalization(info.Children[0]); err != nil {
		failures = append(failures, err)
	}
	if s.Algorithm, err = parseSignatureMethod(info.Children[1]); err != nil {
		failures = append(failures, err)
	}
	if s.References, err = readReferences(info.Children[2:]); err != nil {
		return err
	}
	value := e.Child(Namespace, "SignatureValue")
	if s.Value, err = decode(value, maxValue); err != nil {
		failures = append(failures, err)
	}
	return errors.Join(failures...)
}

// HasInstructions says that a processing instruction stands anywhere in the element.
// It may have been signed, and no reader knows what it means. A comment has no
// meaning; values that are base64 hold none (see decode).
func (e *Element) HasInstructions() bool {
	found := false
	e.Walk(func(e *Element) { found = found || e.Instructed })
	return found
}

func (s *Signature) readKeyInfo() error {
	info := s.Element.Child(Namespace, "KeyInfo")
	if info == nil {
		return nil
	}
	const maxCertificates = 32
	for _, data := range info.All(Namespace, "X509Data") {
		for _, c := range data.All(Namespace, "X509Certificate") {
			raw, err := decode(c, 64<<10)
			if err != nil {
				continue // nothing vouches for it, and it is of no use
			}
			if len(s.Certificates) == maxCertificates {
				return excess(maxCertificates, "certificates in ds:KeyInfo")
			}
			s.Certificates = append(s.Certificates, raw)
		}
	}
	return nil
}

// decode reads the base64 content of an element: the alphabet of RFC 4648
// section 4 with padding, white space anywhere, nothing else (XML Schema part 2
// 3.2.16).
func decode(e *Element, most int) ([]byte, error) {
	if len(e.Children) > 0 || e.Interrupted {
		return nil, malformed("%s holds more than text", e)
	}
	if len(e.Text) > 2*most+1024 {
		return nil, excess(most, "bytes in "+e.String())
	}
	raw, err := Base64(e.Text)
	if err != nil {
		return nil, malformed("%s is not base64", e)
	}
	return raw, nil
}

// Base64 decodes the lexical form of xs:base64Binary.
func Base64(text string) ([]byte, error) {
	if strings.ContainsAny(text, " \t\r\n") {
		text = strings.Map(func(r rune) rune {
			if r == ' ' || r == '\t' || r == '\r' || r == '\n' {
				return -1
			}
			return r
		}, text)
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%w: not base64", ErrFormat)
	}
	return raw, nil
}

func readCanonicalization(e *Element) (Canonicalization, error) {
	uri, ok := e.Attr("", "Algorithm")
	if !ok {
		return Canonicalization{}, malformed("ds:%s without algorithm", e.Local)
	}
	method, err := c14n.ParseMethod(uri)
	if err != nil {
		return Canonicalization{}, untransformed("canonicalization %s", quoted(uri))
	}
	prefixes, err := prefixList(e, method)
	return Canonicalization{method, prefixes}, err
}

const excNamespace = "http://www.w3.org/2001/10/xml-exc-c14n#"

// prefixList reads InclusiveNamespaces.
func prefixList(e *Element, method c14n.Method) ([]string, error) {
	if len(e.Children) == 0 {
		return nil, nil
	}
	list, ok := e.Children[0].Attr("", "PrefixList")
	if len(e.Children) > 1 || !method.Exclusive() || !ok || !e.Children[0].Is(excNamespace, "InclusiveNamespaces") {
		return nil, malformed("parameters of canonicalization %s", quoted(string(method)))
	}
	prefixes := strings.Fields(list)
	if len(prefixes) > 100 {
		return nil, excess(100, "prefixes in a PrefixList")
	}
	return prefixes, nil
}

// SignedInfo returns the octets that the value signs.
func (s *Signature) SignedInfo() ([]byte, error) {
	if s.Canonicalization.Method == "" {
		return nil, malformed("no canonicalization method")
	}
	return s.Canonical(s.Element.Child(Namespace, "SignedInfo"), s.Canonicalization.Method, s.Canonicalization.Prefixes...)
}

// VerifyValue checks the signature value under a key. It says nothing about the
// references.
func (s *Signature) VerifyValue(key crypto.PublicKey) error {
	if s.Err != nil {
		return s.Err
	}
	message, err := s.SignedInfo()
	if err != nil {
		return err
	}
	value := s.Value
	if width, order, ok := field(key); ok && s.Algorithm.Scheme == cms.ECDSA {
		var deviates string
		if value, deviates, err = derECDSA(width, order, value); err != nil {
			return err
		}
		if deviates != "" {
			s.Deviations = append(s.Deviations, deviates)
		}
	}
	if err := s.Algorithm.Verify(key, message, value); err != nil {
		if errors.Is(err, cms.ErrAlgorithm) {
			return fmt.Errorf("%w: %w", ErrAlgorithm, err)
		}
		return fmt.Errorf("%w: %w", ErrValue, err)
	}
	return nil
}

// Fingerprint identifies a signature within a report: the SHA-256 of its value.
func (s *Signature) Fingerprint() [32]byte { return sha256.Sum256(s.Value) }

// ReadSignature reads a ds:Signature of a fragment. Its offsets are those of the
// fragment.
func ReadSignature(f *Fragment, e *Element) (*Signature, error) {
	if e == nil || !e.Is(Namespace, "Signature") {
		return nil, malformed("no ds:Signature")
	}
	s := &Signature{Fragment: f, Element: e, Start: e.Start, End: e.End}
	s.Err = s.read()
	return s, nil
}

// Canonical is the canonical form that the transforms of a reference end with,
// C14N 1.0 if they name none.
func (r *Reference) Canonical() Canonicalization {
	if r.chain.canonical.Method == "" {
		return Canonicalization{Method: c14n.Inclusive10}
	}
	return r.chain.canonical
}

// ReadCanonicalization reads ds:CanonicalizationMethod.
func ReadCanonicalization(e *Element) (Canonicalization, error) { return readCanonicalization(e) }

// ReadManifest reads the references of a ds:Manifest.
func ReadManifest(e *Element) ([]Reference, error) {
	if !e.Is(Namespace, "Manifest") {
		return nil, malformed("no ds:Manifest")
	}
	if err := e.shape("Reference+"); err != nil {
		return nil, err
	}
	return readReferences(e.Children)
}
