package ocsp

import (
	"bytes"
	"crypto/x509"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/eidbridge/eidbridge/signing/cms"
	"github.com/eidbridge/eidbridge/signing/fetch"
)

// Parse reads an OCSPResponse (RFC 6960 4.2.1), verifies it, and takes the
// answer about the certificate from it. Beside the issuer and those whom it
// certified, responders that the caller trusts for themselves may have signed it
// (RFC 6960 4.2.2.2, first case).
func Parse(raw []byte, certificate, issuer *x509.Certificate, trusted ...*x509.Certificate) (*Response, error) {
	return ParseAmong(raw, certificate, issuer, trusted, func() []*x509.Certificate { return nil })
}

// ParseAmong is Parse for an answer that may leave out the certificate of its
// responder, as certs is optional (RFC 6960 4.2.1): then it is looked for among
// candidates, who have to be certified by the issuer like any other.
func ParseAmong(raw []byte, certificate, issuer *x509.Certificate, trusted []*x509.Certificate, candidates func() []*x509.Certificate) (*Response, error) {
	if len(raw) > fetch.MaxOCSP {
		return nil, wrong("%d bytes", len(raw))
	}
	basic, err := unwrap(raw)
	if err != nil {
		return nil, err
	}
	var data, algorithm, wrapped, responderID, list cryptobyte.String
	var value []byte
	var has bool
	if !basic.ReadASN1Element(&data, asn1.SEQUENCE) || !basic.ReadASN1Element(&algorithm, asn1.SEQUENCE) ||
		!basic.ReadASN1BitStringAsBytes(&value) || !basic.ReadOptionalASN1(&wrapped, &has, explicit(0)) || !basic.Empty() {
		return nil, wrong("BasicOCSPResponse")
	}
	r := &Response{Raw: raw}
	body := data
	var inner cryptobyte.String
	var version int
	if !body.ReadASN1(&inner, asn1.SEQUENCE) || !inner.ReadOptionalASN1Integer(&version, explicit(0), 0) || version != 0 {
		return nil, wrong("ResponseData")
	}
	var tag asn1.Tag
	if !inner.ReadAnyASN1(&responderID, &tag) || !inner.ReadASN1GeneralizedTime(&r.ProducedAt) || !inner.ReadASN1(&list, asn1.SEQUENCE) {
		return nil, wrong("ResponseData")
	}
	if err := r.readExtensions(&inner); err != nil {
		return nil, err
	}
	if err := r.findResponder(wrapped, tag, responderID, issuer, trusted, candidates); err != nil {
		return nil, err
	}
	verify := cms.VerifyValue
	if r.ProducedAt.Before(cms.SHA1Trusted()) {
		verify = cms.VerifyOldValue
	}
	if err := verify(r.Responder.PublicKey, algorithm, data, value); err != nil {
		return nil, wrong("%v", err)
	}
	return r, r.findAnswer(list, certificate, issuer)
}

// unwrap takes off OCSPResponse.
func unwrap(raw []byte) (cryptobyte.String, error) {
	in := cryptobyte.String(raw)
	var response, wrapped, body, octets, basic cryptobyte.String
	var status int
	var oid cms.OID
	if !in.ReadASN1(&response, asn1.SEQUENCE) || !in.Empty() || !response.ReadASN1Enum(&status) {
		return nil, wrong("malformed")
	}
	if status != 0 {
		return nil, wrong("the responder refused with status %d", status)
	}
	if !response.ReadASN1(&wrapped, explicit(0)) || !response.Empty() || !wrapped.ReadASN1(&body, asn1.SEQUENCE) || !wrapped.Empty() ||
		!cms.ReadOID(&body, &oid) || oid != oidBasic || !body.ReadASN1(&octets, asn1.OCTET_STRING) || !body.Empty() ||
		!octets.ReadASN1(&basic, asn1.SEQUENCE) || !octets.Empty() {
		return nil, wrong("malformed")
	}
	return basic, nil
}

// readExtensions takes the nonce and refuses unknown critical extensions.
func (r *Response) readExtensions(in *cryptobyte.String) error {
	var wrapped, list cryptobyte.String
	var has bool
	if !in.ReadOptionalASN1(&wrapped, &has, explicit(1)) || !in.Empty() {
		return wrong("ResponseData")
	}
	if !has {
		return nil
	}
	if !wrapped.ReadASN1(&list, asn1.SEQUENCE) || !wrapped.Empty() {
		return wrong("extensions")
	}
	for !list.Empty() {
		oid, critical, value, ok := readExtension(&list)
		switch {
		case !ok:
			return wrong("extensions")
		case oid == oidNonce:
			inner := value
			var nonce cryptobyte.String
			if !inner.ReadASN1(&nonce, asn1.OCTET_STRING) || !inner.Empty() {
				nonce = value // as older responders write it
			}
			r.Nonce = nonce
		case critical:
			return wrong("unknown critical extension %s", oid)
		}
	}
	return nil
}

func readExtension(list *cryptobyte.String) (oid cms.OID, critical bool, value cryptobyte.String, ok bool) {
	var extension cryptobyte.String
	ok = list.ReadASN1(&extension, asn1.SEQUENCE) && cms.ReadOID(&extension, &oid) &&
		(!extension.PeekASN1Tag(asn1.BOOLEAN) || extension.ReadASN1Boolean(&critical)) &&
		extension.ReadASN1(&value, asn1.OCTET_STRING) && extension.Empty()
	return oid, critical, value, ok
}

// findResponder finds who the ResponderID names: the issuer, or a certificate in
// the answer that the issuer signed for this purpose (RFC 6960 4.2.2.2).
func (r *Response) findResponder(wrapped cryptobyte.String, tag asn1.Tag, id cryptobyte.String, issuer *x509.Certificate, trusted []*x509.Certificate, candidates func() []*x509.Certificate) error {
	named := func(c *x509.Certificate) bool {
		switch tag {
		case explicit(1):
			return bytes.Equal(id, c.RawSubject)
		case explicit(2):
			in := id
			var hash cryptobyte.String
			bits, err := keyBits(c)
			return err == nil && in.ReadASN1(&hash, asn1.OCTET_STRING) && in.Empty() && bytes.Equal(hash, sha1Sum(bits))
		}
		return false
	}
	if named(issuer) {
		r.Responder = issuer
		return nil
	}
	for _, c := range trusted {
		if named(c) && !r.ProducedAt.Before(c.NotBefore) && !r.ProducedAt.After(c.NotAfter) {
			r.Responder, r.Delegated, r.NoCheck = c, true, true
			return nil
		}
	}
	var list cryptobyte.String
	if wrapped != nil && (!wrapped.ReadASN1(&list, asn1.SEQUENCE) || !wrapped.Empty()) {
		return wrong("certificates")
	}
	for n := 0; !list.Empty(); n++ {
		var raw cryptobyte.String
		if n == maxCertificates || !list.ReadASN1Element(&raw, asn1.SEQUENCE) {
			return wrong("certificates")
		}
		c, err := cms.ParseCertificate(raw)
		if err != nil || !named(c) {
			continue
		}
		if err := delegated(c, issuer, r.ProducedAt); err != nil {
			return err
		}
		r.delegate(c)
		return nil
	}
	for _, c := range candidates() {
		if named(c) && delegated(c, issuer, r.ProducedAt) == nil {
			r.delegate(c)
			return nil
		}
	}
	return wrong("it does not come from the issuer or a responder of the issuer")
}

func (r *Response) delegate(c *x509.Certificate) {
	r.Responder, r.Delegated = c, true
	for _, e := range c.Extensions {
		r.NoCheck = r.NoCheck || e.Id.String() == oidNoCheck
	}
}

// delegated demands that the issuer itself certified the responder for OCSP.
func delegated(c, issuer *x509.Certificate, at time.Time) error {
	signs := false
	for _, usage := range c.ExtKeyUsage {
		signs = signs || usage == x509.ExtKeyUsageOCSPSigning
	}
	switch {
	case !signs:
		return wrong("its responder was not certified for OCSP")
	case !bytes.Equal(c.RawIssuer, issuer.RawSubject) || cms.CheckCertificate(c, issuer) != nil:
		return wrong("its responder was not certified by the issuer")
	case at.Before(c.NotBefore) || at.After(c.NotAfter):
		return wrong("the certificate of its responder was not valid then")
	}
	return nil
}

// findAnswer finds the SingleResponse about the certificate.
func (r *Response) findAnswer(list cryptobyte.String, certificate, issuer *x509.Certificate) error {
	for n := 0; !list.Empty(); n++ {
		var single, id cryptobyte.String
		if n == maxResponses || !list.ReadASN1(&single, asn1.SEQUENCE) || !single.ReadASN1(&id, asn1.SEQUENCE) {
			return wrong("SingleResponse")
		}
		about, err := concerns(id, certificate, issuer)
		if err != nil {
			return err
		}
		if about {
			return r.readAnswer(single, certificate)
		}
	}
	return wrong("it is not about the certificate")
}

func concerns(id cryptobyte.String, certificate, issuer *x509.Certificate) (bool, error) {
	algorithm, ok := cms.ReadAlgorithm(&id)
	var name, key cryptobyte.String
	serial := new(big.Int)
	if !ok || !id.ReadASN1(&name, asn1.OCTET_STRING) || !id.ReadASN1(&key, asn1.OCTET_STRING) || !id.ReadASN1Integer(serial) || !id.Empty() {
		return false, wrong("CertID")
	}
	hash, err := algorithm.Digest()
	if err != nil || serial.Cmp(certificate.SerialNumber) != 0 {
		return false, nil //nolint:nilerr // a digest that is not known names something else
	}
	wantName, wantKey, err := hashes(issuer, hash)
	return err == nil && bytes.Equal(name, wantName) && bytes.Equal(key, wantKey), nil
}

// hashOf tells whether a CertHash (Common PKI 2.0 part 4, 3.1.2) is that of the
// certificate.
func hashOf(value cryptobyte.String, certificate *x509.Certificate) bool {
	var body, digest cryptobyte.String
	if !value.ReadASN1(&body, asn1.SEQUENCE) {
		return false
	}
	algorithm, ok := cms.ReadAlgorithm(&body)
	if !ok || !body.ReadASN1(&digest, asn1.OCTET_STRING) {
		return false
	}
	hash, err := algorithm.Digest()
	if err != nil || !hash.Available() {
		return false
	}
	h := hash.New()
	h.Write(certificate.Raw)
	return bytes.Equal(digest, h.Sum(nil))
}

func (r *Response) readAnswer(s cryptobyte.String, certificate *x509.Certificate) error {
	var status, next, extensions, list cryptobyte.String
	var tag asn1.Tag
	var has bool
	if !s.ReadAnyASN1(&status, &tag) || !s.ReadASN1GeneralizedTime(&r.ThisUpdate) || !s.ReadOptionalASN1(&next, &has, explicit(0)) ||
		has && (!next.ReadASN1GeneralizedTime(&r.NextUpdate) || !next.Empty()) ||
		!s.ReadOptionalASN1(&extensions, &has, explicit(1)) || !s.Empty() {
		return wrong("SingleResponse")
	}
	if has && (!extensions.ReadASN1(&list, asn1.SEQUENCE) || !extensions.Empty()) {
		return wrong("SingleResponse")
	}
	for !list.Empty() {
		oid, critical, value, ok := readExtension(&list)
		switch {
		case !ok:
			return wrong("SingleResponse")
		case oid == oidCutoff:
			if !value.ReadASN1GeneralizedTime(&r.Kept) || !value.Empty() {
				return wrong("archive cutoff")
			}
		case oid == oidCertHash:
			if r.Positive = hashOf(value, certificate); !r.Positive {
				return wrong("it is about another certificate of that number")
			}
		case critical:
			return wrong("unknown critical extension %s", oid)
		}
	}
	switch tag {
	case asn1.Tag(0).ContextSpecific():
		r.Status = Good
	case explicit(1):
		r.Status = Revoked
		var reason cryptobyte.String
		if !status.ReadASN1GeneralizedTime(&r.RevokedAt) || !status.ReadOptionalASN1(&reason, &has, explicit(0)) ||
			has && !reason.ReadASN1Enum(&r.Reason) {
			return wrong("RevokedInfo")
		}
	case asn1.Tag(2).ContextSpecific():
		r.Status = Unknown
	default:
		return wrong("CertStatus")
	}
	return nil
}
