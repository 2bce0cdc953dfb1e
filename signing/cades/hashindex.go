package cades

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/eidbridge/eidbridge/signing/cms"
)

// hashIndex is an ats-hash-index of any version (EN 319 122-1 5.5.2).
type hashIndex struct {
	raw  []byte
	hash crypto.Hash
	// perValue tells that an unsigned attribute is hashed per value, as version 3
	// does it.
	perValue bool
	// each holds the digests of certificates, crls and unsigned attributes.
	each [3][][]byte
}

// maxIndexed bounds the digests of one kind.
const maxIndexed = 512

// newHashIndex makes the index of version 3 over everything the message and the
// signer hold now.
func newHashIndex(m *message, si *cms.SignerInfo, hash crypto.Hash) *hashIndex {
	x := &hashIndex{hash: hash, perValue: true}
	x.each = x.objects(m, si)
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		cms.AddAlgorithm(b, cms.AlgorithmIdentifier{Algorithm: cms.DigestOID(hash)})
		for _, digests := range x.each {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				for _, d := range digests {
					b.AddASN1OctetString(d)
				}
			})
		}
	})
	x.raw = b.BytesOrPanic()
	return x
}

// objects computes the digests of what is there.
func (x *hashIndex) objects(m *message, si *cms.SignerInfo) (each [3][][]byte) {
	sum := func(parts ...[]byte) []byte {
		h := x.hash.New()
		for _, p := range parts {
			h.Write(p)
		}
		return h.Sum(nil)
	}
	for _, c := range m.Certificates {
		each[0] = append(each[0], sum(c))
	}
	for _, c := range m.CRLs {
		each[1] = append(each[1], sum(c))
	}
	for _, a := range si.UnsignedAttributes {
		var b cryptobyte.Builder
		cms.AddOID(&b, a.Type)
		oid := b.BytesOrPanic()
		if x.perValue {
			for _, v := range a.Values {
				each[2] = append(each[2], sum(oid, v))
			}
			continue
		}
		var whole cryptobyte.Builder
		whole.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(oid)
			b.AddASN1(asn1.SET, func(b *cryptobyte.Builder) { b.AddBytes(bytes.Join(a.Values, nil)) })
		})
		each[2] = append(each[2], sum(whole.BytesOrPanic()))
	}
	return each
}

// readHashIndex takes the index from the unsigned attributes of a time-stamp
// token.
func readHashIndex(token *cms.SignedData) (*hashIndex, error) {
	if len(token.SignerInfos) != 1 {
		return nil, errors.New("token without a signer")
	}
	si := &token.SignerInfos[0]
	for _, oid := range []cms.OID{cms.OIDATSHashIndexV3, cms.OIDATSHashIndexV2, cms.OIDATSHashIndex} {
		values := si.UnsignedAttribute(oid)
		if len(values) == 0 {
			continue
		}
		if len(values) > 1 {
			return nil, errors.New("token with several hash indexes")
		}
		return parseHashIndex(values[0], oid == cms.OIDATSHashIndexV3)
	}
	return nil, errors.New("token without a hash index")
}

func parseHashIndex(raw []byte, perValue bool) (*hashIndex, error) {
	x := &hashIndex{raw: raw, hash: crypto.SHA256, perValue: perValue}
	in := cryptobyte.String(raw)
	var body cryptobyte.String
	if !in.ReadASN1(&body, asn1.SEQUENCE) || !in.Empty() {
		return nil, errors.New("malformed hash index")
	}
	var lists []cryptobyte.String
	for !body.Empty() {
		before := body
		var list cryptobyte.String
		if !body.ReadASN1(&list, asn1.SEQUENCE) || len(lists) == 4 {
			return nil, errors.New("malformed hash index")
		}
		if len(lists) == 0 && list.PeekASN1Tag(asn1.OBJECT_IDENTIFIER) {
			algorithm, ok := cms.ReadAlgorithm(&before)
			if !ok {
				return nil, errors.New("malformed hash index")
			}
			var err error
			if x.hash, err = algorithm.Digest(); err != nil || !x.hash.Available() {
				return nil, fmt.Errorf("digest of the hash index: %w", errors.Join(err, cms.ErrAlgorithm))
			}
			continue
		}
		lists = append(lists, list)
	}
	if len(lists) != 3 {
		return nil, errors.New("malformed hash index")
	}
	for i, list := range lists {
		for !list.Empty() {
			var digest cryptobyte.String
			if !list.ReadASN1(&digest, asn1.OCTET_STRING) || len(x.each[i]) == maxIndexed {
				return nil, errors.New("malformed hash index")
			}
			x.each[i] = append(x.each[i], digest)
		}
	}
	return x, nil
}

// missing tells whether a digest of the index belongs to no object of the
// message. Objects without a digest came later and are no error.
func (x *hashIndex) missing(m *message, si *cms.SignerInfo) bool {
	have := x.objects(m, si)
	for i, digests := range x.each {
		known := make(map[string]bool)
		for _, d := range have[i] {
			known[string(d)] = true
		}
		for _, d := range digests {
			if !known[string(d)] {
				return true
			}
		}
	}
	return false
}

// covers tells whether the index holds an unsigned attribute.
func (x *hashIndex) covers(oid cms.OID, value []byte) bool {
	if !x.perValue {
		return true
	}
	var b cryptobyte.Builder
	cms.AddOID(&b, oid)
	h := x.hash.New()
	h.Write(b.BytesOrPanic())
	h.Write(value)
	want := h.Sum(nil)
	for _, d := range x.each[2] {
		if bytes.Equal(d, want) {
			return true
		}
	}
	return false
}

// imprint is the message imprint of archive-time-stamp-v3 (EN 319 122-1 5.5.3):
// content type, digest of the content, fields of the signer, hash index.
func (x *hashIndex) imprint(m *message, si *cms.SignerInfo, hash crypto.Hash, content []byte) []byte {
	var b cryptobyte.Builder
	cms.AddOID(&b, m.ContentType)
	h := hash.New()
	h.Write(b.BytesOrPanic())
	h.Write(content)
	h.Write(si.Fields())
	h.Write(x.raw)
	return h.Sum(nil)
}
