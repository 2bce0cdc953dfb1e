package desktop

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/eidbridge/eidbridge/cardreader"
)

// FormatWebEID is the format of tokens (Web eID 1.0).
const FormatWebEID = "web-eid:1.0"

// Bounds of a nonce, in characters: 256 bits in base64, and what the Web eID
// extension takes at most.
const (
	minNonce = 44
	maxNonce = 128
)

// Token is a Web eID authentication token: proof to one origin that the holder of
// a card logs in there now. Its members are those of the format.
type Token struct {
	UnverifiedCertificate []byte `json:"unverifiedCertificate"`
	Algorithm             string `json:"algorithm"`
	Signature             []byte `json:"signature"`
	Format                string `json:"format"`
	AppVersion            string `json:"appVersion"`
}

// checkLogin checks a request for a login. Only a page logs in, and what is signed
// is only ever the digest of its origin and nonce: no page chooses what an
// authentication key signs (threats L-30, L-33).
func (r *Request) checkLogin() error {
	switch {
	case r.Origin.IsZero():
		return fmt.Errorf("%w: a login is for a page", ErrInvalid)
	case len(r.Documents) > 0:
		return fmt.Errorf("%w: a login has no documents", ErrInvalid)
	case !ValidNonce(r.Nonce):
		return fmt.Errorf("%w: nonce has %d to %d printable characters", ErrInvalid, minNonce, maxNonce)
	}
	return nil
}

// ValidNonce tells whether a nonce has the length of one and printable characters
// only.
func ValidNonce(nonce string) bool {
	for _, c := range []byte(nonce) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return len(nonce) >= minNonce && len(nonce) <= maxNonce
}

// authenticate makes the token after consent and PIN.
func (s *Service) authenticate(q *request, found *cardreader.Found) error {
	certificate := found.Credential.Certificate
	algorithm, hash, options, err := loginAlgorithm(certificate, found.Credential.PSS)
	if err != nil {
		return err
	}
	asker := &asker{service: s, request: q, item: &item{}, of: 1}
	var source cardreader.PINSource = asker
	if _, ok := s.Prompter.(ReaderPrompter); ok {
		source = &padAsker{asker}
	}
	sum := func(parts ...[]byte) []byte {
		h := hash.New()
		for _, part := range parts {
			h.Write(part)
		}
		return h.Sum(nil)
	}
	digest := sum(sum([]byte(q.Origin.String())), sum([]byte(q.Nonce)))
	value, err := s.Cards.Signer(q.ctx, found, source).Sign(s.Random, digest, options)
	if err != nil {
		return err
	}
	if key, ok := certificate.PublicKey.(*ecdsa.PublicKey); ok {
		if value, err = rawSignature(value, (key.Params().N.BitLen()+7)/8); err != nil {
			return err
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.token = &Token{
		UnverifiedCertificate: certificate.Raw, Algorithm: algorithm, Signature: value, Format: FormatWebEID, AppVersion: q.AppVersion,
	}
	return nil
}

// loginAlgorithm chooses by the key (agent-protocols 3.4).
func loginAlgorithm(c *x509.Certificate, pss bool) (name string, hash crypto.Hash, options crypto.SignerOpts, err error) {
	switch key := c.PublicKey.(type) {
	case *ecdsa.PublicKey:
		switch key.Curve.Params().BitSize {
		case 256:
			return "ES256", crypto.SHA256, crypto.SHA256, nil
		case 384:
			return "ES384", crypto.SHA384, crypto.SHA384, nil
		case 521:
			return "ES512", crypto.SHA512, crypto.SHA512, nil
		}
	case *rsa.PublicKey:
		if pss {
			return "PS256", crypto.SHA256, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}, nil
		}
		return "RS256", crypto.SHA256, crypto.SHA256, nil
	}
	return "", 0, nil, fmt.Errorf("%w: its key is of a kind that logs in nowhere", cardreader.ErrNoCredential)
}

// rawSignature turns an ECDSA signature (SEC 1 C.8) into r and s of a fixed size.
func rawSignature(der []byte, size int) ([]byte, error) {
	var inner cryptobyte.String
	var r, s big.Int
	input := cryptobyte.String(der)
	if !input.ReadASN1(&inner, cryptobyte_asn1.SEQUENCE) || !inner.ReadASN1Integer(&r) || !inner.ReadASN1Integer(&s) ||
		r.Sign() <= 0 || s.Sign() <= 0 || (r.BitLen()+7)/8 > size || (s.BitLen()+7)/8 > size {
		return nil, errors.New("signature of the card cannot be read")
	}
	return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...), nil
}
