package xades

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/beevik/etree"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/c14n"
	"github.com/eidbridge/eidbridge/signing/cms"
	"github.com/eidbridge/eidbridge/signing/xmldsig"
)

// maker builds one signature.
type maker struct {
	options     Options
	id          string
	certificate *x509.Certificate
	chain       []*x509.Certificate
	algorithm   cms.Algorithm
	time        time.Time
	// references are those to the data, with their digests; manifest those of the
	// manifest.
	references, manifest []xmldsig.Reference
	formats              []format
}

func newMaker(cred signing.Credential, o Options) (*maker, error) {
	if cred.Certificate == nil {
		return nil, signing.Refuse(signing.RefusedCertificate, "choose a credential with a certificate", "the credential has no certificate")
	}
	if err := o.Services.Check(o.Level); err != nil {
		return nil, err
	}
	m := &maker{options: o, certificate: cred.Certificate, chain: cred.Chain, time: o.SigningTime}
	if m.time.IsZero() {
		m.time = time.Now()
	}
	if err := checkCertificate(cred.Certificate, m.time); err != nil {
		return nil, err
	}
	var err error
	if m.algorithm, err = algorithmFor(cred.Certificate.PublicKey, o.Digest, o.PSS); err != nil {
		return nil, err
	}
	if o.Canonicalization != "" {
		if _, err := c14n.ParseMethod(string(o.Canonicalization)); err != nil {
			return nil, signing.Refuse(signing.RefusedOption, "choose one of the canonical forms", "%q is no canonicalization", o.Canonicalization)
		}
	}
	m.id, err = newID(o.Rand)
	return m, err
}

func algorithmFor(key crypto.PublicKey, digest crypto.Hash, pss bool) (cms.Algorithm, error) {
	a, err := cms.AlgorithmFor(key, digest, pss)
	if err != nil {
		return a, signing.Refuse(signing.RefusedKey, "use a credential with an RSA key of 2048 bits or more or an NIST curve", "%v", err)
	}
	return a, nil
}

// checkCertificate refuses certificates that cannot make a good signature.
func checkCertificate(c *x509.Certificate, at time.Time) error {
	if at.Before(c.NotBefore) || at.After(c.NotAfter) {
		return signing.Refuse(signing.RefusedCertificate, "use a certificate that is valid", "the certificate is outside its validity")
	}
	if c.KeyUsage != 0 && c.KeyUsage&(x509.KeyUsageContentCommitment|x509.KeyUsageDigitalSignature) == 0 {
		return signing.Refuse(signing.RefusedCertificate, "choose the certificate for signatures", "the certificate is not meant for signatures")
	}
	return nil
}

// newID makes an identifier that no document has yet.
func newID(random io.Reader) (string, error) {
	if random == nil {
		random = rand.Reader
	}
	raw := make([]byte, 16)
	if _, err := io.ReadFull(random, raw); err != nil {
		return "", fmt.Errorf("making an identifier: %w", err)
	}
	return "xades-" + hex.EncodeToString(raw), nil
}

func (m *maker) propertiesID() string     { return m.id + "-properties" }
func (m *maker) manifestID() string       { return m.id + "-manifest" }
func (m *maker) objectID() string         { return m.id + "-object" }
func (m *maker) referenceID(n int) string { return fmt.Sprintf("%s-ref%d", m.id, n) }

// form is the transform to the canonical form.
func (m *maker) form() xmldsig.Transform {
	return xmldsig.Transform{Algorithm: string(m.options.canonicalization())}
}

// inner is a reference to a part of the signature.
func (m *maker) inner(id, kind string) xmldsig.Reference {
	return xmldsig.Reference{HasURI: true, URI: "#" + id, Type: kind, Digest: m.algorithm.Digest, Transforms: []xmldsig.Transform{m.form()}}
}

// refer adds a reference to data whose digest may follow.
func (m *maker) refer(r xmldsig.Reference, mimeType, encoding string) {
	r.ID, r.Digest = m.referenceID(len(m.references)+1), m.algorithm.Digest
	m.references = append(m.references, r)
	m.formats = append(m.formats, format{reference: r.ID, mimeType: mimeType, encoding: encoding})
}

// seat is where a signature is put: the fragment of the document it becomes part
// of.
type seat struct {
	context       *c14n.Context
	before, after []byte
	encoding      string
}

func (s seat) fragment(signature []byte) (*xmldsig.Fragment, error) {
	raw := slices.Concat(s.before, xmldsig.Encode(signature, s.encoding), s.after)
	return xmldsig.NewFragment(raw, s.encoding, s.context)
}

// made is a signature without its value.
type made struct {
	signature, signedInfo []byte
	fragment              *xmldsig.Fragment
}

// make builds the signature: twice, because the digests of its own parts depend
// on their bytes only, and stand in it.
func (m *maker) make(at seat) (*made, error) {
	t := &xmldsig.Template{
		ID: m.id, Canonicalization: m.options.canonicalization(), Algorithm: m.algorithm,
		Certificates: [][]byte{m.certificate.Raw},
	}
	for _, c := range m.chain {
		t.Certificates = append(t.Certificates, c.Raw)
	}
	data := m.references
	if m.options.Manifest {
		m.manifest, m.formats = m.references, nil
		t.Objects = append(t.Objects, xmldsig.NewObject(xmldsig.NewManifest(m.manifestID(), m.manifest)))
		r := m.inner(m.manifestID(), xmldsig.TypeManifest)
		r.ID = m.id + "-ref"
		data = []xmldsig.Reference{r}
	}
	properties, err := m.qualifying()
	if err != nil {
		return nil, err
	}
	t.Objects = append(t.Objects, xmldsig.NewObject(properties))
	t.References = append(t.References, data...)
	if m.options.SignKeyInfo {
		t.References = append(t.References, m.inner(t.KeyInfoID(), ""))
	}
	t.References = append(t.References, m.inner(m.propertiesID(), typeSignedProperties))
	first, err := built(t.Element(), at)
	if err != nil {
		return nil, err
	}
	for i := range t.References {
		r := &t.References[i]
		if r.Value != nil {
			continue
		}
		octets, err := m.octets(first.fragment, r)
		if err != nil {
			return nil, err
		}
		h := r.Digest.New()
		h.Write(octets)
		r.Value = h.Sum(nil)
	}
	second, err := built(t.Element(), at)
	if err != nil {
		return nil, err
	}
	signature := byID(second.fragment.Element, m.id)
	if signature == nil {
		return nil, errors.New("the new signature is not found where it was put")
	}
	second.signedInfo, err = second.fragment.Canonical(signature.Child(xmldsig.Namespace, "SignedInfo"), t.Canonicalization)
	return second, err
}

// octets yields what a reference inside the signature digests.
func (m *maker) octets(f *xmldsig.Fragment, r *xmldsig.Reference) ([]byte, error) {
	_, id := r.Kind()
	e := byID(f.Element, id)
	if e == nil {
		return nil, fmt.Errorf("nothing in the new signature has the identifier %q", id)
	}
	return f.Canonical(e, m.options.canonicalization())
}

func built(e *etree.Element, at seat) (*made, error) {
	raw, err := xmldsig.Bytes(e)
	if err != nil {
		return nil, fmt.Errorf("building the signature: %w", err)
	}
	f, err := at.fragment(raw)
	if err != nil {
		return nil, fmt.Errorf("building the signature: %w", err)
	}
	return &made{signature: raw, fragment: f}, nil
}

func byID(root *xmldsig.Element, id string) *xmldsig.Element {
	var found *xmldsig.Element
	root.Walk(func(e *xmldsig.Element) {
		if found == nil && e.ID() == id {
			found = e
		}
	})
	return found
}
