package pkcs15

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha512"
	"encoding/pem"
	"errors"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader"
)

func decodePEM(t *testing.T, text []byte) []byte {
	t.Helper()
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatal("no PEM")
	}
	return block.Bytes
}

func TestKeyOnABrainpoolCurveSigns(t *testing.T) {
	card := brainpoolCard(t, false)
	opened, err := Driver{}.Open(t.Context(), card)
	if err != nil {
		t.Fatal(err)
	}
	credentials, err := opened.Credentials(t.Context())
	if err != nil || len(credentials) != 1 {
		t.Fatal(err)
	}
	digest := sha512.Sum512([]byte("a document"))
	signature, err := opened.Sign(t.Context(), credentials[0], decodePIN(t, "1234"), crypto.SHA512, digest[:])
	if err != nil || !ecdsa.VerifyASN1(credentials[0].Certificate.PublicKey.(*ecdsa.PublicKey), digest[:], signature) {
		t.Errorf("Sign = %X, %v", signature, err)
	}
	// No algorithm was told, so none is named; the digest is cut to the order.
	sent := card.commands[len(card.commands)-2:]
	if !bytes.Equal(sent[0], unhex(t, "002241B603840101")) || !bytes.Equal(sent[1][5:37], digest[:32]) {
		t.Errorf("sent %X", sent)
	}
}

func TestSignatureValuesComeInTwoForms(t *testing.T) {
	der, value := brainpoolData(t)
	certificate, err := parseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	key := certificate.PublicKey.(*ecdsa.PublicKey)
	if got, err := signature(key, value); err != nil || !bytes.Equal(got, value) {
		t.Errorf("ECDSA-Sig-Value: %X, %v", got, err)
	}
	raw := bytes.Repeat([]byte{0x30}, 64)
	got, err := signature(key, raw)
	if err != nil || !isSignatureValue(got) {
		t.Errorf("r and s that begin like a sequence: %X, %v", got, err)
	}
	for name, forged := range map[string][]byte{
		"C-34 empty": nil, "C-34 zeros": make([]byte, 64), "C-34 too short": raw[:63],
		"C-34 trailing byte": append(bytes.Clone(value), 0), "C-34 r is zero": unhex(t, "3006 0201 00 0201 01"),
	} {
		if got, err := signature(key, forged); err == nil {
			t.Errorf("%s: %X", name, got)
		}
	}
}

// Threat C-30: a certificate file with something else in it.
func TestCertificateFilesHoldOneCertificate(t *testing.T) {
	der, _ := brainpoolData(t)
	for name, test := range map[string]struct {
		content []byte
		ok      bool
	}{
		"as it is":           {der, true},
		"padded with zeros":  {append(bytes.Clone(der), make([]byte, 100)...), true},
		"padded with FF":     {append(bytes.Clone(der), 0xFF, 0xFF), true},
		"two certificates":   {append(bytes.Clone(der), der...), false},
		"cut off":            {der[:len(der)-1], false},
		"zeros":              {make([]byte, 300), false},
		"another structure":  {unhex(t, "0403 010203"), false},
		"an empty structure": {unhex(t, "3000"), false},
	} {
		card := brainpoolCard(t, false)
		card.files["3F0050154300"] = test.content
		opened, err := Driver{}.Open(t.Context(), card)
		if err != nil {
			t.Fatal(err)
		}
		credentials, err := opened.Credentials(t.Context())
		if test.ok != (err == nil && len(credentials) == 1) || err != nil && !errors.Is(err, cardreader.ErrCardProtocol) {
			t.Errorf("%s: %d credentials, %v", name, len(credentials), err)
		}
	}
}

func TestAlgorithmIsTakenFromTheCard(t *testing.T) {
	der, _ := brainpoolData(t)
	certificate, err := parseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	credential := cardreader.Credential{Certificate: certificate}
	digest := sha512.Sum512(nil)
	with := func(algorithms ...algorithm) *handle {
		return &handle{directory: &directory{token: tokenInfo{algorithms: algorithms}}}
	}
	plain := algorithm{number: 1, mechanism: mechanismECDSA, signs: true, name: 0x22, named: true}
	hashing := algorithm{number: 2, mechanism: mechanismECDSASHA512, signs: true, name: 0x64, named: true}
	for name, test := range map[string]struct {
		h    *handle
		want byte
		err  error
	}{
		"none told":          {with(), 0, nil},
		"plain ECDSA":        {with(hashing, plain), 0x22, nil},
		"by its hash":        {with(hashing), 0x64, nil},
		"not for signatures": {with(algorithm{mechanism: mechanismECDSA, name: 0x22, named: true}), 0, nil},
		"of another hash":    {with(algorithm{mechanism: mechanismECDSASHA256, signs: true, name: 0x44, named: true}), 0, cardreader.ErrDigest},
	} {
		_, got, named, err := test.h.input(credential, crypto.SHA512, digest[:])
		if !errors.Is(err, test.err) || got != test.want || named != (test.want != 0) {
			t.Errorf("%s: %02X, %v", name, got, err)
		}
	}
	chosen := with(plain, hashing)
	chosen.key.algorithms = []int{2}
	if _, got, _, err := chosen.input(credential, crypto.SHA512, digest[:]); err != nil || got != 0x64 {
		t.Errorf("the key's own choice: %02X, %v", got, err)
	}
	if _, _, _, err := chosen.input(credential, crypto.SHA512, digest[:63]); !errors.Is(err, cardreader.ErrDigest) {
		t.Errorf("63 bytes: %v", err)
	}
	byPath := privateKey{path: path{file: []byte{0x3F, 0x00, 0x50, 0x15, 0x00, 0x16}}}
	if data, err := byPath.environment(0, false); err != nil || !bytes.Equal(data, unhex(t, "81020016")) || len(byPath.directoryPath()) != 4 {
		t.Errorf("key by its file: %X, %v", data, err)
	}
	if _, err := (&privateKey{}).environment(0, false); !errors.Is(err, cardreader.ErrNotOffered) {
		t.Errorf("key without a name: %v", err)
	}
	if err := (&pinObject{flags: bits{0x00, 0x20}}).usable(); !errors.Is(err, cardreader.ErrNotOffered) {
		t.Errorf("PIN that has to be encrypted: %v", err)
	}
	if err := (&pinObject{form: formHalfNibble}).usable(); !errors.Is(err, cardreader.ErrNotOffered) {
		t.Errorf("PIN in half-nibbles: %v", err)
	}
}
