package saml

import (
	"crypto"
	"crypto/ecdh"
	"encoding/hex"
	"slices"
	"strings"
)

// Namespaces and algorithms of XML Encryption 1.1.
const (
	encryptionNS   = "http://www.w3.org/2001/04/xmlenc#"
	encryption11NS = "http://www.w3.org/2009/xmlenc11#"
	signature11NS  = "http://www.w3.org/2009/xmldsig11#"

	encryptedElement = encryptionNS + "Element"
	encryptedKeyType = encryptionNS + "EncryptedKey"
	oaepMGF1SHA1     = encryptionNS + "rsa-oaep-mgf1p"
	oaep11           = encryption11NS + "rsa-oaep"
	ecdhES           = encryption11NS + "ECDH-ES"
	concatKDF        = encryption11NS + "ConcatKDF"
)

// cipherMethod is a content encryption (XML Encryption 1.1 sections 5.2.2, 5.2.4).
type cipherMethod struct {
	size int // of the key, in bytes
	cbc  bool
}

// cipherMethodOf is the allow-list. DES and everything else is not on it.
func cipherMethodOf(uri string) (cipherMethod, bool) {
	switch uri {
	case encryption11NS + "aes128-gcm":
		return cipherMethod{size: 16}, true
	case encryption11NS + "aes192-gcm":
		return cipherMethod{size: 24}, true
	case encryption11NS + "aes256-gcm":
		return cipherMethod{size: 32}, true
	case encryptionNS + "aes128-cbc":
		return cipherMethod{size: 16, cbc: true}, true
	case encryptionNS + "aes256-cbc":
		return cipherMethod{size: 32, cbc: true}, true
	}
	return cipherMethod{}, false
}

// sealed is an EncryptedData with its keys, whose form was checked and of which
// nothing was decrypted.
type sealed struct {
	method     cipherMethod
	ciphertext []byte
	keys       []sealedKey
}

// sealedKey is an EncryptedKey: transported by RSA-OAEP, or wrapped under an
// agreed key if agreement is not nil.
type sealedKey struct {
	recipient, keyName string
	ciphertext         []byte

	digest, mask crypto.Hash
	label        []byte

	agreement *agreement
	wrapSize  int // of the wrapping key, in bytes
}

// agreement is an ECDH-ES AgreementMethod with ConcatKDF.
type agreement struct {
	originator *ecdh.PublicKey
	hash       crypto.Hash
	info       []byte
}

// encryptionForm is the refusal of a form or an algorithm, which everybody who
// sees the message can judge. No key was used yet.
func encryptionForm(what string) error { return reject(ReasonEncryption, "%s", what) }

// readSealed reads the content of an EncryptedAssertion or EncryptedID: one
// EncryptedData and the EncryptedKeys inside or beside it (SAML Core 2.2.4,
// 2.3.4). Nothing is fetched: a RetrievalMethod names a neighbour.
func readSealed(e *element) (*sealed, error) {
	children := e.elements()
	if len(children) == 0 || !children[0].is(encryptionNS, "EncryptedData") || hasText(e) {
		return nil, encryptionForm("no EncryptedData")
	}
	s, links, err := readData(children[0])
	if err != nil {
		return nil, err
	}
	for _, sibling := range children[1:] {
		if !sibling.is(encryptionNS, "EncryptedKey") {
			return nil, encryptionForm("unexpected element beside EncryptedData")
		}
		if !links.reach(sibling) {
			continue
		}
		key, err := readKey(sibling)
		if err != nil {
			return nil, err
		}
		s.keys = append(s.keys, key)
	}
	if len(s.keys) == 0 || len(s.keys) > maxEncryptedKeys {
		return nil, encryptionForm("number of encrypted keys")
	}
	return s, nil
}

// keyLinks are how an EncryptedData points at the EncryptedKeys beside it.
type keyLinks struct{ ids, names []string }

func (l keyLinks) reach(key *element) bool {
	if len(l.ids) > 0 && !slices.Contains(l.ids, key.value("Id")) {
		return false
	}
	carried := key.child(encryptionNS, "CarriedKeyName")
	if carried == nil || len(l.names) == 0 {
		return true
	}
	name, _ := carried.text()
	return slices.Contains(l.names, name)
}

func readData(e *element) (*sealed, keyLinks, error) {
	var links keyLinks
	if kind, present := e.attribute("Type"); present && kind != encryptedElement {
		return nil, links, encryptionForm("encrypted data is no element")
	}
	s := &sealed{}
	parts, err := sections(e, encryptionNS+" EncryptionMethod", signatureNS+" KeyInfo", encryptionNS+" CipherData")
	if err != nil {
		return nil, links, err
	}
	var ok bool
	if s.method, ok = cipherMethodOf(parts[0].valueOrNone("Algorithm")); !ok || !onlyKeySize(parts[0]) {
		return nil, links, encryptionForm("content encryption is not on the list")
	}
	if s.ciphertext, err = cipherValue(parts[2]); err != nil {
		return nil, links, err
	}
	if parts[1] == nil {
		return s, links, nil
	}
	for _, hint := range parts[1].elements() {
		switch {
		case hint.is(encryptionNS, "EncryptedKey"):
			key, err := readKey(hint)
			if err != nil {
				return nil, links, err
			}
			s.keys = append(s.keys, key)
		case hint.is(signatureNS, "RetrievalMethod"):
			id, local := strings.CutPrefix(hint.value("URI"), "#")
			if kind, present := hint.attribute("Type"); !local || id == "" || !isEmpty(hint) || present && kind != encryptedKeyType {
				return nil, links, encryptionForm("RetrievalMethod does not name an encrypted key here")
			}
			links.ids = append(links.ids, id)
		case hint.is(signatureNS, "KeyName"):
			name, _ := hint.text()
			links.names = append(links.names, name)
		default:
			return nil, links, encryptionForm("KeyInfo of EncryptedData")
		}
	}
	return s, links, nil
}

// readKey reads an EncryptedKey.
func readKey(e *element) (sealedKey, error) {
	k := sealedKey{recipient: e.value("Recipient")}
	parts, err := sections(e, encryptionNS+" EncryptionMethod", signatureNS+" KeyInfo", encryptionNS+" CipherData",
		encryptionNS+" ReferenceList", encryptionNS+" CarriedKeyName")
	if err != nil {
		return k, err
	}
	if k.ciphertext, err = cipherValue(parts[2]); err != nil {
		return k, err
	}
	if name := parts[1].child(signatureNS, "KeyName"); name != nil {
		k.keyName, _ = name.text()
	}
	agreed := parts[1].child(encryptionNS, "AgreementMethod")
	switch method := parts[0].valueOrNone("Algorithm"); method {
	case oaepMGF1SHA1, oaep11:
		if agreed != nil {
			return k, encryptionForm("key transport under an agreed key")
		}
		return k, k.readOAEP(parts[0], method)
	case encryptionNS + "kw-aes128", encryptionNS + "kw-aes192", encryptionNS + "kw-aes256":
		switch method {
		case encryptionNS + "kw-aes128":
			k.wrapSize = 16
		case encryptionNS + "kw-aes192":
			k.wrapSize = 24
		default:
			k.wrapSize = 32
		}
		if agreed == nil || !onlyKeySize(parts[0]) {
			return k, encryptionForm("wrapped key without an agreement")
		}
		k.agreement, err = readAgreement(agreed)
		return k, err
	}
	// RSA 1.5 ends here (threat X-71).
	return k, encryptionForm("key encryption is not on the list")
}

// readOAEP reads digest, mask and label (XML Encryption 1.1 section 5.5.2).
func (k *sealedKey) readOAEP(method *element, uri string) error {
	k.digest, k.mask = crypto.SHA1, crypto.SHA1
	seen := map[string]bool{}
	for _, p := range method.elements() {
		if seen[p.local] {
			return encryptionForm("parameter of RSA-OAEP given twice")
		}
		seen[p.local] = true
		var ok bool
		switch {
		case p.is(signatureNS, "DigestMethod"):
			if k.digest, ok = digestMethod(p.value("Algorithm"), Leniency{SHA1: true}); !ok || !isEmpty(p) {
				return encryptionForm("digest of RSA-OAEP is not on the list")
			}
		case p.is(encryption11NS, "MGF") && uri == oaep11:
			if k.mask, ok = maskMethod(p.value("Algorithm")); !ok || !isEmpty(p) {
				return encryptionForm("mask of RSA-OAEP is not on the list")
			}
		case p.is(encryptionNS, "OAEPparams"):
			label, err := base64Text(p)
			if err != nil {
				return encryptionForm("OAEPparams")
			}
			k.label = label
		case p.is(encryptionNS, "KeySize"):
		default:
			return encryptionForm("parameter of RSA-OAEP is not known")
		}
	}
	return nil
}

func maskMethod(uri string) (crypto.Hash, bool) {
	switch uri {
	case encryption11NS + "mgf1sha1":
		return crypto.SHA1, true
	case encryption11NS + "mgf1sha256":
		return crypto.SHA256, true
	case encryption11NS + "mgf1sha384":
		return crypto.SHA384, true
	case encryption11NS + "mgf1sha512":
		return crypto.SHA512, true
	}
	return 0, false
}

// readAgreement reads an ECDH-ES AgreementMethod (XML Encryption 1.1 sections
// 5.4.1 and 5.6.4) with the sender's one-time public key.
func readAgreement(e *element) (*agreement, error) {
	if e.value("Algorithm") != ecdhES {
		return nil, encryptionForm("key agreement is not on the list")
	}
	parts, err := sections(e, encryption11NS+" KeyDerivationMethod", encryptionNS+" OriginatorKeyInfo", encryptionNS+" RecipientKeyInfo")
	if err != nil {
		return nil, err
	}
	a := &agreement{}
	if err := a.readDerivation(parts[0]); err != nil {
		return nil, err
	}
	value := parts[1].child(signatureNS, "KeyValue").child(signature11NS, "ECKeyValue")
	curve := curveOf(value.child(signature11NS, "NamedCurve").valueOrNone("URI"))
	public := value.child(signature11NS, "PublicKey")
	if curve == nil || public == nil {
		return nil, encryptionForm("originator key is not on a curve of the list")
	}
	point, err := base64Text(public)
	if err != nil {
		return nil, encryptionForm("originator key")
	}
	// NewPublicKey refuses points that are not on the curve.
	if a.originator, err = curve.NewPublicKey(point); err != nil {
		return nil, encryptionForm("originator key is not a point of its curve")
	}
	return a, nil
}

func (a *agreement) readDerivation(e *element) error {
	parameters := e.child(encryption11NS, "ConcatKDFParams")
	if e.valueOrNone("Algorithm") != concatKDF || parameters == nil || len(e.elements()) != 1 {
		return encryptionForm("key derivation is not on the list")
	}
	digests := parameters.elements()
	if len(digests) != 1 || !digests[0].is(signatureNS, "DigestMethod") || !isEmpty(digests[0]) {
		return encryptionForm("parameters of ConcatKDF")
	}
	var ok bool
	if a.hash, ok = digestMethod(digests[0].value("Algorithm"), Leniency{}); !ok {
		return encryptionForm("digest of ConcatKDF is not on the list")
	}
	// NIST SP 800-56A 5.8.1.2: OtherInfo is the fields joined.
	for _, name := range []string{"AlgorithmID", "PartyUInfo", "PartyVInfo", "SuppPubInfo", "SuppPrivInfo"} {
		field, err := bitString(parameters.value(name))
		if err != nil {
			return err
		}
		a.info = append(a.info, field...)
	}
	return nil
}

// bitString reads a ConcatKDF attribute: hexadecimal, of which the first byte
// tells how many bits at the end are padding. Only whole bytes are known here.
func bitString(text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	b, err := hex.DecodeString(text)
	if err != nil || len(b) > maxDerivationInfo || b[0] != 0 {
		return nil, encryptionForm("bit string of ConcatKDF")
	}
	return b[1:], nil
}

func curveOf(uri string) ecdh.Curve {
	switch uri {
	case "urn:oid:1.2.840.10045.3.1.7":
		return ecdh.P256()
	case "urn:oid:1.3.132.0.34":
		return ecdh.P384()
	case "urn:oid:1.3.132.0.35":
		return ecdh.P521()
	}
	return nil
}

// sections returns the children of e by the names "<namespace> <local>", nil
// where one is missing. Others, repeated ones and text are refused.
func sections(e *element, names ...string) ([]*element, error) {
	found := make([]*element, len(names))
	reached := 0
	for _, child := range e.elements() {
		i := slices.Index(names, child.ns+" "+child.local)
		if i < reached || found[i] != nil {
			return nil, encryptionForm("content of " + e.local)
		}
		found[i], reached = child, i
	}
	if hasText(e) {
		return nil, encryptionForm("content of " + e.local)
	}
	return found, nil
}

// valueOrNone is value for an element that may be absent.
func (e *element) valueOrNone(local string) string {
	if e == nil {
		return ""
	}
	return e.value(local)
}

func onlyKeySize(method *element) bool {
	children := method.elements()
	return !hasText(method) && (len(children) == 0 || len(children) == 1 && children[0].is(encryptionNS, "KeySize"))
}

// cipherValue reads a CipherData. A CipherReference would be fetched, so it is
// refused (threat X-46).
func cipherValue(e *element) ([]byte, error) {
	value := e.child(encryptionNS, "CipherValue")
	if value == nil || len(e.elements()) != 1 || hasText(e) {
		return nil, encryptionForm("CipherData without a value")
	}
	ciphertext, err := base64Text(value)
	if err != nil {
		return nil, encryptionForm("CipherValue is not Base64")
	}
	return ciphertext, nil
}
