package validation_test

import (
	"crypto"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/pem"
	"slices"
	"time"
)

// der encodes what must be encodable.
func der(tag int, parts ...[]byte) []byte {
	body := slices.Concat(parts...)
	n := len(body)
	out := []byte{byte(tag)}
	switch {
	case n < 128:
		out = append(out, byte(n))
	case n < 256:
		out = append(out, 0x81, byte(n))
	case n < 65536:
		out = append(out, 0x82, byte(n>>8), byte(n))
	default:
		out = append(out, 0x83, byte(n>>16), byte(n>>8), byte(n))
	}
	return append(out, body...)
}

func oid(arcs ...int) []byte {
	out, err := asn1.Marshal(asn1.ObjectIdentifier(arcs))
	if err != nil {
		panic(err)
	}
	return out
}

func number(n int) []byte {
	out, err := asn1.Marshal(n)
	if err != nil {
		panic(err)
	}
	return out
}

func attribute(id []byte, values ...[]byte) []byte { return der(0x30, id, der(0x31, values...)) }

func pkcs9(arcs ...int) []byte { return oid(append([]int{1, 2, 840, 113549, 1, 9}, arcs...)...) }

// message is a CMS message that is written by hand.
type message struct {
	version      int
	contentType  []byte
	content      []byte // nil for a detached one
	wrapped      []byte // in place of the OCTET STRING around the content
	certificates [][]byte
	crls         [][]byte
	signers      [][]byte
	digests      [][]byte
}

// signerInfo is a SignerInfo that is written by hand and signed by the realm's signer.
type signerInfo struct {
	version    int
	sid        []byte
	digest     []byte // AlgorithmIdentifier
	attributes [][]byte
	bare       bool // no signed attributes
	unsorted   bool
	method     []byte
	unsigned   [][]byte
	over       []byte // signed without attributes
	value      []byte // in place of the right one
}

func sha256ID() []byte { return der(0x30, oid(2, 16, 840, 1, 101, 3, 4, 2, 1)) }

func dataOID() []byte { return oid(1, 2, 840, 113549, 1, 7, 1) }

// newSigner is a SignerInfo over content.
func (w *workshop) newSigner(content []byte) signerInfo {
	c := w.r.signer.certificate
	serial, err := asn1.Marshal(c.SerialNumber)
	if err != nil {
		w.t.Fatal(err)
	}
	sum, id := sha256.Sum256(content), sha256.Sum256(c.Raw)
	at, err := asn1.Marshal(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	if err != nil {
		w.t.Fatal(err)
	}
	return signerInfo{
		version: 1, sid: der(0x30, c.RawIssuer, serial), digest: sha256ID(), method: der(0x30, oid(1, 2, 840, 10045, 4, 3, 2)),
		attributes: [][]byte{
			attribute(pkcs9(3), dataOID()), attribute(pkcs9(4), der(0x04, sum[:])), attribute(pkcs9(5), at),
			attribute(pkcs9(16, 2, 47), der(0x30, der(0x30, der(0x30, der(0x04, id[:]))))),
		},
		over: content,
	}
}

func (w *workshop) signInfo(s signerInfo) []byte {
	w.t.Helper()
	list := slices.Clone(s.attributes)
	if !s.unsorted {
		slices.SortFunc(list, slices.Compare)
	}
	signed := der(0xA0, list...)
	over := der(0x31, list...)
	if s.bare {
		signed, over = nil, s.over
	}
	sum := sha256.Sum256(over)
	value, err := w.r.signer.key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		w.t.Fatal(err)
	}
	if s.value != nil {
		value = s.value
	}
	var unsigned []byte
	if len(s.unsigned) > 0 {
		unsigned = der(0xA1, s.unsigned...)
	}
	return der(0x30, number(s.version), s.sid, s.digest, signed, s.method, der(0x04, value), unsigned)
}

func (w *workshop) newMessage(content []byte, signers ...signerInfo) message {
	m := message{version: 1, contentType: dataOID(), content: content, certificates: [][]byte{w.r.signer.certificate.Raw, w.r.issuer.certificate.Raw}, digests: [][]byte{sha256ID()}}
	for _, s := range signers {
		m.signers = append(m.signers, w.signInfo(s))
	}
	return m
}

func (m message) raw() []byte {
	content := []byte(nil)
	if m.content != nil {
		content = der(0xA0, der(0x04, m.content))
	}
	if m.wrapped != nil {
		content = der(0xA0, m.wrapped)
	}
	var certificates, crls []byte
	if m.certificates != nil {
		certificates = der(0xA0, m.certificates...)
	}
	if m.crls != nil {
		crls = der(0xA1, m.crls...)
	}
	return der(0x30, oid(1, 2, 840, 113549, 1, 7, 2), der(0xA0, der(0x30, number(m.version), der(0x31, m.digests...), der(0x30, m.contentType, content), certificates, crls, der(0x31, m.signers...))))
}

func (w *workshop) addCMS(name string, document []byte) { w.add("cms, "+name, ".p7m", document, "") }

// withSigner adds a message whose signer is changed before it signs.
func (w *workshop) withSigner(name string, change func(*signerInfo)) {
	s := w.newSigner([]byte(letter))
	change(&s)
	w.addCMS(name, w.newMessage([]byte(letter), s).raw())
}

// withMessage adds one that is changed afterwards.
func (w *workshop) withMessage(name string, change func(*message)) {
	m := w.newMessage([]byte(letter), w.newSigner([]byte(letter)))
	change(&m)
	w.addCMS(name, m.raw())
}

// messages written by hand, and what can be done to them.
func (w *workshop) foreignCMS() {
	w.attributed()
	w.bound()
	w.identified()
	w.countersigned()
	w.messages()
	w.detached()
}

// attributed has other signed attributes than the standard (RFC 5652 5.3, 11).
func (w *workshop) attributed() {
	with := w.withSigner
	drop := func(s *signerInfo, i int) { s.attributes = slices.Delete(slices.Clone(s.attributes), i, i+1) }
	with("plain", func(*signerInfo) {})
	with("no content-type", func(s *signerInfo) { drop(s, 0) })
	with("no message-digest", func(s *signerInfo) { drop(s, 1) })
	with("no signing-time", func(s *signerInfo) { drop(s, 2) })
	with("no ess", func(s *signerInfo) { drop(s, 3) })
	with("no attributes", func(s *signerInfo) { s.bare = true })
	with("attributes empty", func(s *signerInfo) { s.attributes = nil })
	with("attributes unsorted", func(s *signerInfo) {
		s.unsorted = true
		slices.SortFunc(s.attributes, func(a, b []byte) int { return -slices.Compare(a, b) })
	})
	with("attribute twice, content-type", func(s *signerInfo) { s.attributes = append(s.attributes, s.attributes[0]) })
	with("attribute twice, message-digest", func(s *signerInfo) { s.attributes = append(s.attributes, s.attributes[1]) })
	with("attribute twice, signing-time", func(s *signerInfo) { s.attributes = append(s.attributes, s.attributes[2]) })
	with("attribute twice, ess", func(s *signerInfo) { s.attributes = append(s.attributes, s.attributes[3]) })
	with("message-digest with two values", func(s *signerInfo) {
		s.attributes[1] = attribute(pkcs9(4), der(0x04, make([]byte, 32)), der(0x04, make([]byte, 32)))
	})
	with("message-digest short", func(s *signerInfo) { s.attributes[1] = attribute(pkcs9(4), der(0x04, make([]byte, 8))) })
	with("message-digest empty", func(s *signerInfo) { s.attributes[1] = attribute(pkcs9(4)) })
	with("content-type other", func(s *signerInfo) { s.attributes[0] = attribute(pkcs9(3), oid(1, 2, 3)) })
}

// bound names its certificate in other ways (RFC 5035).
func (w *workshop) bound() {
	with := w.withSigner
	raw, other := w.r.signer.certificate.Raw, w.r.responder.certificate.Raw
	sumV1, sumOther, sum := sha1.Sum(raw), sha256.Sum256(other), sha256.Sum256(raw)
	ess := func(sums ...[]byte) []byte {
		var list [][]byte
		for _, s := range sums {
			list = append(list, der(0x30, der(0x04, s)))
		}
		return attribute(pkcs9(16, 2, 47), der(0x30, der(0x30, list...)))
	}
	essV1 := attribute(pkcs9(16, 2, 12), der(0x30, der(0x30, der(0x30, der(0x04, sumV1[:])))))
	with("ess v1", func(s *signerInfo) { s.attributes[3] = essV1 })
	with("ess v1 and v2", func(s *signerInfo) { s.attributes = append(s.attributes, essV1) })
	with("ess v1 and v2 wrong", func(s *signerInfo) { s.attributes = append(s.attributes[:3:3], essV1, ess(sumOther[:])) })
	with("ess of another", func(s *signerInfo) { s.attributes[3] = ess(sumOther[:]) })
	with("ess second", func(s *signerInfo) { s.attributes[3] = ess(sumOther[:], sum[:]) })
	with("ess first of two", func(s *signerInfo) { s.attributes[3] = ess(sum[:], sumOther[:]) })
	with("ess empty", func(s *signerInfo) { s.attributes[3] = ess() })
	with("ess malformed", func(s *signerInfo) { s.attributes[3] = attribute(pkcs9(16, 2, 47), der(0x04, []byte("x"))) })
	with("ess with another serial", func(s *signerInfo) {
		s.attributes[3] = attribute(pkcs9(16, 2, 47), der(0x30, der(0x30, der(0x30, der(0x04, sum[:]), der(0x30, der(0x30, der(0xA4, w.r.signer.certificate.RawIssuer)), number(7))))))
	})
	with("ess with an unknown digest", func(s *signerInfo) {
		s.attributes[3] = attribute(pkcs9(16, 2, 47), der(0x30, der(0x30, der(0x30, der(0x30, oid(1, 2, 3)), der(0x04, sum[:])))))
	})
}

// identified has other identifiers than the right ones.
func (w *workshop) identified() {
	with, content := w.withSigner, []byte(letter)
	with("version 3 with issuer and number", func(s *signerInfo) { s.version = 3 })
	with("version 0", func(s *signerInfo) { s.version = 0 })
	with("signer by key identifier", func(s *signerInfo) { s.version, s.sid = 3, der(0x80, w.r.signer.certificate.SubjectKeyId) })
	with("signer by another key identifier", func(s *signerInfo) { s.version, s.sid = 3, der(0x80, []byte("another")) })
	with("signer with another number", func(s *signerInfo) { s.sid = der(0x30, w.r.signer.certificate.RawIssuer, number(7)) })
	with("signer with another name", func(s *signerInfo) { s.sid = der(0x30, w.r.root.certificate.RawSubject, number(7)) })
	with("digest not named", func(s *signerInfo) { s.digest = der(0x30, oid(2, 16, 840, 1, 101, 3, 4, 2, 2)) })
	with("digest unknown", func(s *signerInfo) { s.digest = der(0x30, oid(1, 2, 3)) })
	with("method unknown", func(s *signerInfo) { s.method = der(0x30, oid(1, 2, 3)) })
	with("method of the key", func(s *signerInfo) { s.method = der(0x30, oid(1, 2, 840, 10045, 2, 1)) })
	with("method of another digest", func(s *signerInfo) { s.method = der(0x30, oid(1, 2, 840, 10045, 4, 3, 3)) })
	with("method RSA", func(s *signerInfo) { s.method = der(0x30, oid(1, 2, 840, 113549, 1, 1, 11), der(0x05)) })
	with("value empty", func(s *signerInfo) { s.value = []byte{} })
	with("value junk", func(s *signerInfo) { s.value = []byte("junk") })
	with("unsigned unknown", func(s *signerInfo) { s.unsigned = [][]byte{attribute(oid(1, 2, 3), number(1))} })
	with("unsigned without values", func(s *signerInfo) { s.unsigned = [][]byte{attribute(oid(1, 2, 3))} })
	stamp := pkcs9(16, 2, 14)
	with("stamp junk", func(s *signerInfo) { s.unsigned = [][]byte{attribute(stamp, der(0x04, []byte("x")))} })
	with("stamp without value", func(s *signerInfo) { s.unsigned = [][]byte{attribute(stamp)} })
	with("stamp is a signature", func(s *signerInfo) {
		s.unsigned = [][]byte{attribute(stamp, w.newMessage(content, w.newSigner(content)).raw())}
	})
}

// countersigned has countersignatures (RFC 5652 11.4).
func (w *workshop) countersigned() {
	content := []byte(letter)
	counter := func(over []byte) signerInfo {
		s := w.newSigner(over)
		s.attributes = s.attributes[1:]
		return s
	}
	parent := w.newSigner(content)
	parent.value = func() []byte {
		list := slices.Clone(parent.attributes)
		slices.SortFunc(list, slices.Compare)
		sum := sha256.Sum256(der(0x31, list...))
		v, err := w.r.signer.key.Sign(rand.Reader, sum[:], crypto.SHA256)
		if err != nil {
			w.t.Fatal(err)
		}
		return v
	}()
	countered := func(name string, counters ...[]byte) {
		p := parent
		for _, c := range counters {
			p.unsigned = append(p.unsigned, attribute(pkcs9(6), c))
		}
		w.addCMS("counter, "+name, w.newMessage(content, p).raw())
	}
	good := w.signInfo(counter(parent.value))
	countered("right", good)
	countered("over something else", w.signInfo(counter([]byte("else"))))
	withType := w.newSigner(parent.value)
	countered("with content-type", w.signInfo(withType))
	broken := counter(parent.value)
	broken.value = parent.value // of something else
	countered("value broken", w.signInfo(broken))
	countered("two", good, w.signInfo(counter(parent.value)))
	countered("junk", der(0x04, []byte("x")))
	nested := counter(parent.value)
	nested.unsigned = [][]byte{attribute(pkcs9(6), w.signInfo(counter([]byte("not its value"))))}
	countered("nested wrong", w.signInfo(nested))
	p := parent
	p.value = append(slices.Clone(parent.value[:len(parent.value)-1]), parent.value[len(parent.value)-1]^1)
	p.unsigned = [][]byte{attribute(pkcs9(6), good)}
	w.addCMS("counter, parent's value broken", w.newMessage(content, p).raw())
}

// messages hold other things than one signature over data.
func (w *workshop) messages() {
	whole, content, raw := w.withMessage, []byte(letter), w.r.signer.certificate.Raw
	whole("no signers", func(m *message) { m.signers = nil })
	whole("two signers", func(m *message) { m.signers = append(m.signers, w.signInfo(w.newSigner(content))) })
	wrong := w.newSigner([]byte("else"))
	whole("two signers, one over something else", func(m *message) { m.signers = append(m.signers, w.signInfo(wrong)) })
	whole("the same signer twice", func(m *message) { m.signers = append(m.signers, m.signers[0]) })
	whole("version 3", func(m *message) { m.version = 3 })
	whole("version 5", func(m *message) { m.version = 5 })
	whole("version 9", func(m *message) { m.version = 9 })
	whole("no digests", func(m *message) { m.digests = nil })
	whole("other digests", func(m *message) { m.digests = [][]byte{der(0x30, oid(2, 16, 840, 1, 101, 3, 4, 2, 3))} })
	whole("no certificates", func(m *message) { m.certificates = nil })
	whole("certificates empty", func(m *message) { m.certificates = [][]byte{} })
	whole("only the issuer", func(m *message) { m.certificates = m.certificates[1:] })
	whole("certificate twice", func(m *message) { m.certificates = append(m.certificates, raw) })
	whole("certificate junk", func(m *message) { m.certificates = append(m.certificates, der(0x30, number(1))) })
	whole("attribute certificate", func(m *message) { m.certificates = append(m.certificates, der(0xA1, number(1))) })
	whole("crls junk", func(m *message) { m.crls = [][]byte{der(0x30, number(1))} })
	whole("content missing", func(m *message) { m.content = nil })
	whole("content changed", func(m *message) { m.content = []byte("else") })
	whole("content empty", func(m *message) { m.content = []byte{} })
	whole("content not wrapped", func(m *message) { m.wrapped = der(0x30, number(1)) })
	whole("content type other", func(m *message) { m.contentType = oid(1, 2, 3) })
	whole("content in pieces", func(m *message) { m.wrapped = der(0x24, der(0x04, content[:10]), der(0x04, content[10:])) })
	empty := []byte{}
	w.addCMS("nothing signed", w.newMessage(empty, w.newSigner(empty)).raw())
	m := w.newMessage(nil, w.newSigner(content))
	m.wrapped = der(0x30, content) // PKCS #7 1.5 over another type: its octets are signed without tag and length
	w.addCMS("pkcs7 other content", m.raw())
	base := w.newMessage(content, w.newSigner(content)).raw()
	w.addCMS("pem cms", pem.EncodeToMemory(&pem.Block{Type: "CMS", Bytes: base}))
	w.addCMS("pem pkcs7", pem.EncodeToMemory(&pem.Block{Type: "PKCS7", Bytes: base}))
	w.addCMS("base64", []byte(encode(base)))
	w.addCMS("not signed data", der(0x30, dataOID(), der(0xA0, der(0x04, content))))
	w.addCMS("empty file", nil)
	w.addCMS("text", content)
}

// detached leaves the content out.
func (w *workshop) detached() {
	content := []byte(letter)
	base := w.newMessage(content, w.newSigner(content)).raw()
	detached := w.newMessage(content, w.newSigner(content))
	detached.content = nil
	for name, c := range map[string][]byte{"right": content, "changed": []byte("else"), "empty": {}, "missing": nil} {
		w.all = append(w.all, altered{name: "detached " + name, form: ".p7s", document: detached.raw(), content: c})
	}
	damaged := w.newSigner(content)
	damaged.value = []byte("junk")
	dm := w.newMessage(content, damaged)
	dm.content = nil
	w.all = append(w.all, altered{name: "detached missing, value junk", form: ".p7s", document: dm.raw()})
	bareSigner := w.newSigner(content)
	bareSigner.bare = true
	bm := w.newMessage(content, bareSigner)
	bm.content = nil
	w.all = append(w.all, altered{name: "detached missing, no attributes", form: ".p7s", document: bm.raw()}, altered{name: "detached, no attributes", form: ".p7s", document: bm.raw(), content: content})
	w.all = append(w.all, altered{name: "attached with the same content", form: ".p7s", document: base, content: content}, altered{name: "attached with another content", form: ".p7s", document: base, content: []byte("else")})
}
