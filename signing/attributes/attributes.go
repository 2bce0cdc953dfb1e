// Package attributes writes and reads what a signer claims beside the content as signed
// attributes of CMS (EN 319 122-1 5.2): commitment type, signature policy, location and
// roles. CAdES and PAdES have them in common; which of them a format allows is the
// format's to say.
package attributes

import (
	"crypto"
	"errors"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/cms"
)

// oidSPURI is the qualifier that holds the address of a policy document
// (EN 319 122-1 5.2.9.2).
const oidSPURI cms.OID = "1.2.840.113549.1.9.16.5.1"

// maxClaim bounds one text of the signer, in bytes.
const maxClaim = 4096

func explicit(n uint8) asn1.Tag { return asn1.Tag(n).Constructed().ContextSpecific() }

// Encode writes the claims of a signer as signed attributes. title names the kind of
// signature in the text of a *signing.RefusedError, which comes where CMS cannot say
// what is claimed.
func Encode(claims signing.Claims, title string) ([]cms.Attribute, error) {
	if err := check(claims, title); err != nil {
		return nil, err
	}
	var all []cms.Attribute
	add := func(oid cms.OID, build func(*cryptobyte.Builder)) error {
		var b cryptobyte.Builder
		build(&b)
		value, err := b.Bytes()
		if err != nil {
			return signing.Refuse(signing.RefusedOption, "", "a claim cannot be written: %v", err)
		}
		all = append(all, cms.Attribute{Type: oid, Values: [][]byte{value}})
		return nil
	}
	var failures []error
	for _, c := range claims.Commitments {
		failures = append(failures, add(cms.OIDCommitmentType, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { cms.AddOID(b, cms.OID(c.OID())) })
		}))
	}
	if claims.Policy != nil {
		failures = append(failures, add(cms.OIDSignaturePolicy, func(b *cryptobyte.Builder) { addPolicy(b, claims.Policy) }))
	}
	if claims.Place != (signing.Place{}) {
		failures = append(failures, add(cms.OIDSignerLocation, func(b *cryptobyte.Builder) { addPlace(b, claims.Place) }))
	}
	if len(claims.Roles) > 0 {
		failures = append(failures, add(cms.OIDSignerAttributesV2, func(b *cryptobyte.Builder) { addRoles(b, claims.Roles) }))
	}
	return all, errors.Join(failures...)
}

// check refuses what has no form in CMS.
func check(claims signing.Claims, title string) error {
	if len(claims.Commitments) > 1 { // EN 319 122-1 6.3
		return signing.Refuse(signing.RefusedOption, "name one commitment type", "a %s signature has one commitment type", title)
	}
	p := claims.Policy
	switch {
	case p == nil:
		return nil
	case p.OID == "":
		return signing.Refuse(signing.RefusedOption, "name the policy by its OID", "a %s signature cannot name the policy %q", title, p.URI)
	case p.Digest == nil:
		return nil // the format says whether that is allowed
	}
	hash := digestOf(p.DigestAlgorithm)
	switch {
	case hash == 0:
		return signing.Refuse(signing.RefusedOption, "take SHA-256, SHA-384, SHA-512 or SHA-1", "the policy has a digest by %q", p.DigestAlgorithm)
	case len(p.Digest) != hash.Size():
		return signing.Refuse(signing.RefusedOption, "give the whole digest of the policy's document",
			"the digest of the policy has %d bytes, and one by %s has %d", len(p.Digest), hash, hash.Size())
	}
	return nil
}

// digestOf is the digest of a name, 0 for none that a policy may have.
func digestOf(name string) crypto.Hash {
	for _, h := range []crypto.Hash{crypto.SHA1, crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		if h.String() == name {
			return h
		}
	}
	return 0
}

func addUTF8(b *cryptobyte.Builder, tag asn1.Tag, text string) {
	if !utf8.ValidString(text) || len(text) > maxClaim {
		b.SetError(errors.New("text that is too long or no UTF-8"))
		return
	}
	b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes([]byte(text)) })
}

// addPolicy writes SignaturePolicyId (EN 319 122-1 5.2.9.1). A policy without a
// digest gets the zero hash that stands for an unknown one.
func addPolicy(b *cryptobyte.Builder, p *signing.Policy) {
	hash, digest := crypto.SHA256, []byte{0}
	if p.Digest != nil {
		hash, digest = digestOf(p.DigestAlgorithm), p.Digest
	}
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		cms.AddOID(b, cms.OID(p.OID))
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			cms.AddAlgorithm(b, cms.AlgorithmIdentifier{Algorithm: cms.DigestOID(hash)})
			b.AddASN1OctetString(digest)
		})
		if p.Document == "" {
			return
		}
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				cms.AddOID(b, oidSPURI)
				addUTF8(b, asn1.IA5String, p.Document)
			})
		})
	})
}

// addPlace writes SignerLocation (EN 319 122-1 5.2.5.1): country, locality, and
// up to six lines of an address.
func addPlace(b *cryptobyte.Builder, p signing.Place) {
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		if p.Country != "" {
			b.AddASN1(explicit(0), func(b *cryptobyte.Builder) { addUTF8(b, asn1.UTF8String, p.Country) })
		}
		if p.Locality != "" {
			b.AddASN1(explicit(1), func(b *cryptobyte.Builder) { addUTF8(b, asn1.UTF8String, p.Locality) })
		}
		var lines []string
		for _, line := range []string{p.Street, p.PostalCode, p.Region} {
			if line != "" {
				lines = append(lines, line)
			}
		}
		if len(lines) == 0 {
			return
		}
		b.AddASN1(explicit(2), func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				for _, line := range lines {
					addUTF8(b, asn1.UTF8String, line)
				}
			})
		})
	})
}

// oidTitle is the X.520 attribute for a position or function.
const oidTitle cms.OID = "2.5.4.12"

// addRoles writes SignerAttributesV2 with claimed attributes (EN 319 122-1
// 5.2.6.1), one title for each role.
func addRoles(b *cryptobyte.Builder, roles []string) {
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(explicit(0), func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				for _, role := range roles {
					b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
						cms.AddOID(b, oidTitle)
						b.AddASN1(asn1.SET, func(b *cryptobyte.Builder) { addUTF8(b, asn1.UTF8String, role) })
					})
				}
			})
		})
	})
}

// readText reads a string type as text.
func readText(s *cryptobyte.String) (string, bool) {
	var content cryptobyte.String
	var tag asn1.Tag
	if !s.ReadAnyASN1(&content, &tag) {
		return "", false
	}
	switch tag {
	case asn1.UTF8String, asn1.PrintableString, asn1.IA5String, asn1.T61String, asn1.Tag(26):
		if len(content) <= maxClaim && utf8.Valid(content) {
			return string(content), true
		}
	case asn1.Tag(30): // BMPString
		if len(content)%2 == 0 && len(content) <= maxClaim {
			units := make([]uint16, len(content)/2)
			for i := range units {
				units[i] = uint16(content[2*i])<<8 | uint16(content[2*i+1])
			}
			return string(utf16.Decode(units)), true
		}
	}
	return "", false
}

// Read takes what the signer says from the signed attributes. What is malformed is left
// out: claims prove nothing. A location that was read elsewhere stays where the
// attributes have none.
func Read(si *cms.SignerInfo, out *signing.Signature) {
	for _, raw := range si.Attribute(cms.OIDCommitmentType) {
		in := cryptobyte.String(raw)
		var body cryptobyte.String
		var oid cms.OID
		if in.ReadASN1(&body, asn1.SEQUENCE) && cms.ReadOID(&body, &oid) {
			out.Commitments = append(out.Commitments, signing.ParseCommitment(string(oid)))
		}
	}
	for _, raw := range si.Attribute(cms.OIDSignaturePolicy) {
		in := cryptobyte.String(raw)
		var body cryptobyte.String
		var oid cms.OID
		if in.ReadASN1(&body, asn1.SEQUENCE) && cms.ReadOID(&body, &oid) {
			out.Policy = string(oid)
		}
	}
	for _, raw := range si.Attribute(cms.OIDSignerLocation) {
		out.Location = readPlace(raw)
	}
	for _, raw := range si.Attribute(cms.OIDSignerAttributesV2) {
		out.Roles = append(out.Roles, readRoles(raw)...)
	}
}

func readPlace(raw []byte) string {
	in := cryptobyte.String(raw)
	var body, part, lines cryptobyte.String
	var parts []string
	if !in.ReadASN1(&body, asn1.SEQUENCE) {
		return ""
	}
	for !body.Empty() {
		var tag asn1.Tag
		if !body.ReadAnyASN1(&part, &tag) {
			break
		}
		if tag == explicit(2) {
			if !part.ReadASN1(&lines, asn1.SEQUENCE) {
				break
			}
			part = lines
		}
		for !part.Empty() {
			text, ok := readText(&part)
			if !ok {
				break
			}
			parts = append(parts, text)
		}
	}
	slices.Reverse(parts)
	return strings.Join(parts, ", ")
}

func readRoles(raw []byte) []string {
	in := cryptobyte.String(raw)
	var body, claimed, list cryptobyte.String
	var roles []string
	if !in.ReadASN1(&body, asn1.SEQUENCE) || !body.ReadASN1(&claimed, explicit(0)) || !claimed.ReadASN1(&list, asn1.SEQUENCE) {
		return nil
	}
	for !list.Empty() {
		var attribute, values cryptobyte.String
		var oid cms.OID
		if !list.ReadASN1(&attribute, asn1.SEQUENCE) || !cms.ReadOID(&attribute, &oid) || !attribute.ReadASN1(&values, asn1.SET) {
			break
		}
		for !values.Empty() {
			text, ok := readText(&values)
			if !ok {
				break
			}
			roles = append(roles, text)
		}
	}
	return roles
}
