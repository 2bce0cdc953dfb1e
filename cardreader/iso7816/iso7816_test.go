package iso7816_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
	"github.com/eidbridge/eidbridge/cardreader/iso7816"
	"github.com/eidbridge/eidbridge/cardreader/pin"
	"github.com/eidbridge/eidbridge/cardreader/tlv"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestFileSizeIsReadInEveryForm(t *testing.T) {
	tests := []struct {
		name, control string
		want          int
		err           error
	}{
		{"Estonian card of 2018", "62 04 80 02 0407", 1031, nil},
		{"Thales", "62 04 81 02 043F", 1087, nil},
		{"file control information", "6F 04 80 02 0010", 16, nil},
		{"one byte", "62 03 80 01 09", 9, nil},
		{"as long as a file can be", "62 05 80 03 008000", 1 << 15, nil},
		{"C-25 one above", "62 05 80 03 008001", 0, iso7816.ErrContent},
		{"C-25 2^31", "62 06 80 04 80000000", 0, iso7816.ErrContent},
		{"C-25 nine bytes", "62 0B 80 09 010000000000000000", 0, iso7816.ErrContent},
		{"C-25 zero", "62 04 80 02 0000", 0, iso7816.ErrContent},
		{"no size", "62 03 82 01 01", 0, tlv.ErrNotFound},
		{"no template", "80 02 0407", 0, tlv.ErrNotFound},
		{"C-23 length beyond the data", "62 10 80 02 0407", 0, tlv.ErrMalformed},
		{"nothing", "", 0, tlv.ErrNotFound},
	}
	for _, test := range tests {
		if got, err := iso7816.FileSize(unhex(t, test.control)); got != test.want || !errors.Is(err, test.err) {
			t.Errorf("%s: %d, %v; want %d, %v", test.name, got, err, test.want, test.err)
		}
	}
}

// file is a card with one selected file, which gives at most most bytes a
// command.
type file struct {
	content []byte
	most    int
	end     string // status word beyond the end
	reads   []int
}

func (f *file) Transmit(_ context.Context, raw []byte) ([]byte, error) {
	command, err := apdu.ParseCommand(raw)
	if err != nil {
		return nil, err
	}
	at := int(command.P1)<<8 | int(command.P2)
	f.reads = append(f.reads, command.Ne)
	if at >= len(f.content) {
		sw, _ := hex.DecodeString(f.end)
		return sw, nil
	}
	part := f.content[at:]
	return append(bytes.Clone(part[:min(len(part), command.Ne, f.most)]), 0x90, 0), nil
}

func TestFilesAreReadInBlocks(t *testing.T) {
	content := bytes.Repeat([]byte{1, 2, 3, 4, 5}, 100)
	tests := []struct {
		name   string
		blocks iso7816.Blocks
		most   int
		reads  string
	}{
		{"exact", iso7816.Blocks{Size: 0xC0}, 256, "[192 192 116]"},
		{"full", iso7816.Blocks{Size: 256, Full: true}, 181, "[256 256 256]"},
		{"short answers", iso7816.Blocks{Size: 256}, 181, "[256 256 138]"},
	}
	for _, test := range tests {
		f := &file{content: content, most: test.most, end: "6B00"}
		got, err := test.blocks.ReadFile(t.Context(), f, len(content))
		if err != nil || !bytes.Equal(got, content) || fmt.Sprint(f.reads) != test.reads {
			t.Errorf("%s: %d bytes, %v, reads %v", test.name, len(got), err, f.reads)
		}
	}
	f := &file{content: content, most: 256, end: "6B00"}
	if part, err := (iso7816.Blocks{Size: 100}).Read(t.Context(), f, 250, 120); err != nil || !bytes.Equal(part, content[250:370]) {
		t.Errorf("part: %d bytes, %v", len(part), err)
	}
	for name, read := range map[string]func() ([]byte, error){
		"C-26 shorter than stated": func() ([]byte, error) {
			return iso7816.Blocks{Size: 256}.ReadFile(t.Context(), &file{content: content, most: 256, end: "9000"}, 600)
		},
		"more than stated": func() ([]byte, error) {
			return iso7816.Blocks{Size: 256, Full: true}.ReadFile(t.Context(), &file{content: content, most: 256, end: "6B00"}, 300)
		},
		"offset outside of any file": func() ([]byte, error) {
			return iso7816.Blocks{Size: 256}.Read(t.Context(), f, iso7816.MaxFile, 1)
		},
		"negative size": func() ([]byte, error) { return iso7816.Blocks{Size: 256}.Read(t.Context(), f, 0, -1) },
	} {
		if _, err := read(); !errors.Is(err, iso7816.ErrContent) {
			t.Errorf("%s: %v, want ErrContent", name, err)
		}
	}
}

func TestFilesOfUnknownLengthAreReadToTheirEnd(t *testing.T) {
	for _, size := range []int{1, 99, 100, 101, 200, 250} {
		for _, end := range []string{"6B00", "6282", "9000"} {
			content := bytes.Repeat([]byte{7}, size)
			got, err := iso7816.Blocks{Size: 100}.ReadToEnd(t.Context(), &file{content: content, most: 256, end: end}, 250)
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("%d bytes, then %s: %d bytes, %v", size, end, len(got), err)
			}
		}
	}
	var status *apdu.StatusError
	if _, err := (iso7816.Blocks{Size: 100}).ReadToEnd(t.Context(), &file{most: 256, end: "6B00"}, 250); !errors.As(err, &status) {
		t.Errorf("nothing to read: %v", err)
	}
	if _, err := (iso7816.Blocks{Size: 100}).ReadToEnd(t.Context(), &file{content: make([]byte, 251), most: 256, end: "6B00"}, 250); !errors.Is(err, iso7816.ErrContent) {
		t.Errorf("one above the limit: %v", err)
	}
}

func secret(t testing.TB, digits string) *pin.PIN {
	t.Helper()
	p, err := pin.New([]byte(digits))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Wipe)
	return p
}

// Threat C-46: blocks are filled, and wiped afterwards.
func TestBlocksAreFilledAndWiped(t *testing.T) {
	var kept []byte
	err := iso7816.WithBlocks(secret(t, "1234"), secret(t, "56789"), 8, 0xFF, func(b []byte) error {
		if fmt.Sprintf("%X", b) != "31323334FFFFFFFF3536373839FFFFFF" {
			t.Errorf("blocks %X", b)
		}
		kept = b
		return nil
	})
	if err != nil || !bytes.Equal(kept, make([]byte, 16)) {
		t.Errorf("%v, left behind %X", err, kept)
	}
	never := func([]byte) error { t.Error("called"); return nil }
	if err := iso7816.WithBlock(secret(t, "123456789"), 8, 0, never); !errors.Is(err, pin.ErrFormat) {
		t.Errorf("longer than the block: %v", err)
	}
	for _, size := range []int{0, -1, iso7816.MaxBlock + 1} {
		if err := iso7816.WithBlock(secret(t, "1"), size, 0, never); err == nil {
			t.Errorf("block of %d bytes", size)
		}
	}
}

func TestStatusWordsAfterAPINHaveOneMeaning(t *testing.T) {
	command := apdu.Command{INS: iso7816.Verify, P2: 1}
	tests := []struct {
		sw                       apdu.StatusWord
		verified, changed, atPad string
	}{
		{0x9000, "", "", ""},
		{0x63C2, "wrong 2", "wrong 2", "wrong 2"},
		{0x63C0, "blocked 0", "blocked 0", "blocked 0"},
		{0x6983, "blocked 0", "blocked 0", "blocked 0"},
		{0x6984, "blocked 0", "blocked 0", "blocked 0"},
		{0x6700, "format -1", "format -1", "format -1"},
		{0x6A80, "format -1", "unchanged -1", "format -1"},
		{0x6985, "status", "unchanged -1", "status"},
		{0x6400, "status", "status", "timeout -1"},
		{0x6401, "status", "status", "cancelled -1"},
		{0x6402, "status", "status", "differs -1"},
		{0x6403, "status", "status", "format -1"},
		{0x6404, "status", "status", "status"},
		{0x6982, "status", "status", "status"},
		{0x6300, "status", "status", "status"},
	}
	meaning := func(err error) string {
		var refused *cardreader.PINError
		var status *apdu.StatusError
		switch {
		case err == nil:
			return ""
		case errors.As(err, &refused):
			return fmt.Sprintf("%s %d", refused.Reason, refused.TriesLeft)
		case errors.As(err, &status):
			return "status"
		default:
			return err.Error()
		}
	}
	for _, test := range tests {
		got := []string{
			meaning(iso7816.Verified("PIN", command, test.sw)), meaning(iso7816.Changed("PIN", command, test.sw)),
			meaning(iso7816.EnteredAtPad("PIN", command, test.sw)),
		}
		if want := []string{test.verified, test.changed, test.atPad}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%04X: %q, want %q", uint16(test.sw), got, want)
		}
	}
}

func TestDigestInfoIsWhatRSASigns(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	sum256, sum384, sum512 := sha256.Sum256(nil), sha512.Sum384(nil), sha512.Sum512(nil)
	for hash, digest := range map[crypto.Hash][]byte{crypto.SHA256: sum256[:], crypto.SHA384: sum384[:], crypto.SHA512: sum512[:]} {
		info, err := iso7816.DigestInfo(hash, digest)
		if err != nil {
			t.Fatal(err)
		}
		// A key that pads and signs what it is given, as cards do.
		signature, err := rsa.SignPKCS1v15(nil, key, 0, info)
		if err != nil || rsa.VerifyPKCS1v15(&key.PublicKey, hash, digest, signature) != nil {
			t.Errorf("%v: %v", hash, err)
		}
	}
	for name, err := range map[string]error{
		"SHA-1":         second(iso7816.DigestInfo(crypto.SHA1, make([]byte, 20))),
		"another size":  second(iso7816.DigestInfo(crypto.SHA256, make([]byte, 31))),
		"nothing":       second(iso7816.DigestInfo(crypto.SHA256, nil)),
		"no hash":       iso7816.CheckDigest(0, nil),
		"of another's":  iso7816.CheckDigest(crypto.SHA384, make([]byte, 32)),
		"empty SHA-256": iso7816.CheckDigest(crypto.SHA256, nil),
	} {
		if !errors.Is(err, cardreader.ErrDigest) {
			t.Errorf("%s: %v, want ErrDigest", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestSignatureDERKeepsTheNumbers(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("x"))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	raw := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	der, err := iso7816.SignatureDER(raw, 32)
	if err != nil || !ecdsa.VerifyASN1(&key.PublicKey, digest[:], der) {
		t.Errorf("%X, %v", der, err)
	}
	for name, odd := range map[string][]byte{
		"C-34 empty": nil, "C-34 short": raw[1:], "C-34 long": append(raw, 0), "C-34 zeros": make([]byte, 64),
		"C-34 s is zero": append(bytes.Clone(raw[:32]), make([]byte, 32)...),
	} {
		if got, err := iso7816.SignatureDER(odd, 32); !errors.Is(err, apdu.ErrProtocol) {
			t.Errorf("%s: %X, %v", name, got, err)
		}
	}
	if got := iso7816.Fit([]byte{1, 2, 3}, 5); !bytes.Equal(got, []byte{0, 0, 1, 2, 3}) {
		t.Errorf("shorter digest: %X", got)
	}
	if got := iso7816.Fit([]byte{1, 2, 3}, 2); !bytes.Equal(got, []byte{1, 2}) {
		t.Errorf("longer digest: %X", got)
	}
}

func TestKeyPartTellsKeysApart(t *testing.T) {
	keys := map[string]crypto.Signer{}
	var err error
	if keys["RSA-4096"], err = rsa.GenerateKey(rand.Reader, 4096); err != nil {
		t.Fatal(err)
	}
	if keys["P-384"], err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	for name, key := range keys {
		template := &x509.Certificate{SerialNumber: big.NewInt(1)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := iso7816.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		part, at := iso7816.KeyPart(certificate)
		if len(part) < 97 || len(part) > 192 || !bytes.Equal(der[at:at+len(part)], part) {
			t.Errorf("%s: %d bytes at %d", name, len(part), at)
		}
	}
	if part, _ := iso7816.KeyPart(&x509.Certificate{Raw: []byte{1}, RawSubjectPublicKeyInfo: []byte{2}}); part != nil {
		t.Error("a key that is not in the certificate")
	}
	if _, err := iso7816.ParseCertificate([]byte("LAB PERSON")); !errors.Is(err, iso7816.ErrContent) || strings.Contains(err.Error(), "LAB") {
		t.Errorf("ParseCertificate = %v", err)
	}
}

func FuzzFileSize(f *testing.F) {
	for _, seed := range []string{"620480020407", "62048102043F", "6F1985 0A 38 3F00 0000 0000000000", "6280"} {
		raw, _ := hex.DecodeString(strings.ReplaceAll(seed, " ", ""))
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, control []byte) {
		size, err := iso7816.FileSize(control)
		known := errors.Is(err, iso7816.ErrContent) || errors.Is(err, tlv.ErrMalformed) || errors.Is(err, tlv.ErrNotFound)
		if err == nil && (size < 1 || size > iso7816.MaxFile) || err != nil && !known {
			t.Errorf("%d, %v", size, err)
		}
	})
}
