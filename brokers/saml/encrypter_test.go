package saml

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// encrypter makes XML Encryption by its own means: key wrap and key derivation
// are written out here, from RFC 3394 and NIST SP 800-56A.
type encrypter struct {
	to        *testKey
	data      string // algorithm; default AES-256-GCM
	transport string // default RSA-OAEP of XML Encryption 1.1 with SHA-256
	digest    string // of OAEP
	mask      string
	label     string
	kdf       string // digest of ConcatKDF
	info      [5]string
	wrap      string // "128", "192", "256"; default 256
	recipient string
	keyName   string
	layout    string // "nested" (default), "sibling", "retrieval", "carried"
	before    string // EncryptedKeys in front of ours
	spoil     func(text string) string
	spoilData func(ciphertext []byte) []byte
}

const (
	gcm128 = "http://www.w3.org/2009/xmlenc11#aes128-gcm"
	gcm192 = "http://www.w3.org/2009/xmlenc11#aes192-gcm"
	gcm256 = "http://www.w3.org/2009/xmlenc11#aes256-gcm"
	cbc128 = "http://www.w3.org/2001/04/xmlenc#aes128-cbc"
	cbc256 = "http://www.w3.org/2001/04/xmlenc#aes256-cbc"
	oaep10 = "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"
	oaep2  = "http://www.w3.org/2009/xmlenc11#rsa-oaep"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func random(n int) []byte {
	b := make([]byte, n)
	must(rand.Read(b))
	return b
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// wrapped is text as the content of an element such as EncryptedAssertion.
func (x encrypter) wrapped(local, text string) string {
	if x.data == "" {
		x.data = gcm256
	}
	size := 32
	switch {
	case strings.Contains(x.data, "128"):
		size = 16
	case strings.Contains(x.data, "192"):
		size = 24
	}
	key := random(size)
	ciphertext := sealContent(x.data, key, []byte(text))
	if x.spoilData != nil {
		ciphertext = x.spoilData(ciphertext)
	}
	var encrypted string
	if _, ok := x.to.key.(*ecdsa.PrivateKey); ok {
		encrypted = x.agreed(key)
	} else {
		encrypted = x.transported(key)
	}
	encrypted = x.before + encrypted
	inside, beside := encrypted, ""
	switch x.layout {
	case "sibling":
		inside, beside = "", encrypted
	case "retrieval":
		inside, beside = `<ds:RetrievalMethod Type="http://www.w3.org/2001/04/xmlenc#EncryptedKey" URI="#_key1"/>`, encrypted
	case "carried":
		inside, beside = `<ds:KeyName>session key</ds:KeyName>`, encrypted
	}
	info := ""
	if inside != "" {
		info = `<ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#">` + inside + `</ds:KeyInfo>`
	}
	out := `<saml:` + local + ` xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"><xenc:EncryptedData xmlns:xenc="http://www.w3.org/2001/04/xmlenc#" Type="http://www.w3.org/2001/04/xmlenc#Element">` +
		`<xenc:EncryptionMethod Algorithm="` + x.data + `"/>` + info + `<xenc:CipherData><xenc:CipherValue>` + b64(ciphertext) + `</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData>` +
		beside + `</saml:` + local + `>`
	if x.spoil != nil {
		out = x.spoil(out)
	}
	return canonicalText(out)
}

// canonicalText writes an element in exclusive canonical form, because the tests
// sign text as it stands.
func canonicalText(s string) string {
	document := etree.NewDocument()
	if err := document.ReadFromString(s); err != nil {
		panic(err)
	}
	return string(must(dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("").Canonicalize(document.Root())))
}

func sealContent(method string, key, text []byte) []byte {
	block := must(aes.NewCipher(key))
	if strings.Contains(method, "cbc") {
		// Padding bytes other than the last are arbitrary.
		n := aes.BlockSize - len(text)%aes.BlockSize
		padding := random(n)
		padding[n-1] = byte(n)
		iv := random(aes.BlockSize)
		out := make([]byte, len(text)+n)
		cipher.NewCBCEncrypter(block, iv).CryptBlocks(out, append([]byte(nil), append(text, padding...)...))
		return append(iv, out...)
	}
	gcm := must(cipher.NewGCM(block))
	nonce := random(12)
	return append(nonce, gcm.Seal(nil, nonce, text, nil)...)
}

func testHash(uri string) (crypto.Hash, func() hash.Hash) {
	switch {
	case strings.HasSuffix(uri, "sha1"):
		return crypto.SHA1, sha1.New
	case strings.HasSuffix(uri, "sha384"):
		return crypto.SHA384, sha512.New384
	case strings.HasSuffix(uri, "sha512"):
		return crypto.SHA512, sha512.New
	}
	return crypto.SHA256, sha256.New
}

func (x encrypter) attributes() string {
	s := ` Id="_key1"`
	if x.recipient != "" {
		s += ` Recipient="` + x.recipient + `"`
	}
	return s
}

func (x encrypter) tail(wrapped []byte) string {
	s := `<xenc:CipherData><xenc:CipherValue>` + b64(wrapped) + `</xenc:CipherValue></xenc:CipherData>`
	if x.layout == "carried" {
		s += `<xenc:CarriedKeyName>session key</xenc:CarriedKeyName>`
	}
	return s + `</xenc:EncryptedKey>`
}

func (x encrypter) transported(key []byte) string {
	if x.transport == "" {
		x.transport, x.digest, x.mask = oaep2, sha256URI, "http://www.w3.org/2009/xmlenc11#mgf1sha256"
	}
	public := x.to.key.Public().(*rsa.PublicKey)
	digest, _ := testHash("sha1")
	mask, _ := testHash("sha1")
	parameters := ""
	if x.label != "" {
		parameters += `<xenc:OAEPparams>` + b64([]byte(x.label)) + `</xenc:OAEPparams>`
	}
	if x.digest != "" {
		digest, _ = testHash(x.digest)
		parameters += `<ds:DigestMethod xmlns:ds="http://www.w3.org/2000/09/xmldsig#" Algorithm="` + x.digest + `"/>`
	}
	if x.mask != "" {
		mask, _ = testHash(x.mask)
		parameters += `<xenc11:MGF xmlns:xenc11="http://www.w3.org/2009/xmlenc11#" Algorithm="` + x.mask + `"/>`
	}
	var wrapped []byte
	if strings.HasSuffix(x.transport, "rsa-1_5") {
		wrapped = must(rsa.EncryptPKCS1v15(rand.Reader, public, key)) //nolint:staticcheck // SA1019: what has to be refused
	} else {
		wrapped = must(rsa.EncryptOAEPWithOptions(rand.Reader, public, key, &rsa.OAEPOptions{Hash: digest, MGFHash: mask, Label: []byte(x.label)}))
	}
	info := ""
	if x.keyName != "" {
		info = `<ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:KeyName>` + x.keyName + `</ds:KeyName></ds:KeyInfo>`
	}
	return `<xenc:EncryptedKey xmlns:xenc="http://www.w3.org/2001/04/xmlenc#"` + x.attributes() + `><xenc:EncryptionMethod Algorithm="` + x.transport + `">` + parameters + `</xenc:EncryptionMethod>` +
		info + x.tail(wrapped)
}

func (x encrypter) agreed(key []byte) string {
	if x.kdf == "" {
		x.kdf = sha256URI
	}
	if x.wrap == "" {
		x.wrap = "256"
	}
	public := must(x.to.key.Public().(*ecdsa.PublicKey).ECDH())
	ephemeral := must(public.Curve().GenerateKey(rand.Reader))
	shared := must(ephemeral.ECDH(public))
	names := []string{"AlgorithmID", "PartyUInfo", "PartyVInfo", "SuppPubInfo", "SuppPrivInfo"}
	var other []byte
	attributes := ""
	for i, name := range names {
		if x.info[i] == "" && i > 2 {
			continue
		}
		attributes += ` ` + name + `="` + x.info[i] + `"`
		if b := must(hex.DecodeString(x.info[i])); len(b) > 0 {
			other = append(other, b[1:]...)
		}
	}
	_, newHash := testHash(x.kdf)
	var size int
	must(fmt.Sscan(x.wrap, &size))
	wrapping := testConcatKDF(newHash, shared, other, size/8)
	oid := map[ecdh.Curve]string{ecdh.P256(): "1.2.840.10045.3.1.7", ecdh.P384(): "1.3.132.0.34", ecdh.P521(): "1.3.132.0.35"}[public.Curve()]
	return `<xenc:EncryptedKey xmlns:xenc="http://www.w3.org/2001/04/xmlenc#"` + x.attributes() + `><xenc:EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#kw-aes` + x.wrap + `"/>` +
		`<ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><xenc:AgreementMethod Algorithm="http://www.w3.org/2009/xmlenc11#ECDH-ES">` +
		`<xenc11:KeyDerivationMethod xmlns:xenc11="http://www.w3.org/2009/xmlenc11#" Algorithm="http://www.w3.org/2009/xmlenc11#ConcatKDF"><xenc11:ConcatKDFParams` + attributes + `><ds:DigestMethod Algorithm="` + x.kdf + `"/></xenc11:ConcatKDFParams></xenc11:KeyDerivationMethod>` +
		`<xenc:OriginatorKeyInfo><ds:KeyValue><dsig11:ECKeyValue xmlns:dsig11="http://www.w3.org/2009/xmldsig11#"><dsig11:NamedCurve URI="urn:oid:` + oid + `"/><dsig11:PublicKey>` + b64(ephemeral.PublicKey().Bytes()) + `</dsig11:PublicKey></dsig11:ECKeyValue></ds:KeyValue></xenc:OriginatorKeyInfo>` +
		`<xenc:RecipientKeyInfo><ds:X509Data><ds:X509Certificate>` + x.to.base64() + `</ds:X509Certificate></ds:X509Data></xenc:RecipientKeyInfo>` +
		`</xenc:AgreementMethod></ds:KeyInfo>` + x.tail(testKeyWrap(wrapping, key))
}

// testConcatKDF is NIST SP 800-56A 5.8.1: H(counter || Z || OtherInfo).
func testConcatKDF(newHash func() hash.Hash, z, other []byte, size int) []byte {
	var out []byte
	for counter := uint32(1); len(out) < size; counter++ {
		h := newHash()
		must(0, binary.Write(h, binary.BigEndian, counter))
		h.Write(z)
		h.Write(other)
		out = h.Sum(out)
	}
	return out[:size]
}

// testKeyWrap is RFC 3394 section 2.2.1.
func testKeyWrap(wrapping, key []byte) []byte {
	block := must(aes.NewCipher(wrapping))
	n := len(key) / 8
	a := []byte{0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6}
	r := append([]byte(nil), key...)
	for j := range 6 {
		for i := range n {
			b := make([]byte, 16)
			block.Encrypt(b, append(append([]byte(nil), a...), r[8*i:8*i+8]...))
			binary.BigEndian.PutUint64(a, binary.BigEndian.Uint64(b)^uint64(n*j+i+1))
			copy(r[8*i:], b[8:])
		}
	}
	return append(a, r...)
}
