package pades

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/cms"
	"github.com/eidbridge/eidbridge/signing/pdf"
	"github.com/eidbridge/eidbridge/signing/validation"
)

// What ISO 32000-2 12.8.3 deprecates because it rests on SHA-1: adbe.pkcs7.sha1,
// whose CMS carries the digest of the signed bytes as its content, and
// adbe.x509.rsa_sha1, a bare value with its certificates in the dictionary. A value
// that is wrong, or of an unknown signer, is called so; no other is relied on,
// whatever time is proven (threats P-18).

// sha1Size is the length of the content of adbe.pkcs7.sha1 in bytes.
const sha1Size = 20

func (e *examination) legacy() {
	e.fail(Indeterminate, CryptoConstraintsFailure, findLegacy, "the encoding %s relies on SHA-1", e.out.SubFilter)
}

// checkPKCS7SHA1 judges a CMS whose content is the SHA-1 digest of the signed bytes
// (ISO 32000-1 12.8.3.3.1).
func (e *examination) checkPKCS7SHA1(ctx context.Context) error {
	message, err := e.message()
	switch {
	case err != nil:
		e.fail(TotalFailed, FormatFailure, findCMS, "%v", err)
		return nil
	case len(message.SignerInfos) != 1:
		e.fail(TotalFailed, FormatFailure, findCMS, "the CMS has %d signers instead of one", len(message.SignerInfos))
		return nil
	case message.ContentType != cms.OIDData || len(message.Content) != sha1Size:
		e.fail(TotalFailed, FormatFailure, findCMS, "the CMS does not carry a digest")
		return nil
	}
	signed, err := e.signedDigest(ctx, crypto.SHA1)
	if err != nil {
		return err
	}
	si := &message.SignerInfos[0]
	var digest []byte
	if hash, err := si.Digest(); err == nil && hash.Available() {
		h := hash.New()
		h.Write(message.Content)
		digest = h.Sum(nil)
	}
	result, err := message.Verify(si, digest)
	e.describe(si, result)
	if err == nil && !bytes.Equal(message.Content, signed) {
		err = cms.ErrDigest
	}
	if e.verdict(err) {
		e.checkTimes(ctx, si)
		e.answered = e.v.judge.Signer(ctx, &e.out, result.Certificate, validation.Certificates(message.Certificates), e.proof)
		e.legacy()
		e.accept(result)
	}
	return nil
}

// checkX509 judges a bare RSA value over the SHA-1 digest of the signed bytes, by
// the first certificate of /Cert (ISO 32000-1 12.8.3.2).
func (e *examination) checkX509(ctx context.Context) error {
	chain, err := e.certificates()
	if err != nil {
		e.fail(Indeterminate, NoSigningCertificateFound, findNoCertificate, "%v", err)
		return nil
	}
	s := cryptobyte.String(e.shape.contents())
	var value cryptobyte.String
	if !s.ReadASN1(&value, asn1.OCTET_STRING) {
		e.fail(TotalFailed, FormatFailure, findCMS, "/Contents holds no signature value")
		return nil
	}
	digest, err := e.signedDigest(ctx, crypto.SHA1)
	if err != nil {
		return err
	}
	e.out.Signer = signing.NewSigner(chain[0], e.v.opts.ShowIdentifiers)
	e.out.DigestAlgorithm = crypto.SHA1.String()
	key, ok := chain[0].PublicKey.(*rsa.PublicKey)
	switch {
	case !ok:
		err = cms.ErrSignature
	case key.N.BitLen() < minRSA || key.N.BitLen() > maxRSA:
		err = fmt.Errorf("RSA key of %d bits: %w", key.N.BitLen(), cms.ErrAlgorithm)
	case rsa.VerifyPKCS1v15(key, crypto.SHA1, digest, value) != nil:
		err = cms.ErrSignature // a changed document looks the same: nothing else holds its digest
	}
	if e.verdict(err) {
		control, timed := e.v.proven(e.index)
		e.proof = validation.Proof{Best: control, Timed: timed}
		e.answered = e.v.judge.Signer(ctx, &e.out, chain[0], chain[1:], e.proof)
		e.legacy()
		validation.Accept(&e.out, chain[0], e.proof, crypto.SHA1)
	}
	return nil
}

// minRSA and maxRSA bound the keys that are computed with, in bits.
const (
	minRSA = 1024
	maxRSA = 8192
)

// certificates reads /Cert, a string or an array of strings, the signer's first.
func (e *examination) certificates() ([]*x509.Certificate, error) {
	const most = 32
	entry, err := e.v.doc.Value(e.s.dict, "Cert")
	if err != nil {
		return nil, err
	}
	var items []pdf.Object
	switch entry.Kind() {
	case pdf.Array:
		items = entry.Items()
	case pdf.String:
		items = []pdf.Object{entry}
	}
	var chain []*x509.Certificate
	for _, item := range items[:min(len(items), most)] {
		if item, err = e.v.doc.Resolve(item); err != nil {
			return nil, err
		}
		raw, _ := item.Bytes()
		c, err := cms.ParseCertificate(raw)
		if err != nil {
			return nil, fmt.Errorf("/Cert of the signature dictionary: %w", err)
		}
		chain = append(chain, c)
	}
	if len(chain) == 0 {
		return nil, errors.New("/Cert of the signature dictionary is empty")
	}
	return chain, nil
}
