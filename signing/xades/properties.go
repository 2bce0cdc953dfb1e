package xades

import (
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"strings"
	"time"

	"github.com/beevik/etree"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/xmldsig"
)

// Prefixes in what is written.
const (
	prefix    = "xades"
	prefix141 = "xades141"
)

// add adds an element of XAdES.
func add(to *etree.Element, local string) *etree.Element {
	return to.CreateElement(prefix + ":" + local)
}

// qualifying builds QualifyingProperties with the signed ones (EN 319 132-1 4.3,
// 5.2). Formats pairs identifiers of references with media types.
func (m *maker) qualifying() (*etree.Element, error) {
	q := etree.NewElement(prefix + ":QualifyingProperties")
	q.CreateAttr("xmlns:"+prefix, Namespace)
	q.CreateAttr("Target", "#"+m.id)
	signed := add(q, "SignedProperties")
	signed.CreateAttr("Id", m.propertiesID())
	s := add(signed, "SignedSignatureProperties")
	add(s, "SigningTime").SetText(m.time.UTC().Format(time.RFC3339))
	if err := m.signingCertificate(s); err != nil {
		return nil, err
	}
	claims := m.options.Claims
	if claims.Policy != nil {
		if err := putPolicy(s, claims.Policy); err != nil {
			return nil, err
		}
	}
	m.putPlace(s, claims.Place)
	m.putRoles(s, claims.Roles)
	m.putFormats(signed)
	return q, nil
}

// signingCertificate writes SigningCertificateV2 (5.2.2), or the form of
// TS 101 903 7.2.2.
func (m *maker) signingCertificate(to *etree.Element) error {
	hash := m.algorithm.Digest
	h := hash.New()
	h.Write(m.certificate.Raw)
	if m.options.Classic {
		cert := add(add(to, "SigningCertificate"), "Cert")
		xmldsig.DigestElements(add(cert, "CertDigest"), xmldsig.DigestURI(hash), h.Sum(nil))
		serial := add(cert, "IssuerSerial")
		serial.CreateElement(xmldsig.Prefix + ":X509IssuerName").SetText(m.certificate.Issuer.String())
		serial.CreateElement(xmldsig.Prefix + ":X509SerialNumber").SetText(m.certificate.SerialNumber.String())
		return nil
	}
	cert := add(add(to, "SigningCertificateV2"), "Cert")
	xmldsig.DigestElements(add(cert, "CertDigest"), xmldsig.DigestURI(hash), h.Sum(nil))
	serial, err := issuerSerial(m.certificate)
	if err != nil {
		return err
	}
	add(cert, "IssuerSerialV2").SetText(base64.StdEncoding.EncodeToString(serial))
	return nil
}

// issuerSerial is the DER of IssuerSerial (RFC 5035 section 5).
func issuerSerial(c *x509.Certificate) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.Tag(4).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) {
				b.AddBytes(c.RawIssuer)
			})
		})
		b.AddASN1BigInt(c.SerialNumber)
	})
	return b.Bytes()
}

// putPolicy writes SignaturePolicyIdentifier (5.2.9).
func putPolicy(to *etree.Element, p *signing.Policy) error {
	id := add(add(to, "SignaturePolicyIdentifier"), "SignaturePolicyId")
	sig := add(id, "SigPolicyId")
	if p.URI != "" {
		putIdentifier(sig, p.URI)
	} else {
		putIdentifier(sig, "urn:oid:"+p.OID)
	}
	hash := digestNamed(p.DigestAlgorithm)
	if hash == 0 || len(p.Digest) != hash.Size() {
		return signing.Refuse(signing.RefusedOption, "give the digest of the policy document", "the signature policy has no usable digest")
	}
	xmldsig.DigestElements(add(id, "SigPolicyHash"), xmldsig.DigestURI(hash), p.Digest)
	if p.Document != "" {
		add(add(add(id, "SigPolicyQualifiers"), "SigPolicyQualifier"), "SPURI").SetText(p.Document)
	}
	return nil
}

// digestNamed finds a digest by its name. SHA-1 is among them because policies of
// administrations are named by it (threats: signatures.md 15).
func digestNamed(name string) crypto.Hash {
	for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA1} {
		if h.String() == name {
			return h
		}
	}
	return 0
}

// putPlace writes SignatureProductionPlaceV2 (5.2.5).
func (m *maker) putPlace(to *etree.Element, p signing.Place) {
	if p == (signing.Place{}) {
		return
	}
	name := "SignatureProductionPlaceV2"
	if m.options.Classic {
		name, p.Street = "SignatureProductionPlace", ""
	}
	place := add(to, name)
	for _, part := range []struct{ name, value string }{
		{"City", p.Locality},
		{"StreetAddress", p.Street},
		{"StateOrProvince", p.Region},
		{"PostalCode", p.PostalCode},
		{"CountryName", p.Country},
	} {
		if part.value != "" {
			add(place, part.name).SetText(part.value)
		}
	}
}

// putRoles writes SignerRoleV2 (5.2.6).
func (m *maker) putRoles(to *etree.Element, roles []string) {
	if len(roles) == 0 {
		return
	}
	name := "SignerRoleV2"
	if m.options.Classic {
		name = "SignerRole"
	}
	claimed := add(add(to, name), "ClaimedRoles")
	for _, r := range roles {
		add(claimed, "ClaimedRole").SetText(r)
	}
}

// putFormats writes SignedDataObjectProperties: DataObjectFormat (5.2.4) and
// CommitmentTypeIndication (5.2.3).
func (m *maker) putFormats(to *etree.Element) {
	if len(m.formats) == 0 && len(m.options.Claims.Commitments) == 0 {
		return
	}
	data := add(to, "SignedDataObjectProperties")
	for _, f := range m.formats {
		format := add(data, "DataObjectFormat")
		format.CreateAttr("ObjectReference", "#"+f.reference)
		if f.oid != "" {
			putIdentifier(add(format, "ObjectIdentifier"), f.oid)
		}
		add(format, "MimeType").SetText(f.mimeType)
		if f.encoding != "" {
			add(format, "Encoding").SetText(f.encoding)
		}
	}
	for _, c := range m.options.Claims.Commitments {
		commitment := add(data, "CommitmentTypeIndication")
		putIdentifier(add(commitment, "CommitmentTypeId"), c.URI())
		add(commitment, "AllSignedDataObjects")
	}
}

// putIdentifier writes Identifier (5.1.2), and of an OID that it is one.
func putIdentifier(to *etree.Element, uri string) {
	identifier := add(to, "Identifier")
	if strings.HasPrefix(uri, "urn:oid:") {
		identifier.CreateAttr("Qualifier", "OIDAsURN")
	}
	identifier.SetText(uri)
}

// format is what DataObjectFormat says of one reference.
type format struct{ reference, mimeType, encoding, oid string }
