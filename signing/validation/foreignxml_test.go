package validation_test

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
)

// wholeLetter, onePart and oneObject are what a signature is about.
func wholeLetter() string {
	return reference(`Id="r1" URI=""`, transform(enveloped), transform(exclusive))
}

func onePart() string { return reference(`Id="r1" URI="#part"`, transform(exclusive)) }

func oneObject() string {
	return reference(`Id="r1" Type="`+dsig+`Object" URI="#o"`, transform(exclusive))
}

// xml adds an XML document.
func (w *workshop) addXML(name, document string) { w.add(name, ".xml", []byte(document), "") }

// signatures written by hand, and what can be done to them.
func (w *workshop) foreignXML() {
	w.addXML("whole letter", w.sealed(inLetter(w.newForm(wholeLetter()).text())))
	w.wrappedParts()
	w.wrappedObjects()
	w.referred()
	w.transformed()
	w.manifested()
	w.outside()
	w.certified()
	w.claimed()
	w.malformed()
	w.rewritten()
}

// wrappedParts moves a signed part and its signature about (threats ).
func (w *workshop) wrappedParts() {
	add := w.addXML
	p := w.sealed(inLetter(w.newForm(onePart()).text()))
	add("part", p)
	const good = `<part Id="part">Good morning.</part>`
	const evil = `<part Id="%s">Good evening.</part>`
	sig := regexp.MustCompile(`(?s)<ds:Signature .*</ds:Signature>`).FindString(p)
	for name, doc := range map[string]string{
		"same id before":        strings.Replace(p, good, fmt.Sprintf(evil, "part")+good, 1),
		"same id after":         strings.Replace(p, good, good+fmt.Sprintf(evil, "part"), 1),
		"same id other attr ID": strings.Replace(p, good, strings.Replace(fmt.Sprintf(evil, "part"), "Id=", "ID=", 1)+good, 1),
		"same id xml:id":        strings.Replace(p, good, strings.Replace(fmt.Sprintf(evil, "part"), "Id=", "xml:id=", 1)+good, 1),
		"moved into object":     strings.Replace(strings.Replace(p, good, fmt.Sprintf(evil, "evil"), 1), "</ds:Signature>", "<ds:Object>"+good[:5]+` xmlns="urn:lab:letter"`+good[5:]+"</ds:Object></ds:Signature>", 1),
		"moved into wrapper":    strings.Replace(p, good, fmt.Sprintf(evil, "evil")+"<wrapper>"+good+"</wrapper>", 1),
		"moved into evil":       strings.Replace(p, good, `<part Id="evil">Good evening.`+good+`</part>`, 1),
		"removed":               strings.Replace(p, good, "", 1),
		"signature moved out":   `<outer xmlns="urn:lab:letter">` + strings.Replace(p[strings.Index(p, "<letter"):], sig, "", 1) + sig + `</outer>`,
		"signature first":       strings.Replace(strings.Replace(p, sig, "", 1), good, sig+good, 1),
		"signature in the part": strings.Replace(strings.Replace(p, sig, "", 1), "morning.</part>", "morning."+sig+"</part>", 1),
		"signature twice":       strings.Replace(p, sig, sig+sig, 1),
	} {
		add("part, "+name, doc)
	}
}

// wrappedObjects does so with what is inside a signature (threats X-50).
func (w *workshop) wrappedObjects() {
	add := w.addXML
	o := w.newForm(oneObject())
	o.objects = `<ds:Object Id="o">Good morning.</ds:Object>`
	e := w.sealed(o.text())
	add("enveloping", e)
	real := `<ds:Object Id="o">Good morning.</ds:Object>`
	xreal := `<ds:Object xmlns:ds="` + dsig + `" Id="o">Good morning.</ds:Object>`
	fake := `<ds:Object Id="o">Good evening.</ds:Object>`
	other := `<ds:Object Id="x">Good evening.</ds:Object>`
	signed := regexp.MustCompile(`(?s)<xades:SignedProperties.*</xades:SignedProperties>`).FindString(e)
	xsigned := strings.Replace(signed, "<xades:SignedProperties", `<xades:SignedProperties xmlns:xades="`+xades132+`" xmlns:ds="`+dsig+`"`, 1)
	fakeSigned := strings.Replace(signed, "2026-01-02", "2001-01-02", 1)
	for name, doc := range map[string]string{
		"content changed":               strings.Replace(e, "morning", "evening", 1),
		"fake object before":            strings.Replace(e, real, fake+real, 1),
		"fake object after":             strings.Replace(e, real, real+fake, 1),
		"object removed":                strings.Replace(e, real, "", 1),
		"object replaced":               strings.Replace(e, real, other, 1),
		"object in object":              strings.Replace(e, real, other+"<ds:Object>"+real+"</ds:Object>", 1),
		"object beside signature":       "<x>" + strings.Replace(e[strings.Index(e, "<ds:Sig"):], real, other, 1) + xreal + "</x>",
		"object before signature":       "<x>" + xreal + strings.Replace(e[strings.Index(e, "<ds:Sig"):], real, other, 1) + "</x>",
		"wrapped as a whole":            "<x>" + e[strings.Index(e, "<ds:Sig"):] + "</x>",
		"object in wrapper":             strings.Replace(e, real, other+"<ds:Object><w>"+real+"</w></ds:Object>", 1),
		"other object added":            strings.Replace(e, real, real+other, 1),
		"type missing":                  w.sealed(strings.Replace(o.text(), `Type="`+dsig+`Object" `, "", 1)),
		"fake properties before":        strings.Replace(e, signed, fakeSigned+signed, 1),
		"fake properties after":         strings.Replace(e, signed, signed+fakeSigned, 1),
		"properties elsewhere":          strings.Replace(strings.Replace(e, signed, strings.Replace(fakeSigned, `Id="sp"`, `Id="x"`, 1), 1), "</ds:Signature>", "<ds:Object>"+xsigned+"</ds:Object></ds:Signature>", 1),
		"properties elsewhere, same id": strings.Replace(strings.Replace(e, signed, fakeSigned, 1), "</ds:Signature>", "<ds:Object>"+xsigned+"</ds:Object></ds:Signature>", 1),
		"properties removed":            strings.Replace(e, signed, "", 1),
		"properties changed":            strings.Replace(e, signed, fakeSigned, 1),
		"qualifying twice":              strings.Replace(e, "</ds:Signature>", `<ds:Object><xades:QualifyingProperties xmlns:xades="`+xades132+`" Target="#s">`+strings.Replace(fakeSigned, `Id="sp"`, `Id="x"`, 1)+`</xades:QualifyingProperties></ds:Object></ds:Signature>`, 1),
		"qualifying in front":           strings.Replace(e, "<ds:Object>", `<ds:Object><xades:QualifyingProperties xmlns:xades="`+xades132+`" Target="#s">`+strings.Replace(fakeSigned, `Id="sp"`, `Id="x"`, 1)+`</xades:QualifyingProperties></ds:Object><ds:Object>`, 1),
		"unsigned properties added":     strings.Replace(e, "</xades:SignedProperties>", "</xades:SignedProperties><xades:UnsignedProperties/>", 1),
	} {
		add("enveloping, "+name, doc)
	}
}

// referred refers in many ways.
func (w *workshop) referred() {
	part, env := onePart(), wholeLetter()
	for name, f := range map[string]form{
		"reference without URI":       w.newForm(part, reference(`Id="r2"`)),
		"xpointer root":               w.newForm(reference(`Id="r1" URI="#xpointer(/)"`, transform(enveloped), transform(exclusive))),
		"xpointer id":                 w.newForm(reference(`Id="r1" URI="#xpointer(id('part'))"`, transform(exclusive))),
		"root by id, enveloped":       w.newForm(reference(`Id="r1" URI="#whole"`, transform(enveloped), transform(exclusive))),
		"inclusive":                   w.newForm(reference(`Id="r1" URI=""`, transform(enveloped), transform(inclusive))),
		"no canonical form":           w.newForm(reference(`Id="r1" URI=""`, transform(enveloped))),
		"part without transforms":     w.newForm(reference(`Id="r1" URI="#part"`)),
		"part twice":                  w.newForm(part, reference(`Id="r2" URI="#part"`, transform(inclusive))),
		"part and whole":              w.newForm(part, reference(`Id="r2" URI=""`, transform(enveloped), transform(exclusive))),
		"canonical twice":             w.newForm(reference(`Id="r1" URI=""`, transform(enveloped), transform(exclusive), transform(inclusive))),
		"canonical twice the same":    w.newForm(reference(`Id="r1" URI=""`, transform(enveloped), transform(exclusive), transform(exclusive))),
		"canonical then enveloped":    w.newForm(reference(`Id="r1" URI="#part"`, transform(inclusive), transform(enveloped))),
		"enveloped on a part":         w.newForm(reference(`Id="r1" URI="#part"`, transform(enveloped), transform(exclusive))),
		"keyinfo signed":              w.newForm(env, reference(`Id="r2" URI="#sk"`, transform(exclusive))),
		"signature value referred":    w.newForm(env, reference(`Id="r2" URI="#s"`, transform(enveloped), transform(exclusive))),
		"properties only":             w.newForm(),
		"xpath not signature":         w.newForm(reference(`Id="r1" URI=""`, xpath("not(ancestor-or-self::ds:Signature)"), transform(exclusive))),
		"xpath not signature, spaces": w.newForm(reference(`Id="r1" URI=""`, xpath(" not( ancestor-or-self::ds:Signature ) "), transform(exclusive))),
		"xpath local-name":            w.newForm(reference(`Id="r1" URI=""`, xpath("not(ancestor-or-self::*[local-name()='Signature'])"), transform(exclusive))),
		"xpath local-name and ns":     w.newForm(reference(`Id="r1" URI=""`, xpath("not(ancestor-or-self::*[local-name()='Signature' and namespace-uri()='"+dsig+"'])"), transform(exclusive))),
		"xpath count here":            w.newForm(reference(`Id="r1" URI=""`, xpath("count(ancestor-or-self::ds:Signature | here()/ancestor::ds:Signature[1]) > count(ancestor-or-self::ds:Signature)"), transform(exclusive))),
		"xpath true":                  w.newForm(reference(`Id="r1" URI=""`, transform(enveloped), xpath("true()"), transform(exclusive))),
		"xpath part":                  w.newForm(reference(`Id="r1" URI=""`, xpath("ancestor-or-self::*[@Id='part']"), transform(exclusive))),
		"xpath by parent":             w.newForm(reference(`Id="r1" URI=""`, xpath("not(ancestor-or-self::ds:Signature[@Id='s'])"), transform(exclusive))),
		"filter2 subtract":            w.newForm(reference(`Id="r1" URI=""`, filter2("subtract", "/descendant::ds:Signature"), transform(exclusive))),
		"filter2 subtract here":       w.newForm(reference(`Id="r1" URI=""`, filter2("subtract", "here()/ancestor::ds:Signature[1]"), transform(exclusive))),
		"filter2 intersect":           w.newForm(reference(`Id="r1" URI=""`, filter2("intersect", "//*[@Id='part']"), transform(exclusive))),
		"filter2 subtract spaced":     w.newForm(reference(`Id="r1" URI=""`, filter2("subtract", " //ds:Signature "), transform(exclusive))),
	} {
		w.addXML(name, w.sealed(inLetter(f.text())))
	}
}

// transformed has base64 and a stylesheet as transforms.
func (w *workshop) transformed() {
	add, in := w.addXML, func(f form) string { return inLetter(f.text()) }
	xslt := `<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xslt-19991116"><xsl:stylesheet xmlns:xsl="http://www.w3.org/1999/XSL/Transform" version="1.0"><xsl:template match="/"><a><xsl:value-of select="//*[@Id='part']"/></a></xsl:template></xsl:stylesheet></ds:Transform>`
	add("xslt", w.goSeal(in(w.newForm(reference(`Id="r1" URI=""`, transform(enveloped), xslt, transform(exclusive))))))
	f := w.newForm(reference(`Id="r1" URI="#o"`, transform(dsig+"base64")))
	f.objects = `<ds:Object Id="o" Encoding="` + dsig + `base64">` + base64.StdEncoding.EncodeToString([]byte("Good morning.")) + `</ds:Object>`
	add("base64 object", w.sealed(f.text()))
	add("base64 object changed", strings.Replace(w.sealed(f.text()), base64.StdEncoding.EncodeToString([]byte("Good morning.")), base64.StdEncoding.EncodeToString([]byte("Good evening.")), 1))
	f.objects = `<ds:Object Id="o">` + "no base64!" + `</ds:Object>`
	add("base64 object is none", strings.Replace(w.sealed(strings.Replace(f.text(), "no base64!", "bm8gYmFzZTY0IQ==", 1)), "bm8gYmFzZTY0IQ==", "no base64!", 1))
}

// manifested signs manifests, and changes them (threats X-49).
func (w *workshop) manifested() {
	add := w.addXML
	m := w.newForm(reference(`Id="r1" Type="`+dsig+`Manifest" URI="#m"`, transform(exclusive)))
	entry := reference(`URI="#o"`, transform(exclusive))
	m.objects = `<ds:Object><ds:Manifest Id="m">` + entry + `</ds:Manifest></ds:Object><ds:Object Id="o">Good morning.</ds:Object>`
	ms := w.sealed(m.text())
	add("manifest", ms)
	man := regexp.MustCompile(`(?s)<ds:Manifest Id="m">.*?</ds:Manifest>`).FindString(ms)
	xman := strings.Replace(man, "<ds:Manifest", `<ds:Manifest xmlns:ds="`+dsig+`"`, 1)
	evilMan := strings.Replace(man, `Id="m"`, `Id="x"`, 1)
	for name, doc := range map[string]string{
		"entry changed":     strings.Replace(ms, "Good morning", "Good evening", 1),
		"entry removed":     strings.Replace(ms, `<ds:Object Id="o">Good morning.</ds:Object>`, "", 1),
		"changed":           strings.Replace(ms, man, strings.Replace(man, "DigestValue>", "DigestValue> ", 1), 1),
		"removed":           strings.Replace(ms, man, "", 1),
		"fake before":       strings.Replace(ms, man, strings.Replace(man, `URI="#o"`, `URI="#e"`, 1)+man, 1),
		"moved into object": strings.Replace(ms, man, evilMan+"</ds:Object><ds:Object><ds:Object>"+man+"</ds:Object>", 1),
		"moved out":         "<x>" + strings.Replace(ms[strings.Index(ms, "<ds:Sig"):], man, evilMan, 1) + xman + "</x>",
		"type missing":      w.sealed(strings.Replace(m.text(), `Type="`+dsig+`Manifest" `, "", 1)),
		"entry fake object": strings.Replace(ms, `<ds:Object Id="o">`, `<ds:Object Id="o">Good evening.</ds:Object><ds:Object Id="o">`, 1),
	} {
		add("manifest, "+name, doc)
	}
	m.objects = `<ds:Object><ds:Manifest Id="m"/></ds:Object>`
	add("manifest empty", w.goSeal(m.text()))
	m.objects = `<ds:Object><ds:Manifest Id="m">` + strings.Replace(reference(`URI="missing.txt"`), "<ds:DigestValue/>", "<ds:DigestValue>"+strings.Repeat("A", 43)+"=</ds:DigestValue>", 1) + `</ds:Manifest></ds:Object>`
	add("manifest of a missing file", w.goSeal(m.text()))
}

// outside refers to what is not there.
func (w *workshop) outside() {
	add, in := w.addXML, func(f form) string { return inLetter(f.text()) }
	for name, uri := range map[string]string{"http": "http://example.invalid/x", "file": "missing.txt", "file scheme": "file:///etc/hostname", "mailto": "mailto:x@example.invalid", "unknown id": "#nowhere", "empty id": "#"} {
		value := strings.Repeat("B", 43) + "="
		add("external "+name, w.goSeal(in(w.newForm(strings.Replace(reference(`Id="r1" URI="`+uri+`"`), "<ds:DigestValue/>", "<ds:DigestValue>"+value+"</ds:DigestValue>", 1)))))
	}
	value := strings.Repeat("B", 43) + "="
	missing := strings.Replace(reference(`Id="r2" URI="missing.txt"`), "<ds:DigestValue/>", "<ds:DigestValue>"+value+"</ds:DigestValue>", 1)
	both := w.goSeal(in(w.newForm(wholeLetter(), missing)))
	add("external beside whole", both)
	add("external beside whole, whole changed", strings.Replace(both, "morning", "evening", 1))
	add("external beside whole, value changed", w.flip(both, `<ds:SignatureValue[^>]*>`))
}

// variants seals signatures of a whole letter that are changed before.
func (w *workshop) variants(all map[string]func(*form)) {
	for name, change := range all {
		f := w.newForm(wholeLetter())
		change(&f)
		w.addXML(name, w.sealed(inLetter(f.text())))
	}
}

// certified names and carries certificates in many ways.
func (w *workshop) certified() {
	rawSigner, rawIssuer, rawRoot := w.r.signer.certificate.Raw, w.r.issuer.certificate.Raw, w.r.root.certificate.Raw
	values := func(raw ...[]byte) string {
		text := "<xades:CertificateValues>"
		for _, c := range raw {
			text += "<xades:EncapsulatedX509Certificate>" + base64.StdEncoding.EncodeToString(c) + "</xades:EncapsulatedX509Certificate>"
		}
		return text + "</xades:CertificateValues>"
	}
	name, serial := w.r.signer.certificate.Issuer.String(), w.r.signer.certificate.SerialNumber.String()
	sha1URI := dsig + "sha1"
	w.variants(map[string]func(*form){
		"cert v1":                   func(f *form) { f.properties = signedAt + w.namedV1(sha1URI, name, serial) },
		"cert v1 other serial":      func(f *form) { f.properties = signedAt + w.namedV1(sha1URI, name, "7") },
		"cert v1 other issuer":      func(f *form) { f.properties = signedAt + w.namedV1(sha1URI, "CN=somebody", serial) },
		"cert v1 unreadable issuer": func(f *form) { f.properties = signedAt + w.namedV1(sha1URI, "///", serial) },
		"cert v1 serial no number":  func(f *form) { f.properties = signedAt + w.namedV1(sha1URI, name, "x") },
		"cert v1 unknown digest":    func(f *form) { f.properties = signedAt + w.namedV1(dsig+"sha999", name, serial) },
		"cert v1 and v2":            func(f *form) { f.properties = signedAt + w.namedV1(sha1URI, name, serial) + w.named() },
		"cert v1 wrong and v2": func(f *form) {
			f.properties = signedAt + strings.Replace(w.namedV1(sha1URI, name, serial), "DigestValue>", "DigestValue>AAAA", 1) + w.named()
		},
		"cert v2 empty": func(f *form) { f.properties = signedAt + "<xades:SigningCertificateV2/>" },
		"cert v2 chain": func(f *form) {
			f.properties = signedAt + "<xades:SigningCertificateV2>" + certDigest(rawSigner, "") + certDigest(rawIssuer, "") + "</xades:SigningCertificateV2>"
		},
		"cert v2 chain reversed": func(f *form) {
			f.properties = signedAt + "<xades:SigningCertificateV2>" + certDigest(rawIssuer, "") + certDigest(rawSigner, "") + "</xades:SigningCertificateV2>"
		},
		"cert v2 of the issuer": func(f *form) {
			f.properties = signedAt + "<xades:SigningCertificateV2>" + certDigest(rawIssuer, "") + "</xades:SigningCertificateV2>"
		},
		"cert v2 twice": func(f *form) { f.properties = signedAt + w.named() + w.named() },
		"cert v2 malformed serial": func(f *form) {
			f.properties = signedAt + "<xades:SigningCertificateV2>" + certDigest(rawSigner, "<xades:IssuerSerialV2>AAAA</xades:IssuerSerialV2>") + "</xades:SigningCertificateV2>"
		},
		"cert in values only":      func(f *form) { f.keyInfo = "-"; f.unsigned = values(rawSigner, rawIssuer) },
		"cert in values, key name": func(f *form) { f.keyInfo = "<ds:KeyName>x</ds:KeyName>"; f.unsigned = values(rawSigner, rawIssuer) },
		"key name only":            func(f *form) { f.keyInfo = "<ds:KeyName>x</ds:KeyName>" },
		"subject name only": func(f *form) {
			f.keyInfo = "<ds:X509Data><ds:X509SubjectName>" + w.r.signer.certificate.Subject.String() + "</ds:X509SubjectName></ds:X509Data>"
		},
		"issuer serial and cert": func(f *form) {
			f.keyInfo = "<ds:X509Data><ds:X509IssuerSerial><ds:X509IssuerName>" + name + "</ds:X509IssuerName><ds:X509SerialNumber>" + serial + "</ds:X509SerialNumber></ds:X509IssuerSerial></ds:X509Data>" + w.x509Data(rawSigner)
		},
		"issuer's certificate only": func(f *form) { f.keyInfo = w.x509Data(rawIssuer) },
		"empty keyinfo":             func(f *form) { f.keyInfo = "<ds:X509Data><ds:X509Certificate></ds:X509Certificate></ds:X509Data>" },
		"junk certificate":          func(f *form) { f.keyInfo = "<ds:X509Data><ds:X509Certificate>AAAA</ds:X509Certificate></ds:X509Data>" },
		"junk before certificate": func(f *form) {
			f.keyInfo = "<ds:X509Data><ds:X509Certificate>!!</ds:X509Certificate></ds:X509Data>" + w.x509Data(rawSigner)
		},
		"two data":                  func(f *form) { f.keyInfo = w.x509Data(rawRoot) + w.x509Data(rawSigner) },
		"no name, no cert property": func(f *form) { f.properties = signedAt },
		"no name, issuer first":     func(f *form) { f.properties = signedAt; f.keyInfo = w.x509Data(rawIssuer, rawSigner) },
		"no properties in signed":   func(f *form) { f.properties = "" },
		"retrieval method":          func(f *form) { f.keyInfo = `<ds:RetrievalMethod URI="http://example.invalid/cert"/>` },
	})
}

// claimed claims many things.
func (w *workshop) claimed() {
	w.variants(map[string]func(*form){
		"policy implied": func(f *form) {
			f.properties = signedAt + w.named() + "<xades:SignaturePolicyIdentifier><xades:SignaturePolicyImplied/></xades:SignaturePolicyIdentifier>"
		},
		"policy empty": func(f *form) { f.properties = signedAt + w.named() + "<xades:SignaturePolicyIdentifier/>" },
		"policy": func(f *form) {
			f.properties = signedAt + w.named() + policyOf("urn:oid:2.999.7", "http://www.w3.org/2001/04/xmlenc#sha256")
		},
		"policy unknown digest": func(f *form) { f.properties = signedAt + w.named() + policyOf("urn:oid:2.999.7", "urn:x") },
		"policy empty id": func(f *form) {
			f.properties = signedAt + w.named() + policyOf("", "http://www.w3.org/2001/04/xmlenc#sha256")
		},
		// properties
		"no target":               func(f *form) { f.target = "" },
		"target of another":       func(f *form) { f.target = "#x" },
		"properties type 1.1.1":   func(f *form) { f.propertyType = "http://uri.etsi.org/01903/v1.1.1#SignedProperties" },
		"properties type 1.3.2":   func(f *form) { f.propertyType = "http://uri.etsi.org/01903/v1.3.2#SignedProperties" },
		"properties type odd":     func(f *form) { f.propertyType = "http://uri.etsi.org/01903/v1.3.2/#SignedProperties" },
		"properties type missing": func(f *form) { f.propertyType = "" },
		"properties not covered":  func(f *form) { f.bare = true },
		"xades 1.2.2": func(f *form) {
			f.space = "http://uri.etsi.org/01903/v1.2.2#"
			f.propertyType = f.space + "SignedProperties"
		},
		"xades 1.1.1": func(f *form) {
			f.space = "http://uri.etsi.org/01903/v1.1.1#"
			f.propertyType = f.space + "SignedProperties"
		},
		"xades 1.4.1":   func(f *form) { f.space = "http://uri.etsi.org/01903/v1.4.1#" },
		"xades unknown": func(f *form) { f.space = "urn:x" },
		"time with offset": func(f *form) {
			f.properties = `<xades:SigningTime>2026-01-02T03:04:05.678+02:00</xades:SigningTime>` + w.named()
		},
		"time without zone": func(f *form) { f.properties = `<xades:SigningTime>2026-01-02T03:04:05</xades:SigningTime>` + w.named() },
		"time is none":      func(f *form) { f.properties = `<xades:SigningTime>yesterday</xades:SigningTime>` + w.named() },
		"time in the future": func(f *form) {
			f.properties = `<xades:SigningTime>2099-01-02T03:04:05Z</xades:SigningTime>` + w.named()
		},
		"properties in wrong order": func(f *form) { f.properties = w.named() + signedAt },
		"unknown property":          func(f *form) { f.properties = signedAt + w.named() + `<x xmlns="urn:x"/>` },
		"format of nothing": func(f *form) {
			f.data = `<xades:DataObjectFormat ObjectReference="#nowhere"><xades:MimeType>text/xml</xades:MimeType></xades:DataObjectFormat>`
		},
		"target is empty": func(f *form) { f.target = "#" },
		// unsigned
		"unsigned unknown": func(f *form) { f.unsigned = `<x xmlns="urn:x"/>` },
		"stamp empty": func(f *form) {
			f.unsigned = `<xades:SignatureTimeStamp><xades:EncapsulatedTimeStamp/></xades:SignatureTimeStamp>`
		},
		"stamp without token": func(f *form) { f.unsigned = `<xades:SignatureTimeStamp/>` },
		"stamp junk": func(f *form) {
			f.unsigned = `<xades:SignatureTimeStamp><xades:EncapsulatedTimeStamp>AAAA</xades:EncapsulatedTimeStamp></xades:SignatureTimeStamp>`
		},
		"stamp no base64": func(f *form) {
			f.unsigned = `<xades:SignatureTimeStamp><xades:EncapsulatedTimeStamp>!!</xades:EncapsulatedTimeStamp></xades:SignatureTimeStamp>`
		},
		"values junk": func(f *form) {
			f.unsigned = `<xades:CertificateValues><xades:EncapsulatedX509Certificate>AAAA</xades:EncapsulatedX509Certificate></xades:CertificateValues><xades:RevocationValues><xades:OCSPValues><xades:EncapsulatedOCSPValue>AAAA</xades:EncapsulatedOCSPValue></xades:OCSPValues></xades:RevocationValues>`
		},
		"signed info with comments": func(f *form) { f.c14n = exclusive + "WithComments" },
		"signed info inclusive":     func(f *form) { f.c14n = inclusive },
	})
}

// malformed breaks the form of signatures.
func (w *workshop) malformed() {
	in, base := func(f form) string { return inLetter(f.text()) }, w.newForm(wholeLetter())
	whole := w.sealed(in(base))
	// what is malformed
	signedInfo := regexp.MustCompile(`(?s)<ds:SignedInfo>.*</ds:SignedInfo>`)
	for n, doc := range map[string]string{
		"empty signature":                inLetter(`<ds:Signature xmlns:ds="` + dsig + `"/>`),
		"empty signature as document":    `<ds:Signature xmlns:ds="` + dsig + `"/>`,
		"no SignedInfo":                  signedInfo.ReplaceAllString(whole, ""),
		"no SignatureValue":              regexp.MustCompile(`<ds:SignatureValue[^>]*>[^<]*</ds:SignatureValue>`).ReplaceAllString(whole, ""),
		"empty SignatureValue":           regexp.MustCompile(`(<ds:SignatureValue[^>]*>)[^<]*`).ReplaceAllString(whole, "$1"),
		"signature with second value":    regexp.MustCompile(`(<ds:SignatureValue[^>]*>[^<]*</ds:SignatureValue>)`).ReplaceAllString(whole, "$1$1"),
		"signature with second info":     signedInfo.ReplaceAllStringFunc(whole, func(s string) string { return s + s }),
		"signature with foreign child":   strings.Replace(whole, "<ds:KeyInfo", `<x xmlns="urn:x"/><ds:KeyInfo`, 1),
		"foreign child at the end":       strings.Replace(whole, "</ds:Signature>", `<x xmlns="urn:x"/></ds:Signature>`, 1),
		"short SignatureValue":           regexp.MustCompile(`(<ds:SignatureValue[^>]*>)[^<]*`).ReplaceAllString(whole, "${1}AAAA"),
		"empty DigestValue":              strings.Replace(whole, regexp.MustCompile(`<ds:DigestValue>[^<]*`).FindString(whole), "<ds:DigestValue>", 1),
		"short DigestValue":              strings.Replace(whole, regexp.MustCompile(`<ds:DigestValue>[^<]*`).FindString(whole), "<ds:DigestValue>AAAA", 1),
		"DigestValue no base64":          strings.Replace(whole, "<ds:DigestValue>", "<ds:DigestValue>!!", 1),
		"SignatureValue no base64":       strings.Replace(whole, `<ds:SignatureValue Id="sv">`, `<ds:SignatureValue Id="sv">!!`, 1),
		"no DigestMethod":                strings.Replace(whole, `<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/>`, "", 1),
		"no SignatureMethod":             regexp.MustCompile(`<ds:SignatureMethod [^>]*>`).ReplaceAllString(whole, ""),
		"no CanonicalizationMethod":      regexp.MustCompile(`<ds:CanonicalizationMethod [^>]*>`).ReplaceAllString(whole, ""),
		"unknown CanonicalizationMethod": strings.Replace(whole, `CanonicalizationMethod Algorithm="`+exclusive, `CanonicalizationMethod Algorithm="urn:x`, 1),
		"other CanonicalizationMethod":   strings.Replace(whole, `CanonicalizationMethod Algorithm="`+exclusive, `CanonicalizationMethod Algorithm="`+inclusive, 1),
		"hmac":                           strings.Replace(whole, "xmldsig-more#ecdsa-sha256", "xmldsig-more#hmac-sha256", 1),
		"dsa":                            strings.Replace(whole, "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256", dsig+"dsa-sha1", 1),
		"rsa-md5":                        strings.Replace(whole, "xmldsig-more#ecdsa-sha256", "xmldsig-more#rsa-md5", 1),
		"ecdsa-sha384":                   strings.Replace(whole, "xmldsig-more#ecdsa-sha256", "xmldsig-more#ecdsa-sha384", 1),
	} {
		w.addXML(n, doc)
	}
}

// rewritten writes the document in another way.
func (w *workshop) rewritten() {
	in, base := func(f form) string { return inLetter(f.text()) }, w.newForm(wholeLetter())
	whole := w.sealed(in(base))
	for n, doc := range map[string]string{
		"comment before":              strings.Replace(whole, "<letter", "<!-- x --><letter", 1),
		"comment after":               whole + "<!-- x -->",
		"instruction before":          strings.Replace(whole, "<letter", "<?x y?><letter", 1),
		"instruction inside":          strings.Replace(whole, "Good morning", "Good <?x y?>morning", 1),
		"attribute added":             strings.Replace(whole, `<part `, `<part x="y" `, 1),
		"declaration added":           strings.Replace(whole, `<part `, `<part xmlns:x="urn:y" `, 1),
		"prefix changed":              strings.Replace(strings.Replace(whole, `<part `, `<p:part xmlns:p="urn:lab:letter" `, 1), "</part>", "</p:part>", 1),
		"attribute order":             strings.Replace(whole, `xmlns="urn:lab:letter" Id="whole"`, `Id="whole" xmlns="urn:lab:letter"`, 1),
		"line ends":                   strings.ReplaceAll(whole, "\n", "\r\n"),
		"BOM":                         "\ufeff" + whole,
		"no declaration":              whole[strings.Index(whole, "<letter"):],
		"version 1.1":                 strings.Replace(whole, `version="1.0"`, `version="1.1"`, 1),
		"latin-1 declared":            strings.Replace(whole, "UTF-8", "ISO-8859-1", 1),
		"doctype":                     strings.Replace(whole, "<letter", "<!DOCTYPE letter><letter", 1),
		"blank in front":              " " + whole,
		"text behind":                 whole + "text",
		"comment in SignedInfo":       w.sealed(strings.Replace(in(base), "<ds:SignedInfo>", "<ds:SignedInfo><!-- x -->", 1)),
		"comment in SignedProperties": w.sealed(strings.Replace(in(base), "<xades:SigningTime>", "<!-- x --><xades:SigningTime>", 1)),
		"comment in DigestValue":      strings.Replace(whole, "</ds:DigestValue>", "<!-- x --></ds:DigestValue>", 1),
		"comment in SignatureValue":   strings.Replace(whole, "</ds:SignatureValue>", "<!-- x --></ds:SignatureValue>", 1),
		"comment in KeyInfo":          strings.Replace(whole, "<ds:X509Data>", "<!-- x --><ds:X509Data>", 1),
		"comment in SigningTime":      strings.Replace(whole, "2026-01", "2026<!-- x -->-01", 1),
		"unsigned letter":             letter,
	} {
		w.addXML(n, doc)
	}
}

func xpath(expression string) string {
	return `<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"><ds:XPath>` + strings.ReplaceAll(expression, ">", "&gt;") + `</ds:XPath></ds:Transform>`
}

func filter2(filter, expression string) string {
	return `<ds:Transform Algorithm="http://www.w3.org/2002/06/xmldsig-filter2"><f:XPath xmlns:f="http://www.w3.org/2002/06/xmldsig-filter2" Filter="` + filter + `">` + expression + `</f:XPath></ds:Transform>`
}

func policyOf(id, digest string) string {
	return `<xades:SignaturePolicyIdentifier><xades:SignaturePolicyId><xades:SigPolicyId><xades:Identifier Qualifier="OIDAsURN">` + id + `</xades:Identifier></xades:SigPolicyId><xades:SigPolicyHash><ds:DigestMethod Algorithm="` + digest + `"/><ds:DigestValue>` + strings.Repeat("C", 43) + `=</ds:DigestValue></xades:SigPolicyHash></xades:SignaturePolicyId></xades:SignaturePolicyIdentifier>`
}
