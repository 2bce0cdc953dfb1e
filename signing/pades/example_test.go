package pades_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"log"
	"math/big"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/pades"
)

// A server holds the document, a card somewhere else the key. The server prepares
// and keeps the plan; the digest goes to the card; with the value the server
// completes. The document is read once in each of the two steps, and the plan
// holds none of it.
func Example_remoteSigning() {
	ctx := context.Background()
	card, certificate := exampleCard()
	document := pdfs.Contract()
	src, size := bytes.NewReader(document), int64(len(document))

	// On the server: prepare with the certificate alone.
	plan, err := pades.Prepare(ctx, src, size, signing.Credential{Certificate: certificate}, pades.Options{Reason: "Agreed"})
	if err != nil {
		log.Fatal(err)
	}
	stored, err := json.Marshal(plan) // authenticate it where others can reach it
	if err != nil {
		log.Fatal(err)
	}

	// At the card: sign the digest, once.
	hash, digest := plan.Digest()
	value, err := card.Sign(rand.Reader, digest, hash)
	if err != nil {
		log.Fatal(err)
	}

	// On the server, perhaps another one: complete, and check before it is used.
	var back pades.Plan
	if err := json.Unmarshal(stored, &back); err != nil {
		log.Fatal(err)
	}
	var out bytes.Buffer
	if err := back.Complete(ctx, src, &out, value); err != nil {
		log.Fatal(err) // pades.ErrWrongSignature, pades.ErrSourceChanged
	}
	signed := bytes.NewReader(out.Bytes())
	if err := back.Check(ctx, src, signed); err != nil {
		log.Fatal(err)
	}
	r := back.Result()
	fmt.Println(r.Baseline, r.SignatureAlgorithm, bytes.HasPrefix(out.Bytes(), document))
	// Output: B-B ECDSA with SHA-256 true
}

// exampleCard stands for a card: a key that only signs, and its certificate.
func exampleCard() (crypto.Signer, *x509.Certificate) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Somebody"}, KeyUsage: x509.KeyUsageContentCommitment,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		log.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		log.Fatal(err)
	}
	return key, certificate
}
