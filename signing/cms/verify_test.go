package cms

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"errors"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// resigned changes the attribute list of a message and signs it again.
func (s specimen) resigned(t testing.TB, change func([]Attribute) []Attribute) *SignedData {
	t.Helper()
	d := mustParse(t, s.message)
	si := &d.SignerInfos[0]
	var encoded [][]byte
	for _, a := range change(si.SignedAttributes) {
		var b cryptobyte.Builder
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addOID(b, a.Type)
			b.AddASN1(asn1.SET, func(b *cryptobyte.Builder) { b.AddBytes(bytes.Join(a.Values, nil)) })
		})
		encoded = append(encoded, b.BytesOrPanic())
	}
	var b cryptobyte.Builder
	addSet(&b, explicit(0), encoded)
	si.signed = b.BytesOrPanic()
	si.Signature = s.sign(t, si.signedBytes())
	si.fields = si.rebuilt()
	message, err := d.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return mustParse(t, message)
}

// rebuilt encodes the fields of a signer that a test has changed.
func (si *SignerInfo) rebuilt() []byte {
	var b cryptobyte.Builder
	b.AddASN1Int64(si.Version)
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(si.Issuer)
		b.AddASN1BigInt(si.Serial)
	})
	addAlgorithm(&b, si.DigestAlgorithm)
	b.AddBytes(si.signed)
	addAlgorithm(&b, si.SignatureAlgorithm)
	b.AddASN1OctetString(si.Signature)
	return b.BytesOrPanic()
}

func drop(oid OID) func([]Attribute) []Attribute {
	return func(all []Attribute) []Attribute {
		var kept []Attribute
		for _, a := range all {
			if a.Type != oid {
				kept = append(kept, a)
			}
		}
		return kept
	}
}

func replace(oid OID, values ...[]byte) func([]Attribute) []Attribute {
	return func(all []Attribute) []Attribute {
		return append(drop(oid)(all), Attribute{Type: oid, Values: values})
	}
}

// TestVerifyRefusesBentAttributes signs attributes that RFC 5652 forbids (P-19).
func TestVerifyRefusesBentAttributes(t *testing.T) {
	s := newSpecimen(t, newKey(t), false)
	other := []byte{4, 1, 0}
	for _, c := range []struct {
		name   string
		change func([]Attribute) []Attribute
		want   error
	}{
		{"no content-type", drop(OIDContentType), ErrFormat},
		{"no message-digest", drop(OIDMessageDigest), ErrFormat},
		{"empty message-digest", replace(OIDMessageDigest), ErrFormat},
		{"two message-digest values", replace(OIDMessageDigest, other, other), ErrFormat},
		{"other message-digest", replace(OIDMessageDigest, other), ErrDigest},
		{"repeated message-digest", func(all []Attribute) []Attribute {
			return append(all, Attribute{Type: OIDMessageDigest, Values: [][]byte{other}})
		}, ErrFormat},
		{"other content-type", replace(OIDContentType, []byte{6, 1, 0x2A}), ErrFormat},
		{"algorithm protection contradicts", replace(OIDAlgorithmProtection, attributeValueOf(&Template{Algorithm: Algorithm{Scheme: RSAPKCS1v15, Digest: crypto.SHA512}})), ErrFormat},
		{"algorithm protection is no sequence", replace(OIDAlgorithmProtection, other), ErrFormat},
		{"signing-certificate is no sequence", replace(OIDSigningCertificateV2, other), ErrFormat},
		{"signing-certificate is empty", replace(OIDSigningCertificateV2, []byte{0x30, 2, 0x30, 0}), ErrFormat},
		{"signing-time is no time", replace(OIDSigningTime, other), ErrFormat},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := s.resigned(t, c.change)
			if _, err := d.Verify(&d.SignerInfos[0], s.digest()); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	t.Run("no signing-certificate is told, not refused", func(t *testing.T) {
		d := s.resigned(t, drop(OIDSigningCertificateV2))
		if v, err := d.Verify(&d.SignerInfos[0], s.digest()); err != nil || v.Bound {
			t.Errorf("got %+v, %v", v, err)
		}
	})
}

func attributeValueOf(t *Template) []byte {
	var b cryptobyte.Builder
	t.addAlgorithmProtection(&b)
	return b.BytesOrPanic()
}

// TestVerifyChoosesTheSignerByReference puts other certificates before and after
// the signer's (P-20, P-21).
func TestVerifyChoosesTheSignerByReference(t *testing.T) {
	key := newKey(t)
	s := newSpecimen(t, key, false)
	decoy := certificate(t, newKey(t), 99)
	sameNames := certificate(t, newKey(t), 7) // other key, same issuer and serial
	sameKey := certificate(t, key, 7)         // same key and names, other bytes
	for _, c := range []struct {
		name         string
		certificates [][]byte
		change       func([]Attribute) []Attribute
		want         error
	}{
		{"decoy first", [][]byte{decoy.Raw, s.template.Certificate.Raw}, nil, nil},
		{"decoy last", [][]byte{s.template.Certificate.Raw, decoy.Raw}, nil, nil},
		{"twin first", [][]byte{sameNames.Raw, s.template.Certificate.Raw}, nil, nil},
		{"twin only", [][]byte{sameNames.Raw}, nil, ErrBinding},
		{"same key under another certificate", [][]byte{sameKey.Raw}, nil, ErrBinding},
		{"decoy only", [][]byte{decoy.Raw}, nil, ErrNoCertificate},
		{"none", nil, nil, ErrNoCertificate},
		{"twins without a reference", [][]byte{sameNames.Raw, s.template.Certificate.Raw}, drop(OIDSigningCertificateV2), ErrBinding},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := mustParse(t, s.message)
			if c.change != nil {
				d = s.resigned(t, c.change)
			}
			d.Certificates = c.certificates
			v, err := d.Verify(&d.SignerInfos[0], s.digest())
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if c.want == nil && !bytes.Equal(v.Raw, s.template.Certificate.Raw) {
				t.Error("another certificate was chosen")
			}
		})
	}
	t.Run("certificate from elsewhere", func(t *testing.T) {
		d := mustParse(t, s.message)
		d.Certificates = nil
		if _, err := d.Verify(&d.SignerInfos[0], s.digest(), s.template.Certificate.Raw); err != nil {
			t.Error(err)
		}
	})
	t.Run("subject key identifier", func(t *testing.T) {
		d := mustParse(t, s.message)
		d.SignerInfos[0].SubjectKeyID = s.template.Certificate.SubjectKeyId
		if v, err := d.Verify(&d.SignerInfos[0], s.digest()); err != nil || !v.Bound {
			t.Errorf("got %+v, %v", v, err)
		}
	})
}

// TestVerifyWithoutSignedAttributes: the value signs the content itself, which
// is told (P-11).
func TestVerifyWithoutSignedAttributes(t *testing.T) {
	s := newSpecimen(t, newKey(t), false)
	d := mustParse(t, s.message)
	si := &d.SignerInfos[0]
	si.SignedAttributes, si.signed = nil, nil
	if _, err := d.Verify(si, s.digest()); !errors.Is(err, ErrSignature) {
		t.Errorf("stripped attributes: %v", err)
	}
	si.Signature = s.sign(t, s.content)
	if v, err := d.Verify(si, s.digest()); err != nil || v.SignedAttributes {
		t.Errorf("got %+v, %v", v, err)
	}
}

func TestVerifyRefusesValuesAndAlgorithms(t *testing.T) {
	s := newSpecimen(t, newKey(t), false)
	for _, c := range []struct {
		name   string
		change func(*SignerInfo)
		want   error
	}{
		{"flipped value", func(si *SignerInfo) {
			si.Signature = bytes.Clone(si.Signature)
			si.Signature[len(si.Signature)-1] ^= 1
		}, ErrSignature},
		{"r and s are zero (P-26)", func(si *SignerInfo) { si.Signature = []byte{0x30, 6, 2, 1, 0, 2, 1, 0} }, ErrSignature},
		{"empty value", func(si *SignerInfo) { si.Signature = nil }, ErrSignature},
		{"unknown digest", func(si *SignerInfo) { si.DigestAlgorithm.Algorithm = "1.2.3" }, ErrAlgorithm},
		{"digest with parameters", func(si *SignerInfo) { si.DigestAlgorithm.Parameters = []byte{2, 1, 0} }, ErrFormat},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := mustParse(t, s.message)
			c.change(&d.SignerInfos[0])
			if _, err := d.Verify(&d.SignerInfos[0], s.digest()); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	sum := sha256.Sum256([]byte("other"))
	d := mustParse(t, s.message)
	if _, err := d.Verify(&d.SignerInfos[0], sum[:]); !errors.Is(err, ErrDigest) {
		t.Errorf("other content: %v", err)
	}
}
