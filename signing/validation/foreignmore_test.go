package validation_test

import (
	"encoding/base64"
	"strings"
)

// elsewhereSigned has data beside the signature in the ways of other programs, and
// identifiers of many kinds.
func (w *workshop) elsewhereSigned() {
	content := base64.StdEncoding.EncodeToString([]byte("Good morning."))
	inside := func(f form, content string) string {
		return `<AFIRMA>` + content + f.text() + `</AFIRMA>`
	}
	decoded := w.newForm(reference(`Id="r1" URI="#CONTENT-1"`, transform(dsig+"base64")))
	data := `<CONTENT Id="CONTENT-1" Encoding="` + dsig + `base64" MimeType="text/plain">` + content + `</CONTENT>`
	good := w.goSeal(inside(decoded, data))
	w.addXML("beside, base64", good)
	w.addXML("beside, base64 broken into lines", strings.Replace(good, content, content[:8]+"\n"+content[8:], 1))
	w.addXML("beside, base64 changed", strings.Replace(good, content, base64.StdEncoding.EncodeToString([]byte("Good evening.")), 1))
	plain := w.newForm(reference(`Id="r1" URI="#CONTENT-1"`, transform(inclusive)))
	w.addXML("beside, plain", w.goSeal(inside(plain, data)))
	w.addXML("beside, nested", w.goSeal(inside(plain, `<CONTENT Id="CONTENT-1"><letter xmlns="urn:lab:letter"><!-- c --><text xml:lang="en">Good</text></letter></CONTENT>`)))
	for _, attribute := range []string{"Id", "ID", "id", "xml:id", "AssertionID"} {
		w.addXML("beside, named by "+attribute, w.goSeal(inside(plain, strings.Replace(data, " Id=", " "+attribute+"=", 1))))
	}
	for name, uri := range map[string]string{"escaped": "CONTENT%2D1", "with a blank": "a b", "with a blank, escaped": "a%20b", "with letters": "ä"} {
		id := map[string]string{"escaped": "CONTENT-1", "with a blank": "a b", "with a blank, escaped": "a b", "with letters": "ä"}[name]
		w.addXML("beside, identifier "+name, w.goSeal(inside(w.newForm(reference(`Id="r1" URI="#`+uri+`"`, transform(inclusive))), strings.Replace(data, "CONTENT-1", id, 1))))
	}
	object := w.newForm(oneObject())
	object.objects = `<ds:Object Id="o"><!-- c --><letter xmlns="urn:lab:letter">Good &amp; <![CDATA[<morning>]]></letter></ds:Object>`
	w.addXML("markup inside an object", w.goSeal(object.text()))
	object.objects = `<ds:Object Id="o" MimeType="text/plain" Encoding="urn:x">Good morning.</ds:Object>`
	w.addXML("unknown encoding of an object", w.goSeal(object.text()))
	object.objects = `<ds:Object Id="o"></ds:Object>`
	w.addXML("empty object", w.goSeal(object.text()))
	pkcs7 := w.newForm(wholeLetter())
	pkcs7.keyInfo = `<ds:PGPData><ds:PGPKeyID>AAAA</ds:PGPKeyID></ds:PGPData>` + w.x509Data(w.r.signer.certificate.Raw) + `<x xmlns="urn:x"/>`
	w.addXML("other key information", w.goSeal(inLetter(pkcs7.text())))
	properties := w.newForm(wholeLetter(), reference(`Id="r2" Type="`+dsig+`SignatureProperties" URI="#x"`, transform(exclusive)))
	properties.objects = `<ds:Object><ds:SignatureProperties Id="x"><ds:SignatureProperty Target="#s">x</ds:SignatureProperty></ds:SignatureProperties></ds:Object>`
	w.addXML("signature properties", w.goSeal(inLetter(properties.text())))
	w.addXML("signature properties alone", w.goSeal(inLetter(func() form { f := properties; f.references = f.references[1:]; return f }().text())))
	only := w.newForm(reference(`Id="r1" URI="#sk"`, transform(exclusive)))
	w.addXML("key information alone", w.goSeal(inLetter(only.text())))
}
