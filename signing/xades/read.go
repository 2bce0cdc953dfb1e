package xades

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"math/big"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/xmldsig"
)

// properties are the signed properties of a signature, as claimed.
type properties struct {
	element *xmldsig.Element // SignedProperties, nil if there are none
	// certificates are the references to certificates; bound says that there is
	// such a property.
	certificates []certificateReference
	bound        bool
	named        int // how many such properties there are
	time         *time.Time
	formats      map[string]string // media type by identifier of the reference
	policy       string
	policyDigest []byte // empty if the property has none
	commitments  []signing.Commitment
	roles        []string
	place        string
	// stamps are the time-stamps over the data (content-time-stamps).
	stamps []*xmldsig.Element
}

// maxCertificateReferences bounds what a signature names.
const maxCertificateReferences = 32

// certificateReference is a Cert of SigningCertificate or SigningCertificateV2.
type certificateReference struct {
	digest crypto.Hash
	value  []byte
	// issuer is a raw Name, serial a number; nil where the reference has none.
	issuer []byte
	serial *big.Int
	// v2 tells which of the two properties it stands in.
	v2 bool
}

func (c *certificateReference) matches(raw []byte) bool {
	if !c.digest.Available() {
		return false
	}
	h := c.digest.New()
	h.Write(raw)
	return bytes.Equal(h.Sum(nil), c.value)
}

// named tells whether issuer and serial number, where given, are those of the
// certificate.
func (c *certificateReference) named(cert *x509.Certificate) bool {
	return (c.serial == nil || c.serial.Cmp(cert.SerialNumber) == 0) && (c.issuer == nil || bytes.Equal(c.issuer, cert.RawIssuer))
}

// readProperties reads the signed properties at their place in the signature:
// ds:Object, QualifyingProperties, SignedProperties.
func readProperties(signature *xmldsig.Element) *properties {
	p := &properties{formats: make(map[string]string)}
	q := qualifying(signature)
	if q == nil {
		return p
	}
	p.element = q.Child(q.Space, "SignedProperties")
	if p.element == nil {
		return p
	}
	if s := p.element.Child(q.Space, "SignedSignatureProperties"); s != nil {
		p.readSignature(s)
	}
	if d := p.element.Child(q.Space, "SignedDataObjectProperties"); d != nil {
		p.readData(d)
	}
	return p
}

func (p *properties) readSignature(s *xmldsig.Element) {
	for _, c := range s.Children {
		if !isXAdES(c.Space) {
			continue
		}
		switch c.Local {
		case "SigningTime":
			if at, err := time.Parse(time.RFC3339Nano, strings.TrimSpace(c.Text)); err == nil {
				p.time = &at
			} else if at, err := time.Parse("2006-01-02T15:04:05.999999999", strings.TrimSpace(c.Text)); err == nil {
				p.time = &at
			}
		case "SigningCertificate", "SigningCertificateV2":
			p.bound = true
			p.named++
			for _, cert := range c.Children {
				if len(p.certificates) < maxCertificateReferences {
					p.certificates = append(p.certificates, readCertificate(cert, c.Local == "SigningCertificateV2"))
				}
			}
		case "SignaturePolicyIdentifier":
			if id := c.Find(c.Space, "SignaturePolicyId", "SigPolicyId", "Identifier"); id != nil {
				p.policy = strings.TrimSpace(id.Text)
				if value := c.Find(c.Space, "SignaturePolicyId", "SigPolicyHash"); value != nil {
					if v := value.Child(xmldsig.Namespace, "DigestValue"); v != nil {
						p.policyDigest, _ = xmldsig.Base64(v.Text)
					}
				}
			} else if c.Child(c.Space, "SignaturePolicyImplied") != nil {
				p.policy = "implied"
			}
		case "SignatureProductionPlace", "SignatureProductionPlaceV2":
			var parts []string
			for _, part := range c.Children {
				if text := strings.TrimSpace(part.Text); text != "" {
					parts = append(parts, text)
				}
			}
			p.place = strings.Join(parts, ", ")
		case "SignerRole", "SignerRoleV2":
			if roles := c.Child(c.Space, "ClaimedRoles"); roles != nil {
				for _, r := range roles.Children {
					p.roles = append(p.roles, strings.TrimSpace(r.Text))
				}
			}
		}
	}
}

func (p *properties) readData(d *xmldsig.Element) {
	for _, c := range d.Children {
		switch c.Local {
		case "DataObjectFormat":
			reference, _ := c.Attr("", "ObjectReference")
			if m := c.Child(c.Space, "MimeType"); m != nil {
				p.formats[strings.TrimPrefix(reference, "#")] = strings.TrimSpace(m.Text)
			}
		case "CommitmentTypeIndication":
			if id := c.Find(c.Space, "CommitmentTypeId", "Identifier"); id != nil {
				p.commitments = append(p.commitments, signing.ParseCommitment(strings.TrimPrefix(strings.TrimSpace(id.Text), "urn:oid:")))
			}
		case "AllDataObjectsTimeStamp", "IndividualDataObjectsTimeStamp":
			p.stamps = append(p.stamps, c)
		}
	}
}

// readCertificate reads a Cert. What is malformed matches nothing.
func readCertificate(e *xmldsig.Element, v2 bool) certificateReference {
	r := certificateReference{v2: v2}
	if d := e.Child(e.Space, "CertDigest"); d != nil {
		method, value := d.Child(xmldsig.Namespace, "DigestMethod"), d.Child(xmldsig.Namespace, "DigestValue")
		if method == nil && value == nil {
			// XAdES 1.1.1 has elements of its own for them (TS 101 903 v1.1.1 7.2.2).
			method, value = d.Child(e.Space, "DigestMethod"), d.Child(e.Space, "DigestValue")
		}
		if method != nil && value != nil {
			uri, _ := method.Attr("", "Algorithm")
			r.digest, _ = xmldsig.ParseDigest(uri)
			r.value, _ = xmldsig.Base64(value.Text)
		}
	}
	if s := e.Child(e.Space, "IssuerSerialV2"); s != nil {
		der, _ := xmldsig.Base64(s.Text)
		r.readSerial(der)
	}
	if s := e.Child(e.Space, "IssuerSerial"); s != nil {
		// The name is a string that programs write in many ways; the serial number is
		// compared alone.
		if n := s.Child(xmldsig.Namespace, "X509SerialNumber"); n != nil {
			if serial, ok := new(big.Int).SetString(strings.TrimSpace(n.Text), 10); ok {
				r.serial = serial
			}
		}
	}
	return r
}

// readSerial reads IssuerSerial (RFC 5035 section 5).
func (c *certificateReference) readSerial(der []byte) {
	in := cryptobyte.String(der)
	var seq, names, name, issuer cryptobyte.String
	serial := new(big.Int)
	if !in.ReadASN1(&seq, asn1.SEQUENCE) || !seq.ReadASN1(&names, asn1.SEQUENCE) || !seq.ReadASN1Integer(serial) {
		c.serial = big.NewInt(-1) // matches no certificate
		return
	}
	c.serial = serial
	if names.ReadASN1(&name, asn1.Tag(4).Constructed().ContextSpecific()) && name.ReadASN1Element(&issuer, asn1.SEQUENCE) {
		c.issuer = issuer
	}
}
