package cms

import (
	"bytes"
	"crypto"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// certificateNames are the parts of a certificate that a signer identifier can
// name. They are read here because crypto/x509 refuses whole certificates over
// keys or extensions that do not matter for finding one.
type certificateNames struct {
	issuer []byte
	serial *big.Int
	keyID  []byte
}

func readNames(raw []byte) (n certificateNames, ok bool) {
	in := cryptobyte.String(raw)
	var certificate, tbs, issuer cryptobyte.String
	if !in.ReadASN1(&certificate, asn1.SEQUENCE) || !in.Empty() || !certificate.ReadASN1(&tbs, asn1.SEQUENCE) {
		return n, false
	}
	n.serial = new(big.Int)
	if !tbs.SkipOptionalASN1(explicit(0)) || !tbs.ReadASN1Integer(n.serial) ||
		!tbs.SkipASN1(asn1.SEQUENCE) || !tbs.ReadASN1Element(&issuer, asn1.SEQUENCE) ||
		!tbs.SkipASN1(asn1.SEQUENCE) || !tbs.SkipASN1(asn1.SEQUENCE) || !tbs.SkipASN1(asn1.SEQUENCE) {
		return n, false
	}
	n.issuer = issuer
	n.keyID = readKeyID(tbs)
	return n, true
}

// readKeyID finds the subjectKeyIdentifier extension in what follows the public
// key.
func readKeyID(tbs cryptobyte.String) []byte {
	var wrapped, extensions cryptobyte.String
	var has bool
	if !tbs.SkipOptionalASN1(asn1.Tag(1).ContextSpecific()) || !tbs.SkipOptionalASN1(asn1.Tag(2).ContextSpecific()) ||
		!tbs.ReadOptionalASN1(&wrapped, &has, explicit(3)) || !has || !wrapped.ReadASN1(&extensions, asn1.SEQUENCE) {
		return nil
	}
	for !extensions.Empty() {
		var extension, value, id cryptobyte.String
		var oid OID
		if !extensions.ReadASN1(&extension, asn1.SEQUENCE) || !ReadOID(&extension, &oid) {
			return nil
		}
		if oid != "2.5.29.14" {
			continue
		}
		if !extension.SkipOptionalASN1(asn1.BOOLEAN) || !extension.ReadASN1(&value, asn1.OCTET_STRING) ||
			!value.ReadASN1(&id, asn1.OCTET_STRING) {
			return nil
		}
		return id
	}
	return nil
}

// reference is one ESSCertID or ESSCertIDv2.
type reference struct {
	digest crypto.Hash
	hash   []byte
	issuer []byte // raw Name, nil when issuerSerial is absent
	serial *big.Int
}

func (r reference) matches(raw []byte) bool {
	if !r.digest.Available() {
		return false
	}
	h := r.digest.New()
	h.Write(raw)
	return bytes.Equal(h.Sum(nil), r.hash)
}

// references reads signing-certificate or -v2 (RFC 5035 sections 3 and 5); the
// first entry names the signer.
func (si *SignerInfo) references() ([]reference, error) {
	v2, err := si.single(OIDSigningCertificateV2)
	if err != nil {
		return nil, err
	}
	v1, err := si.single(OIDSigningCertificate)
	if err != nil {
		return nil, err
	}
	raw, standard := v2, crypto.SHA256
	if raw == nil {
		raw, standard = v1, crypto.SHA1
	}
	if raw == nil {
		return nil, nil
	}
	in := cryptobyte.String(raw)
	var attribute, list cryptobyte.String
	if !in.ReadASN1(&attribute, asn1.SEQUENCE) || !in.Empty() || !attribute.ReadASN1(&list, asn1.SEQUENCE) {
		return nil, formatError("signing-certificate")
	}
	var all []reference
	for !list.Empty() {
		r, err := readReference(&list, standard)
		if err != nil {
			return nil, err
		}
		if len(all) == maxReferences {
			return nil, limitError("signing-certificate")
		}
		all = append(all, r)
	}
	if len(all) == 0 {
		return nil, formatError("signing-certificate names no certificate")
	}
	return all, nil
}

func readReference(list *cryptobyte.String, standard crypto.Hash) (reference, error) {
	r := reference{digest: standard}
	var id, hash cryptobyte.String
	if !list.ReadASN1(&id, asn1.SEQUENCE) {
		return r, formatError("signing-certificate entry")
	}
	if standard == crypto.SHA256 && id.PeekASN1Tag(asn1.SEQUENCE) {
		a, ok := readAlgorithm(&id)
		if !ok {
			return r, formatError("signing-certificate digest")
		}
		var err error
		if r.digest, err = a.Digest(); err != nil {
			return r, err
		}
	}
	if !id.ReadASN1(&hash, asn1.OCTET_STRING) {
		return r, formatError("signing-certificate hash")
	}
	r.hash = hash
	if id.Empty() {
		return r, nil
	}
	var issuerSerial, names, name, issuer cryptobyte.String
	r.serial = new(big.Int)
	if !id.ReadASN1(&issuerSerial, asn1.SEQUENCE) || !id.Empty() ||
		!issuerSerial.ReadASN1(&names, asn1.SEQUENCE) || !issuerSerial.ReadASN1Integer(r.serial) {
		return r, formatError("signing-certificate issuerSerial")
	}
	if names.ReadASN1(&name, explicit(4)) && name.ReadASN1Element(&issuer, asn1.SEQUENCE) {
		r.issuer = issuer
	}
	return r, nil
}
