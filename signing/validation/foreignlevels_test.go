package validation_test

import (
	"bytes"
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/cms"
	"github.com/eidbridge/eidbridge/signing/xades"
)

// element is the first element of a name in a document.
func element(document, name string) string {
	return regexp.MustCompile(`(?s)<` + name + `[ >].*?</` + name + `>`).FindString(document)
}

// foreignLevels changes signatures with time-stamps and validation data.
func (w *workshop) foreignLevels() {
	add := func(name, document string) { w.add("level, "+name, ".xml", []byte(document), "") }
	t, lt, lta := w.level(signing.BaselineT, ".xml"), w.level(signing.BaselineLT, ".xml"), w.level(signing.BaselineLTA, ".xml")
	stamp := element(t, "xades:SignatureTimeStamp")
	add("T", t)
	add("T, stamp removed", strings.Replace(t, stamp, "", 1))
	add("T, stamp twice", strings.Replace(t, stamp, stamp+stamp, 1))
	add("T, stamp of another first", strings.Replace(t, stamp, element(w.level(signing.BaselineT, ".xml"), "xades:SignatureTimeStamp")+stamp, 1))
	add("T, stamp damaged", w.damage(t, "xades:EncapsulatedTimeStamp"))
	add("T, stamp's form changed", strings.Replace(t, stamp, strings.Replace(stamp, exclusive, inclusive, 1), 1))
	add("T, content changed", strings.Replace(t, "Good morning", "Good evening", 1))
	add("T, value changed", w.flip(t, `<ds:SignatureValue[^>]*>`))
	values, revocations := element(lt, "xades:CertificateValues"), element(lt, "xades:RevocationValues")
	add("LT", lt)
	add("LT, no revocation values", strings.Replace(lt, revocations, "", 1))
	add("LT, no certificate values", strings.Replace(lt, values, "", 1))
	add("LT, no values", strings.Replace(strings.Replace(lt, revocations, "", 1), values, "", 1))
	add("LT, no stamp", strings.Replace(lt, element(lt, "xades:SignatureTimeStamp"), "", 1))
	add("LT, answer damaged", w.damage(lt, "xades:EncapsulatedOCSPValue"))
	add("LT, values in front of the stamp", strings.Replace(strings.Replace(lt, values, "", 1), "<xades:SignatureTimeStamp", values+"<xades:SignatureTimeStamp", 1))
	archive := element(lta, "xades141:ArchiveTimeStamp")
	add("LTA", lta)
	add("LTA, archive stamp removed", strings.Replace(lta, archive, "", 1))
	add("LTA, archive stamp damaged", strings.Replace(lta, archive, w.damage(archive, "xades:EncapsulatedTimeStamp"), 1))
	add("LTA, content changed", strings.Replace(lta, "Good morning", "Good evening", 1))
	add("LTA, values changed", strings.Replace(lta, element(lta, "xades:CertificateValues"), "", 1))
	add("LTA, property added behind", strings.Replace(lta, "</xades:UnsignedSignatureProperties>", `<x xmlns="urn:x"/></xades:UnsignedSignatureProperties>`, 1))
	add("LTA, property added in front", strings.Replace(lta, "<xades:UnsignedSignatureProperties>", `<xades:UnsignedSignatureProperties><x xmlns="urn:x"/>`, 1))
	add("LTA, archive stamp in front", strings.Replace(strings.Replace(lta, archive, "", 1), "<xades:UnsignedSignatureProperties>", "<xades:UnsignedSignatureProperties>"+archive, 1))
	w.counters()
	w.messageLevels()
}

// damage changes a character near the end of the base64 in an element: a signature.
func (w *workshop) damage(document, name string) string {
	w.t.Helper()
	whole := element(document, name)
	open := strings.Index(whole, ">") + 1
	body := []byte(whole[open : len(whole)-len("</"+name+">")])
	at := len(body) - 8
	if body[at] == 'A' {
		body[at] = 'B'
	} else {
		body[at] = 'A'
	}
	return strings.Replace(document, whole, whole[:open]+string(body)+"</"+name+">", 1)
}

// counters changes documents that are countersigned.
func (w *workshop) counters() {
	add := func(name, document string) { w.add("countersigned, "+name, ".xml", []byte(document), "") }
	whole := w.level("", ".xml")
	var out bytes.Buffer
	if _, err := xades.Countersign(context.Background(), strings.NewReader(whole), int64(len(whole)), &out, "", w.r.credential(), xades.Options{SigningTime: w.r.time()}); err != nil {
		w.t.Fatal(err)
	}
	good := out.String()
	counter := element(good, "xades:CounterSignature")
	main := regexp.MustCompile(`<ds:SignatureValue[^>]*>[^<]*`).FindString(good)
	add("right", good)
	add("value of the counter changed", strings.Replace(good, counter, w.flip(counter, `<ds:SignatureValue[^>]*>`), 1))
	add("digest in the counter changed", strings.Replace(good, counter, w.flip(counter, `<ds:DigestValue>`), 1))
	add("time of the counter changed", strings.Replace(good, counter, regexp.MustCompile(`<xades:SigningTime>2`).ReplaceAllString(counter, "<xades:SigningTime>1"), 1))
	add("type in the counter missing", strings.Replace(good, counter, regexp.MustCompile(` Type="http://uri.etsi.org/01903#CountersignedSignature"`).ReplaceAllString(counter, ""), 1))
	add("value changed", strings.Replace(good, main, w.flip(main+"        ", `<ds:SignatureValue[^>]*>`), 1))
	add("blank in the value", strings.Replace(good, main, main+" ", 1))
	add("content changed", strings.Replace(good, "Good morning", "Good evening", 1))
	add("twice", strings.Replace(good, counter, counter+counter, 1))
	add("empty", strings.Replace(good, counter, "<xades:CounterSignature></xades:CounterSignature>", 1))
	add("counter outside its property", strings.Replace(good, counter, strings.TrimSuffix(counter[strings.Index(counter, "<ds:Signature"):], "</xades:CounterSignature>"), 1))
	add("counter in an object", strings.Replace(strings.Replace(good, counter, "", 1), "</ds:Signature></letter>", "<ds:Object>"+strings.TrimSuffix(counter[strings.Index(counter, "<ds:Signature"):], "</xades:CounterSignature>")+"</ds:Object></ds:Signature></letter>", 1))
	second := w.level("", ".xml")
	target := element(second, "xades:QualifyingProperties")
	add("moved to another", strings.Replace(second, target, strings.Replace(target, "</xades:QualifyingProperties>", "<xades:UnsignedProperties><xades:UnsignedSignatureProperties>"+counter+"</xades:UnsignedSignatureProperties></xades:UnsignedProperties></xades:QualifyingProperties>", 1), 1))
}

// messageLevels changes CMS with time-stamps and validation data.
func (w *workshop) messageLevels() {
	change := func(name string, raw []byte, edit func(*cms.SignedData)) {
		d, err := cms.Parse(raw)
		if err != nil {
			w.t.Fatal(err)
		}
		edit(d)
		out, err := d.Append(nil)
		if err != nil {
			w.t.Fatal(err)
		}
		w.add("level, "+name, ".p7m", out, "")
	}
	t, lt, lta := []byte(w.level(signing.BaselineT, ".p7m")), []byte(w.level(signing.BaselineLT, ".p7m")), []byte(w.level(signing.BaselineLTA, ".p7m"))
	change("T", t, func(*cms.SignedData) {})
	change("LT", lt, func(*cms.SignedData) {})
	change("LTA", lta, func(*cms.SignedData) {})
	change("LT, no revocation data", lt, func(d *cms.SignedData) { d.CRLs = nil })
	change("LT, certificates in another order", lt, func(d *cms.SignedData) { slices.Reverse(d.Certificates) })
	change("LTA, no revocation data", lta, func(d *cms.SignedData) { d.CRLs = nil })
	change("LTA, certificates in another order", lta, func(d *cms.SignedData) { slices.Reverse(d.Certificates) })
	change("LTA, certificate added", lta, func(d *cms.SignedData) { d.Certificates = append(d.Certificates, w.r.strangers.certificate.Raw) })
	change("LTA, certificates fewer", lta, func(d *cms.SignedData) { d.Certificates = d.Certificates[:1] })
}
