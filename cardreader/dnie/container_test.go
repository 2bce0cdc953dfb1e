package dnie

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"io"
	"math/big"
	"runtime"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/iso7816"
)

// deflated is a zlib stream of the best level, header 78 DA.
func deflated(t testing.TB, der []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := zlib.NewWriterLevel(&b, zlib.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(der); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func container(unpacked, packed int, stream []byte) []byte {
	file := binary.LittleEndian.AppendUint32(nil, uint32(unpacked))
	file = binary.LittleEndian.AppendUint32(file, uint32(packed))
	return append(file, stream...)
}

func boxed(t testing.TB, der []byte) []byte {
	t.Helper()
	stream := deflated(t, der)
	return container(len(der), len(stream), stream)
}

// sample has the size and shape of a certificate, 878 bytes.
func sample() []byte {
	der := []byte{0x30, 0x82, 0x03, 0x6A}
	for i := range 874 {
		der = append(der, byte(i*i>>3))
	}
	return der
}

func TestContainerGivesTheCertificate(t *testing.T) {
	der := sample()
	for name, file := range map[string][]byte{
		"packed":            boxed(t, der),
		"packed and padded": append(boxed(t, der), make([]byte, 40)...),
		"plain":             der,
		"plain and padded":  append(bytes.Clone(der), make([]byte, 40)...),
	} {
		got, err := unpack(file)
		if err != nil || !bytes.Equal(got, der) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	// The header of the published example: 878 bytes.
	if head := boxed(t, der)[:4]; !bytes.Equal(head, unhex(t, "6E030000")) {
		t.Errorf("header %X", head)
	}
	for _, level := range []int{zlib.NoCompression, zlib.BestSpeed, zlib.DefaultCompression} {
		var b bytes.Buffer
		w, _ := zlib.NewWriterLevel(&b, level)
		_, _ = w.Write(der)
		_ = w.Close()
		if got, err := unpack(container(len(der), b.Len(), b.Bytes())); err != nil || !bytes.Equal(got, der) {
			t.Errorf("level %d: %v", level, err)
		}
	}
}

// Threat C-29: either exactly the certificate or an error.
func TestContainerThatLies(t *testing.T) {
	der := sample()
	stream := deflated(t, der)
	n := len(stream)
	squeezed := func(w func(io.Writer) io.WriteCloser) []byte {
		var b bytes.Buffer
		c := w(&b)
		_, _ = c.Write(der)
		_ = c.Close()
		return container(len(der), b.Len(), b.Bytes())
	}
	broken := bytes.Clone(stream)
	broken[n-1] ^= 1
	var dictionary bytes.Buffer
	withDictionary, _ := zlib.NewWriterLevelDict(&dictionary, 9, der[:100])
	_, _ = withDictionary.Write(der)
	_ = withDictionary.Close()
	for name, file := range map[string][]byte{
		"empty":                      {},
		"header only":                container(len(der), n, nil),
		"seven bytes":                container(len(der), n, nil)[:7],
		"announces too little":       container(len(der)-1, n, stream),
		"announces too much":         container(len(der)+1, n, stream),
		"announces nothing":          container(0, n, stream),
		"packed length too small":    container(len(der), n-1, stream),
		"packed length too large":    container(len(der), n+1, stream),
		"packed length swallows":     container(len(der), n+2, append(bytes.Clone(stream), 0, 0)),
		"truncated":                  container(len(der), n-10, stream[:n-10]),
		"wrong checksum":             container(len(der), n, broken),
		"something behind it":        append(boxed(t, der), 0, 0, 1),
		"raw deflate":                squeezed(func(w io.Writer) io.WriteCloser { c, _ := flate.NewWriter(w, 9); return c }),
		"gzip":                       squeezed(func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }),
		"preset dictionary":          container(len(der), dictionary.Len(), dictionary.Bytes()),
		"plain, too short":           der[:100],
		"plain, something behind it": append(bytes.Clone(der), 1),
		"plain, header only":         {0x30, 0x82, 0x03},
		"lengths of four billion":    append([]byte{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, stream...),
		"one byte over the limit":    container(maxCertificate+1, n, stream),
		"file over the limit":        make([]byte, maxCertificate+1),
	} {
		if got, err := unpack(file); !errors.Is(err, iso7816.ErrContent) || got != nil {
			t.Errorf("%s: %d bytes, %v; want ErrContent", name, len(got), err)
		}
	}
	if got, err := unpack(boxed(t, make([]byte, maxCertificate))); err != nil || len(got) != maxCertificate {
		t.Errorf("at the limit: %v", err)
	}
}

// Threat C-28: a stream of 60 KB that goes on to 64 MiB stops at what was
// announced.
func TestContainerBomb(t *testing.T) {
	bomb := deflated(t, make([]byte, 56<<20))
	if len(bomb) > maxCertificate {
		t.Fatalf("%d bytes do not fit on a card", len(bomb))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, announced := range []int{100, maxCertificate} {
		if _, err := unpack(container(announced, len(bomb), bomb)); !errors.Is(err, iso7816.ErrContent) {
			t.Errorf("%d announced: %v", announced, err)
		}
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 2<<20 {
		t.Errorf("%d bytes allocated", grown)
	}
}

// certificateFor makes a certificate with a key usage, uncompressed.
func certificateFor(t testing.TB, usage x509.KeyUsage, bits int) []byte {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "LAB"}, KeyUsage: usage,
		NotAfter: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// Threat C-30, and a directory that gives a certificate the other use.
func TestCertificateHasToFitItsKey(t *testing.T) {
	signs := certificateFor(t, x509.KeyUsageContentCommitment, 2048)
	authenticates := certificateFor(t, x509.KeyUsageDigitalSignature, 2048)
	for name, v := range map[string]struct {
		file  []byte
		usage cardreader.Usage
		ok    bool
	}{
		"signature":                       {boxed(t, signs), cardreader.UsageSignature, true},
		"authentication":                  {boxed(t, authenticates), cardreader.UsageAuthentication, true},
		"without the extension":           {boxed(t, certificateFor(t, 0, 1024)), cardreader.UsageSignature, true},
		"authentication key that signs":   {boxed(t, signs), cardreader.UsageAuthentication, false},
		"signature key that does not":     {boxed(t, authenticates), cardreader.UsageSignature, false},
		"key longer than the card's":      {boxed(t, certificateFor(t, 0, 3072)), cardreader.UsageSignature, false},
		"no certificate":                  {boxed(t, sample()), cardreader.UsageSignature, false},
		"trailing byte":                   {boxed(t, append(bytes.Clone(signs), 0)), cardreader.UsageSignature, false},
		"two certificates":                {boxed(t, append(bytes.Clone(signs), signs...)), cardreader.UsageSignature, false},
		"certificate without its last":    {boxed(t, signs[:len(signs)-1]), cardreader.UsageSignature, false},
		"file of zeros":                   {make([]byte, 1000), cardreader.UsageSignature, false},
		"container with an empty content": {boxed(t, nil), cardreader.UsageSignature, false},
	} {
		certificate, err := parseCertificate(v.file, v.usage)
		if v.ok != (err == nil) || v.ok != (certificate != nil) || err != nil && !errors.Is(err, iso7816.ErrContent) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzContainer(f *testing.F) {
	f.Add(boxed(f, sample()))
	f.Add(sample())
	f.Add(container(10, 3, []byte{1, 2, 3}))
	f.Fuzz(func(t *testing.T, file []byte) {
		der, err := unpack(file)
		if err != nil {
			if der != nil || !errors.Is(err, iso7816.ErrContent) {
				t.Errorf("%d bytes with %v", len(der), err)
			}
			return
		}
		if len(der) > maxCertificate {
			t.Errorf("%d bytes", len(der))
		}
		// What was unpacked packs to a container that gives the same.
		again, err := unpack(boxed(t, der))
		if err != nil || !bytes.Equal(again, der) {
			t.Errorf("packed again: %v", err)
		}
	})
}
