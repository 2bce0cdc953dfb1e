package cades

import (
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/eidbridge/eidbridge/signing/cms"
	"github.com/eidbridge/eidbridge/signing/revocation"
)

// maxOldValues bounds the pieces of one old attribute that are read.
const maxOldValues = 128

// oldValues reads certificate-values and revocation-values of the older profiles
// and of time-stamp tokens (EN 319 122-2 5.2.3 and 5.2.4).
func oldValues(si *cms.SignerInfo) revocation.Material {
	var all revocation.Material
	for _, raw := range si.UnsignedAttribute(cms.OIDCertificateValues) {
		in := cryptobyte.String(raw)
		var list cryptobyte.String
		if in.ReadASN1(&list, asn1.SEQUENCE) {
			all.Certificates = append(all.Certificates, sequences(list)...)
		}
	}
	for _, raw := range si.UnsignedAttribute(cms.OIDRevocationValues) {
		in := cryptobyte.String(raw)
		var body, wrapped, list cryptobyte.String
		var has bool
		if !in.ReadASN1(&body, asn1.SEQUENCE) || !body.ReadOptionalASN1(&wrapped, &has, explicit(0)) {
			continue
		}
		if has && wrapped.ReadASN1(&list, asn1.SEQUENCE) {
			all.CRLs = append(all.CRLs, sequences(list)...)
		}
		if !body.ReadOptionalASN1(&wrapped, &has, explicit(1)) || !has || !wrapped.ReadASN1(&list, asn1.SEQUENCE) {
			continue
		}
		for _, basic := range sequences(list) {
			all.OCSPs = append(all.OCSPs, cms.WrapBasicOCSP(basic))
		}
	}
	return all
}

func sequences(list cryptobyte.String) [][]byte {
	var all [][]byte
	for !list.Empty() && len(all) < maxOldValues {
		var element cryptobyte.String
		if !list.ReadASN1Element(&element, asn1.SEQUENCE) {
			break
		}
		all = append(all, element)
	}
	return all
}

func explicit(n uint8) asn1.Tag { return asn1.Tag(n).Constructed().ContextSpecific() }
