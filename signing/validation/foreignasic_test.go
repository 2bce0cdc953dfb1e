package validation_test

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"slices"
	"strings"
)

const (
	typeE = "application/vnd.etsi.asic-e+zip"
	typeS = "application/vnd.etsi.asic-s+zip"
)

// xadesOver is a XAdES signature file over references.
func (w *workshop) xadesOver(references ...string) []byte {
	f := w.newForm(references...)
	return []byte(w.goSeal(`<asic:XAdESSignatures xmlns:asic="http://uri.etsi.org/02918/v1.2.1#">` + f.text() + `</asic:XAdESSignatures>`))
}

// fileReference is a reference to a file with its digest.
func fileReference(attributes string, data []byte) string {
	sum := sha256.Sum256(data)
	return strings.Replace(reference(attributes), "<ds:DigestValue/>", "<ds:DigestValue>"+encode(sum[:])+"</ds:DigestValue>", 1)
}

func odfManifest(entries ...string) []byte {
	text := `<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"><manifest:file-entry manifest:full-path="/" manifest:media-type="` + typeE + `"/>`
	for _, e := range entries {
		name, kind, ok := strings.Cut(e, "|")
		if !ok {
			kind = "text/xml"
		}
		text += `<manifest:file-entry manifest:full-path="` + name + `" manifest:media-type="` + kind + `"/>`
	}
	return []byte(text + `</manifest:manifest>`)
}

// asicManifestOver is an ASiCManifest over files, in the order of names.
func asicManifestOver(signature string, references ...string) []byte {
	return []byte(`<asic:ASiCManifest xmlns:asic="http://uri.etsi.org/02918/v1.2.1#" xmlns:ds="` + dsig + `"><asic:SigReference MimeType="application/pkcs7-signature" URI="` + signature + `"/>` + strings.Join(references, "") + `</asic:ASiCManifest>`)
}

func dataReference(uri string, data []byte) string {
	sum := sha256.Sum256(data)
	return `<asic:DataObjectReference MimeType="text/plain" URI="` + uri + `"><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue>` + encode(sum[:]) + `</ds:DigestValue></asic:DataObjectReference>`
}

func (w *workshop) cmsOver(data []byte) []byte {
	m := w.newMessage(data, w.newSigner(data))
	m.content = nil
	return m.raw()
}

// parts are the files of a container whose letter is signed with XAdES.
type parts struct{ file, manifest, signature entry }

const nameLetter = "letter.xml"

func (w *workshop) parts() parts {
	data := []byte(letter)
	return parts{
		file:      entry{nameLetter, data, false},
		manifest:  entry{"META-INF/manifest.xml", odfManifest(nameLetter), false},
		signature: entry{"META-INF/signatures0.xml", w.xadesOver(fileReference(`Id="r1" URI="letter.xml"`, data)), false},
	}
}

func typed(kind string) entry { return entry{"mimetype", []byte(kind), true} }

func (w *workshop) addContainer(name, form string, all ...entry) { w.add(name, form, w.zip(all), "") }

// extended adds an ASiC-E with XAdES, extendedCMS one with CAdES, simple an ASiC-S.
func (w *workshop) extended(name string, all ...entry) {
	w.addContainer("E-X "+name, ".asice", append([]entry{typed(typeE)}, all...)...)
}

func (w *workshop) extendedCMS(name string, all ...entry) {
	w.addContainer("E-C "+name, ".sce", append([]entry{typed(typeE)}, all...)...)
}

func (w *workshop) simple(name, form string, all ...entry) {
	w.addContainer("S "+name, form, append([]entry{typed(typeS)}, all...)...)
}

func (w *workshop) foreignContainers() {
	w.namedFiles()
	w.listedFiles()
	w.filesAround()
	w.signedFiles()
	w.typedContainers()
	w.manifestsOfCMS()
	w.severalManifests()
	w.simpleContainers()
	w.zipped()
}

// namedFiles have names that are hard to refer to.
func (w *workshop) namedFiles() {
	e, data := w.extended, []byte(letter)
	for label, pair := range map[string][2]string{
		"blank as %20": {"a b.xml", "a%20b.xml"}, "blank bare": {"a b.xml", "a b.xml"}, "blank as +": {"a b.xml", "a+b.xml"}, "plus bare": {"a+b.xml", "a+b.xml"}, "plus escaped": {"a+b.xml", "a%2Bb.xml"},
		"umlaut bare": {"äõ.xml", "äõ.xml"}, "umlaut escaped": {"äõ.xml", "%C3%A4%C3%B5.xml"}, "umlaut latin": {"äõ.xml", "%E4%F5.xml"}, "composed and not": {"\u00f5.xml", "o\u0303.xml"},
		"percent": {"100%.xml", "100%25.xml"}, "percent bare": {"100%.xml", "100%.xml"}, "looks escaped": {"a%20b.xml", "a%2520b.xml"}, "looks escaped, bare": {"a%20b.xml", "a%20b.xml"},
		"hash": {"a#b.xml", "a%23b.xml"}, "ampersand": {"a&b.xml", "a&amp;b.xml"}, "folder": {"f/letter.xml", "f/letter.xml"}, "dot slash": {"letter.xml", "./letter.xml"}, "slash": {"letter.xml", "/letter.xml"},
		"brackets": {"a[1](2).xml", "a%5B1%5D%282%29.xml"}, "question": {"a?.xml", "a%3F.xml"}, "semicolon": {"a;b,c.xml", "a;b,c.xml"}, "case": {"Letter.xml", "letter.xml"}, "cyrillic": {"письмо.xml", "письмо.xml"},
		"apostrophe": {"a'b.xml", "a'b.xml"}, "emoji": {"\U0001F600.xml", "%F0%9F%98%80.xml"}, "ends with blank": {"a .xml ", "a%20.xml%20"},
	} {
		e("name, "+label, entry{pair[0], data, false}, entry{"META-INF/manifest.xml", odfManifest(strings.ReplaceAll(pair[0], "&", "&amp;")), false},
			entry{"META-INF/signatures0.xml", w.xadesOver(fileReference(`Id="r1" URI="`+pair[1]+`"`, data)), false})
	}
	p := w.parts()
	for _, n := range []string{"META-INF/signatures.xml", "META-INF/signatures1.xml", "META-INF/mysignatures.xml", "META-INF/signature.xml", "META-INF/SIGNATURES0.XML", "META-INF/signatures0.sig", "META-INF/x/signatures0.xml", "signatures0.xml", "meta-inf/signatures0.xml", "META-INF/documentsignatures.xml"} {
		e("signature named "+n, p.file, p.manifest, entry{n, p.signature.data, false})
	}
}

// listedFiles are listed in manifest.xml, or not.
func (w *workshop) listedFiles() {
	p := w.parts()
	e, file, man, sig := w.extended, p.file, p.manifest, p.signature
	const name = nameLetter
	for label, m := range map[string][]byte{
		"without the file": odfManifest(), "with a missing file": odfManifest(name, "gone.txt"), "with another type": odfManifest(name + "|text/plain"), "with the signature": odfManifest(name, "META-INF/signatures0.xml"),
		"with a folder": odfManifest(name, "f/"), "twice": odfManifest(name, name), "of a text document": bytes.Replace(odfManifest(name), []byte(typeE), []byte("application/vnd.oasis.opendocument.text"), 1),
		"of an ASiC-S": bytes.Replace(odfManifest(name), []byte(typeE), []byte(typeS), 1), "without root entry": bytes.Replace(odfManifest(name), []byte(`full-path="/"`), []byte(`full-path="x/"`), 1),
		"empty": {}, "junk": []byte("junk"), "other root": []byte("<a/>"), "escaped name": odfManifest("letter%2Exml"),
	} {
		e("manifest "+label, file, entry{man.name, m, false}, sig)
	}
}

// filesAround stand beside what is signed.
func (w *workshop) filesAround() {
	p := w.parts()
	e, file, man, sig := w.extended, p.file, p.manifest, p.signature
	const name = nameLetter
	e("no manifest", file, sig)
	e("file added", file, entry{"more.txt", []byte("more"), false}, man, sig)
	e("file added and listed", file, entry{"more.txt", []byte("more"), false}, entry{man.name, odfManifest(name, "more.txt|text/plain"), false}, sig)
	e("file in META-INF", file, man, sig, entry{"META-INF/more.txt", []byte("more"), false})
	e("empty file added", file, entry{"empty.txt", nil, false}, man, sig)
	e("folder entry", file, man, sig, entry{"f/", nil, true})
	e("folder META-INF", file, entry{"META-INF/", nil, true}, man, sig)
	e("signature first", sig, man, file)
}

// signedFiles are referred to in other ways.
func (w *workshop) signedFiles() {
	p := w.parts()
	e, file, man, sig, data := w.extended, p.file, p.manifest, p.signature, p.file.data
	two := entry{"META-INF/signatures1.xml", w.xadesOver(fileReference(`Id="r1" URI="letter.xml"`, data)), false}
	e("two signatures", file, man, sig, two)
	e("two in one file", file, man, entry{sig.name, []byte(strings.Replace(string(sig.data), "</asic:XAdESSignatures>", strings.NewReplacer(`"s`, `"t`, `"#s`, `"#t`).Replace(string(sig.data[bytes.Index(sig.data, []byte("<ds:Sig")):bytes.LastIndex(sig.data, []byte("</asic"))]))+"</asic:XAdESSignatures>", 1)), false})
	e("second junk", file, man, sig, entry{two.name, []byte("junk"), false})
	e("second empty", file, man, sig, entry{two.name, nil, false})
	e("second without signature", file, man, sig, entry{two.name, []byte(`<asic:XAdESSignatures xmlns:asic="http://uri.etsi.org/02918/v1.2.1#"/>`), false})
	e("second over another file", file, man, sig, entry{two.name, w.xadesOver(fileReference(`Id="r1" URI="gone.txt"`, data)), false})
	e("second over the first", file, man, sig, entry{two.name, w.xadesOver(fileReference(`Id="r1" URI="META-INF/signatures0.xml"`, sig.data)), false})
	e("over the mimetype", file, man, entry{sig.name, w.xadesOver(fileReference(`Id="r1" URI="mimetype"`, []byte(typeE))), false})
	e("over file and mimetype", file, man, entry{sig.name, w.xadesOver(fileReference(`Id="r1" URI="letter.xml"`, data), fileReference(`Id="r2" URI="mimetype"`, []byte(typeE))), false})
	e("over the manifest", file, man, entry{sig.name, w.xadesOver(fileReference(`Id="r1" URI="letter.xml"`, data), fileReference(`Id="r2" URI="META-INF/manifest.xml"`, man.data)), false})
	e("one of two missing", file, man, entry{sig.name, w.xadesOver(fileReference(`Id="r1" URI="letter.xml"`, data), fileReference(`Id="r2" URI="gone.txt"`, data)), false})
	e("one of two changed", file, entry{"more.txt", []byte("more"), false}, man, entry{sig.name, w.xadesOver(fileReference(`Id="r1" URI="letter.xml"`, data), fileReference(`Id="r2" URI="more.txt"`, data)), false})
	e("missing first, changed second", entry{"more.txt", []byte("more"), false}, man, entry{sig.name, w.xadesOver(fileReference(`Id="r1" URI="letter.xml"`, data), fileReference(`Id="r2" URI="more.txt"`, data)), false})
	e("file twice referred", file, man, entry{sig.name, w.xadesOver(fileReference(`Id="r1" URI="letter.xml"`, data), fileReference(`Id="r2" URI="letter.xml"`, data)), false})
	e("canonical form of the file", file, man, entry{sig.name, w.containerForm(w.newForm(reference(`Id="r1" URI="letter.xml"`, transform(inclusive))), data), false})
	e("root is the signature", file, man, entry{sig.name, []byte(w.goSeal(w.newForm(fileReference(`Id="r1" URI="letter.xml"`, data)).text())), false})
	e("root is that of text documents", file, man, entry{sig.name, []byte(w.goSeal(`<document-signatures xmlns="urn:oasis:names:tc:opendocument:xmlns:digitalsignature:1.0">` + w.newForm(fileReference(`Id="r1" URI="letter.xml"`, data)).text() + `</document-signatures>`)), false})
	env := w.newForm(reference(`Id="r1" Type="`+dsig+`Object" URI="#o"`, transform(exclusive)))
	env.objects = `<ds:Object Id="o">Good morning.</ds:Object>`
	e("enveloping signature", file, man, entry{sig.name, []byte(w.sealed(`<asic:XAdESSignatures xmlns:asic="http://uri.etsi.org/02918/v1.2.1#">` + env.text() + `</asic:XAdESSignatures>`)), false})
	e("reference to whole signature file", file, man, entry{sig.name, []byte(w.sealed(`<asic:XAdESSignatures xmlns:asic="http://uri.etsi.org/02918/v1.2.1#">` + w.newForm(reference(`Id="r1" URI=""`, transform(enveloped), transform(exclusive))).text() + `</asic:XAdESSignatures>`)), false})
	e("XAdES and CAdES", file, man, sig, entry{"META-INF/ASiCManifest.xml", asicManifestOver("META-INF/signature.p7s", dataReference(nameLetter, data)), false}, entry{"META-INF/signature.p7s", w.cmsOver(asicManifestOver("META-INF/signature.p7s", dataReference(nameLetter, data))), false})
	e("CAdES of ASiC-S beside", file, man, sig, entry{"META-INF/signature.p7s", w.cmsOver(data), false})
}

// typedContainers say otherwise what they are.
func (w *workshop) typedContainers() {
	p := w.parts()
	e, add, mimetype, file, man, sig := w.extended, w.addContainer, typed, p.file, p.manifest, p.signature
	e("mimetype in the comment only", file, man, sig)
	w.all[len(w.all)-1].document = w.zipWith(typeE, false, file, man, sig)
	e("mimetype with BOM", file, man, sig)
	w.all[len(w.all)-1].document = w.zip([]entry{mimetype("\ufeff" + typeE), file, man, sig})
	add("E-X mimetype of bdoc", ".bdoc", mimetype("application/vnd.bdoc-1.0"), file, man, sig)
	add("E-X mimetype upper case", ".asice", mimetype(strings.ToUpper(typeE)), file, man, sig)
	add("E-X no mimetype", ".asice", file, man, sig)
	add("E-X mimetype of ASiC-S", ".asice", mimetype(typeS), file, man, sig)
	add("E-X empty mimetype", ".asice", mimetype(""), file, man, sig)
}

// manifestsOfCMS are signed by CMS.
func (w *workshop) manifestsOfCMS() {
	data := []byte(letter)
	const name = nameLetter
	c, file := w.extendedCMS, entry{name, data, false}
	mf := asicManifestOver("META-INF/signature001.p7s", dataReference(name, data))
	manifest := entry{"META-INF/ASiCManifest001.xml", mf, false}
	p7s := entry{"META-INF/signature001.p7s", w.cmsOver(mf), false}
	over := func(m []byte) []entry {
		return []entry{file, {manifest.name, m, false}, {p7s.name, w.cmsOver(m), false}}
	}
	c("plain", file, manifest, p7s)
	c("file changed", entry{name, []byte("else"), false}, manifest, p7s)
	c("file missing", manifest, p7s)
	c("file added", file, entry{"more.txt", []byte("more"), false}, manifest, p7s)
	c("manifest missing", file, p7s)
	c("signature missing", file, manifest)
	c("manifest changed", file, entry{manifest.name, append(slices.Clone(mf), '\n'), false}, p7s)
	c("manifest junk", file, entry{manifest.name, []byte("junk"), false}, p7s)
	c("manifest about another signature", over(asicManifestOver("META-INF/signature002.p7s", dataReference(name, data)))...)
	c("manifest about nothing", over(asicManifestOver("META-INF/signature001.p7s"))...)
	c("manifest with wrong digest", over(asicManifestOver("META-INF/signature001.p7s", dataReference(name, []byte("else"))))...)
	c("manifest with a missing file", over(asicManifestOver("META-INF/signature001.p7s", dataReference(name, data), dataReference("gone.txt", data)))...)
	c("manifest with a missing and a changed file", over(asicManifestOver("META-INF/signature001.p7s", dataReference("gone.txt", data), dataReference(name, []byte("else"))))...)
	c("manifest with unknown digest", over(bytes.Replace(mf, []byte("xmlenc#sha256"), []byte("xmlenc#sha999"), 1))...)
	c("manifest with a file twice", over(asicManifestOver("META-INF/signature001.p7s", dataReference(name, data), dataReference(name, data)))...)
	c("manifest of the old namespace", over(bytes.ReplaceAll(mf, []byte("02918/v1.2.1"), []byte("2918/v1.2.1")))...)
	c("manifest with escaped names", file, entry{"a b.txt", data, false}, entry{manifest.name, asicManifestOver("META-INF/signature001.p7s", dataReference("a%20b.txt", data), dataReference(name, data)), false}, entry{p7s.name, w.cmsOver(asicManifestOver("META-INF/signature001.p7s", dataReference("a%20b.txt", data), dataReference(name, data))), false})
}

// severalManifests name one signature or more.
func (w *workshop) severalManifests() {
	data := []byte(letter)
	const name = nameLetter
	c, file := w.extendedCMS, entry{name, data, false}
	mf := asicManifestOver("META-INF/signature001.p7s", dataReference(name, data))
	manifest := entry{"META-INF/ASiCManifest001.xml", mf, false}
	p7s := entry{"META-INF/signature001.p7s", w.cmsOver(mf), false}
	mf2 := asicManifestOver("META-INF/signature002.p7s", dataReference(name, data))
	second := []entry{{"META-INF/ASiCManifest002.xml", mf2, false}, {"META-INF/signature002.p7s", w.cmsOver(mf2), false}}
	c("two", append([]entry{file, manifest, p7s}, second...)...)
	c("two, one junk", file, manifest, p7s, second[0], entry{second[1].name, []byte("junk"), false})
	c("two, signatures swapped", file, entry{manifest.name, mf, false}, entry{p7s.name, second[1].data, false}, second[0], entry{second[1].name, p7s.data, false})
	c("two, one manifest missing", file, manifest, p7s, second[1])
	c("two manifests, one signature", file, manifest, p7s, entry{"META-INF/ASiCManifest002.xml", mf, false})
	attached := w.newMessage(mf, w.newSigner(mf)).raw()
	c("attached", file, manifest, entry{p7s.name, attached, false})
	elseMessage := w.newMessage(data, w.newSigner(data)).raw()
	c("attached over the file", file, manifest, entry{p7s.name, elseMessage, false})
	c("signature over the file", file, manifest, entry{p7s.name, w.cmsOver(data), false})
	c("signature empty", file, manifest, entry{p7s.name, nil, false})
	c("manifest named otherwise", file, entry{"META-INF/manifest001.xml", mf, false}, p7s)
	c("signature named otherwise", append([]entry{file}, entry{manifest.name, asicManifestOver("META-INF/x.p7s", dataReference(name, data)), false}, entry{"META-INF/x.p7s", w.cmsOver(asicManifestOver("META-INF/x.p7s", dataReference(name, data))), false})...)
	c("signature p7m", append([]entry{file}, entry{manifest.name, asicManifestOver("META-INF/signature001.p7m", dataReference(name, data)), false}, entry{"META-INF/signature001.p7m", w.cmsOver(asicManifestOver("META-INF/signature001.p7m", dataReference(name, data))), false})...)
	c("no data", entry{manifest.name, asicManifestOver("META-INF/signature001.p7s", dataReference("mimetype", []byte(typeE))), false}, entry{p7s.name, w.cmsOver(asicManifestOver("META-INF/signature001.p7s", dataReference("mimetype", []byte(typeE)))), false})
}

// simpleContainers hold one file.
func (w *workshop) simpleContainers() {
	data := []byte(letter)
	const name = nameLetter
	s, add, mimetype, file, sig := w.simple, w.addContainer, typed, entry{name, data, false}, w.parts().signature
	cadesS := entry{"META-INF/signature.p7s", w.cmsOver(data), false}
	xadesS := entry{"META-INF/signatures.xml", sig.data, false}
	s("cades", ".scs", file, cadesS)
	s("xades", ".asics", file, xadesS)
	s("cades, file changed", ".scs", entry{name, []byte("else"), false}, cadesS)
	s("xades, file changed", ".asics", entry{name, []byte("else"), false}, xadesS)
	s("xades, file renamed", ".asics", entry{"other.xml", data, false}, xadesS)
	s("cades, no file", ".scs", cadesS)
	s("xades, no file", ".asics", xadesS)
	s("cades, two files", ".scs", file, entry{"more.txt", []byte("more"), false}, cadesS)
	s("xades, two files", ".asics", file, entry{"more.txt", []byte("more"), false}, xadesS)
	s("cades, file in a folder", ".scs", entry{"f/letter.xml", data, false}, cadesS)
	s("cades, attached", ".scs", file, entry{cadesS.name, w.newMessage(data, w.newSigner(data)).raw(), false})
	s("cades, attached, else", ".scs", file, entry{cadesS.name, w.newMessage([]byte("else"), w.newSigner([]byte("else"))).raw(), false})
	s("cades and xades", ".scs", file, cadesS, xadesS)
	s("cades junk", ".scs", file, entry{cadesS.name, []byte("junk"), false})
	s("xades junk", ".asics", file, entry{xadesS.name, []byte("junk"), false})
	s("xades named signatures0.xml", ".asics", file, entry{"META-INF/signatures0.xml", sig.data, false})
	s("cades named signature1.p7s", ".scs", file, entry{"META-INF/signature1.p7s", cadesS.data, false})
	s("two cades files", ".scs", file, cadesS, entry{"META-INF/signature2.p7s", cadesS.data, false})
	s("no signature", ".scs", file)
	s("stamp junk", ".asics", file, entry{"META-INF/timestamp.tst", []byte("junk"), false})
	s("stamp is a signature", ".asics", file, entry{"META-INF/timestamp.tst", cadesS.data, false})
	s("evidence record", ".asics", file, entry{"META-INF/evidencerecord.ers", []byte("junk"), false})
	s("manifest beside", ".scs", file, cadesS, entry{"META-INF/manifest.xml", odfManifest(name), false})
	add("S cades without mimetype", ".scs", file, cadesS)
	add("S xades without mimetype", ".asics", file, xadesS)
	add("S cades without mimetype as zip", ".zip", file, cadesS)
	add("S mimetype of E", ".scs", mimetype(typeE), file, cadesS)
	add("S xades, mimetype of E", ".asics", mimetype(typeE), file, xadesS)
	add("zip", ".zip", file)
	add("empty zip", ".zip")
	w.add("no zip", ".asice", []byte("PK junk"), "")
	w.add("empty", ".asice", nil, "")
}

// zipped are packed in other ways.
func (w *workshop) zipped() {
	p := w.parts()
	mimetype, file, man, sig := typed, p.file, p.manifest, p.signature
	const name = nameLetter
	plain := w.zip([]entry{mimetype(typeE), file, man, sig})
	w.add("zip, comment", ".asice", w.zipWith("hello", true, file, man, sig), "")
	w.add("zip, bytes in front", ".asice", append([]byte("xxxx"), plain...), "")
	w.add("zip, bytes behind", ".asice", append(slices.Clone(plain), "xxxx"...), "")
	w.add("zip, cut", ".asice", plain[:len(plain)-10], "")
	w.add("zip, central directory cut", ".asice", plain[:len(plain)-100], "")
	w.add("zip, descriptors", ".asice", w.zipStream(mimetype(typeE), file, man, sig), "")
	w.add("zip, stored", ".asice", w.zip([]entry{mimetype(typeE), {file.name, file.data, true}, {man.name, man.data, true}, {sig.name, sig.data, true}}), "")
	crc := bytes.Clone(plain)
	if at := bytes.Index(crc, []byte(name)); at > 30 {
		crc[at-16] ^= 1
	}
	w.add("zip, local checksum wrong", ".asice", crc, "")
	local := bytes.Replace(plain, []byte("letter.xml"), []byte("lettre.xml"), 1)
	w.add("zip, local name differs", ".asice", local, "")
	flagged := bytes.Clone(plain)
	if at := bytes.Index(flagged, []byte(name)); at > 30 {
		flagged[at-24] |= 1
	}
	w.add("zip, encrypted flag", ".asice", flagged, "")
}

// containerForm seals a signature over a file that a transform reads.
func (w *workshop) containerForm(f form, data []byte) []byte {
	// The file is canonical already but for its declaration and line end.
	canonical := data[bytes.Index(data, []byte("<letter")):]
	sum := sha256.Sum256(canonical)
	text := strings.Replace(f.text(), "<ds:DigestValue/>", "<ds:DigestValue>"+encode(sum[:])+"</ds:DigestValue>", 1)
	return []byte(w.goSeal(`<asic:XAdESSignatures xmlns:asic="http://uri.etsi.org/02918/v1.2.1#">` + text + `</asic:XAdESSignatures>`))
}

func (w *workshop) zipWith(comment string, typed bool, all ...entry) []byte {
	if typed {
		all = append([]entry{{"mimetype", []byte(typeE), true}}, all...)
	}
	plain := w.zip(all)
	n := len(plain)
	return append(append(slices.Clone(plain[:n-2]), byte(len(comment)), 0), comment...)
}

func (w *workshop) zipStream(all ...entry) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, e := range all {
		method := zip.Deflate
		if e.stored {
			method = zip.Store
		}
		f, err := z.CreateHeader(&zip.FileHeader{Name: e.name, Method: method})
		if err != nil {
			w.t.Fatal(err)
		}
		if _, err := f.Write(e.data); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		w.t.Fatal(err)
	}
	return b.Bytes()
}
