package cades_test

import (
	"crypto"
	"encoding/asn1"
	"slices"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/signers"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/cades"
	"github.com/eidbridge/eidbridge/signing/cms"
)

// imprintV2 computes what an archive-time-stamp-v2 is about (ETSI TS 101 733 6.4.1)
// from the elements of the DER as they stand: encapContentInfo, content that is
// elsewhere, certificates and crls, and all in the SignerInfo.
func imprintV2(t *testing.T, message, content []byte) []byte {
	t.Helper()
	elements := func(raw asn1.RawValue) []asn1.RawValue {
		var all []asn1.RawValue
		for rest := raw.Bytes; len(rest) > 0; {
			var e asn1.RawValue
			var err error
			if rest, err = asn1.Unmarshal(rest, &e); err != nil {
				t.Fatal(err)
			}
			all = append(all, e)
		}
		return all
	}
	var info asn1.RawValue
	if _, err := asn1.Unmarshal(message, &info); err != nil {
		t.Fatal(err)
	}
	data := elements(elements(elements(info)[1])[0]) // version, algorithms, content, [0], [1], signers
	h := crypto.SHA256.New()
	h.Write(data[2].FullBytes)
	h.Write(content)
	for _, material := range data[3 : len(data)-1] {
		h.Write(material.FullBytes)
	}
	h.Write(elements(data[len(data)-1])[0].Bytes)
	return h.Sum(nil)
}

// TestArchiveTimeStampV2: archive time-stamps of messages from before EN 319 122 prove
// when all else was there, one after the other. They make no level of today.
func TestArchiveTimeStampV2(t *testing.T) {
	t.Parallel()
	country := signers.NewCountry(t)
	for _, detached := range []bool{false, true} {
		message, _ := sign(t, text, country.Citizen, cades.Options{Detached: detached, SigningTime: country.Now(), Level: signing.BaselineLT, Services: country.Services})
		content := contentFor(detached, text)
		inside, elsewhere := text, []byte(nil)
		if detached {
			inside, elsewhere = nil, text
		}
		for range 2 {
			token, err := country.Services.TimeStamps.Stamp(t.Context(), crypto.SHA256, imprintV2(t, message, elsewhere))
			if err != nil {
				t.Fatal(err)
			}
			parsed := parse(t, message)
			if err := parsed.SignerInfos[0].AddUnsigned(cms.OIDArchiveTimeStampV2, token.Raw); err != nil {
				t.Fatal(err)
			}
			message = frame(t, parsed, inside)
		}
		archives := func(message []byte, content signing.Content) []signing.TimeStamp {
			s := verify(t, message, content, country.Trusting()).Signatures[0]
			return slices.DeleteFunc(s.TimeStamps, func(ts signing.TimeStamp) bool { return ts.Kind != signing.ArchiveStamp })
		}
		report := verify(t, message, content, country.Trusting())
		passed(t, report, signing.BaselineLT)
		all := archives(message, content)
		if len(all) != 2 || all[0].Indication != signing.TotalPassed || all[1].Indication != signing.TotalPassed {
			t.Fatalf("detached %t: %+v", detached, all)
		}
		// Both are about every certificate that is there.
		changed := parse(t, message)
		changed.Certificates = changed.Certificates[1:]
		for _, a := range archives(frame(t, changed, inside), content) {
			if a.Indication != signing.TotalFailed || a.SubIndication != signing.HashFailure {
				t.Errorf("a certificate was removed: %+v", a)
			}
		}
		if detached {
			for _, a := range archives(message, nil) {
				if a.Indication != signing.Indeterminate || a.SubIndication != signing.SignedDataNotFound || a.Integrity != signing.Unknown {
					t.Errorf("without the file: %+v", a)
				}
			}
		}
	}
}
