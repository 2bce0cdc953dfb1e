package pkcs15

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
	"github.com/eidbridge/eidbridge/cardreader/iso7816"
	"github.com/eidbridge/eidbridge/cardreader/pin"
)

// Mechanisms of PKCS #11 v3.0, by which TokenInfo names algorithms.
const (
	mechanismRSA         = 0x0001
	mechanismRSASHA256   = 0x0040
	mechanismRSASHA384   = 0x0041
	mechanismRSASHA512   = 0x0042
	mechanismECDSA       = 0x1041
	mechanismECDSASHA256 = 0x1044
	mechanismECDSASHA384 = 0x1045
	mechanismECDSASHA512 = 0x1046
)

// Parameters of MANAGE SECURITY ENVIRONMENT and PSO (ISO/IEC 7816-8).
const (
	setForComputation = 0x41
	templateDST       = 0xB6
	computeSignature  = 0x9E
	inputPlain        = 0x9A
)

// Sign implements cardreader.Card: VERIFY, security environment, signature.
func (c *card) Sign(ctx context.Context, credential cardreader.Credential, p *pin.PIN, hash crypto.Hash, digest []byte) ([]byte, error) {
	h, err := c.handle(ctx, credential)
	if err != nil {
		return nil, err
	}
	form, err := h.directory.pin(credential.PIN)
	if err != nil {
		return nil, err
	}
	if err := check(credential.PIN, form, p); err != nil {
		return nil, err
	}
	input, name, named, err := h.input(credential, hash, digest)
	if err != nil {
		return nil, err
	}
	environment, err := h.key.environment(name, named)
	if err != nil {
		return nil, err
	}
	value, err := c.compute(ctx, h, environment, input, func() error { return c.verify(ctx, credential.PIN, form, p) })
	if err == nil {
		value, err = signature(credential.Certificate.PublicKey, value)
	}
	if err != nil {
		return nil, explain(ctx, err)
	}
	return value, nil
}

// handle is the credential's own, or found anew.
func (c *card) handle(ctx context.Context, credential cardreader.Credential) (*handle, error) {
	if h, ok := credential.Handle.(*handle); ok {
		return h, nil
	}
	again, err := c.Credential(ctx, credential.ID)
	if err != nil {
		return nil, err
	}
	h, ok := again.Handle.(*handle)
	if !ok {
		return nil, cardreader.ErrNoCredential
	}
	return h, nil
}

// input is what the card signs, and the byte that it calls the algorithm by where
// it told.
func (h *handle) input(credential cardreader.Credential, hash crypto.Hash, digest []byte) (data []byte, name byte, named bool, err error) {
	if err := iso7816.CheckDigest(hash, digest); err != nil {
		return nil, 0, false, err
	}
	switch key := credential.Certificate.PublicKey.(type) {
	case *rsa.PublicKey:
		if a, ok := h.algorithm(mechanismRSA); ok || !h.offers(mechanismRSASHA256, mechanismRSASHA384, mechanismRSASHA512) {
			data, err = iso7816.DigestInfo(hash, digest)
			return data, a.name, a.named, err
		}
		a, ok := h.algorithm(map[crypto.Hash]int{
			crypto.SHA256: mechanismRSASHA256, crypto.SHA384: mechanismRSASHA384, crypto.SHA512: mechanismRSASHA512,
		}[hash])
		if !ok {
			return nil, 0, false, fmt.Errorf("%w: card signs no %v", cardreader.ErrDigest, hash)
		}
		return digest, a.name, a.named, nil
	case *ecdsa.PublicKey:
		data = digest[:min(len(digest), fieldSize(key))]
		if a, ok := h.algorithm(mechanismECDSA); ok || !h.offers(mechanismECDSASHA256, mechanismECDSASHA384, mechanismECDSASHA512) {
			return data, a.name, a.named, nil
		}
		a, ok := h.algorithm(map[crypto.Hash]int{
			crypto.SHA256: mechanismECDSASHA256, crypto.SHA384: mechanismECDSASHA384, crypto.SHA512: mechanismECDSASHA512,
		}[hash])
		if !ok {
			return nil, 0, false, fmt.Errorf("%w: card signs no %v", cardreader.ErrDigest, hash)
		}
		return data, a.name, a.named, nil
	default:
		return nil, 0, false, fmt.Errorf("%w: key of the certificate", cardreader.ErrNotOffered)
	}
}

// algorithm finds one for signatures that the key allows.
func (h *handle) algorithm(mechanism int) (algorithm, bool) {
	for _, a := range h.directory.token.algorithms {
		if a.mechanism == mechanism && a.signs && h.allowed(a.number) {
			return a, true
		}
	}
	return algorithm{}, false
}

func (h *handle) allowed(number int) bool {
	for _, n := range h.key.algorithms {
		if n == number {
			return true
		}
	}
	return len(h.key.algorithms) == 0
}

func (h *handle) offers(mechanisms ...int) bool {
	for _, m := range mechanisms {
		if _, ok := h.algorithm(m); ok {
			return true
		}
	}
	return false
}

// environment is the data of MANAGE SECURITY ENVIRONMENT: algorithm (80), and the
// key by reference (84) or by its file (81).
func (k *privateKey) environment(name byte, named bool) ([]byte, error) {
	var data []byte
	if named {
		data = append(data, 0x80, 0x01, name)
	}
	switch {
	case k.referenced:
		data = append(data, 0x84, 0x01, k.reference)
	case len(k.path.file) >= 2:
		data = append(append(data, 0x81, 0x02), k.path.file[len(k.path.file)-2:]...)
	default:
		return nil, fmt.Errorf("key without reference and path: %w", cardreader.ErrNotOffered)
	}
	return data, nil
}

func (c *card) compute(ctx context.Context, h *handle, environment, input []byte, verify func() error) ([]byte, error) {
	if err := c.files.enterDirectory(ctx, h.key.directoryPath()); err != nil {
		return nil, err
	}
	if err := verify(); err != nil {
		return nil, err
	}
	// Where the PIN has a directory of its own the key's is selected again.
	if err := c.files.enterDirectory(ctx, h.key.directoryPath()); err != nil {
		return nil, err
	}
	_, err := c.files.do(ctx, apdu.Command{
		INS: iso7816.ManageSecurity, P1: setForComputation, P2: templateDST, Data: environment,
	})
	if err != nil {
		return nil, fmt.Errorf("setting the security environment: %w", err)
	}
	value, err := apdu.Do(ctx, c.files.transport, apdu.Command{
		INS: iso7816.PerformSecurity, P1: computeSignature, P2: inputPlain,
		Data: input, Ne: apdu.MaxShortNe, Timeout: keyTimeout,
	})
	if err != nil {
		return nil, fmt.Errorf("computing the signature: %w", err)
	}
	return value, nil
}

// directoryPath is where the key is used: its path, which for a key with a
// reference is a directory, and for others the key's file.
func (k *privateKey) directoryPath() []byte {
	if k.referenced || len(k.path.file) < 2 {
		return k.path.file
	}
	return k.path.file[:len(k.path.file)-2]
}

func fieldSize(key *ecdsa.PublicKey) int { return (key.Curve.Params().BitSize + 7) / 8 }

// signature brings the card's value into its outside form: cards return r and s
// or already an ECDSA-Sig-Value.
func signature(key crypto.PublicKey, value []byte) ([]byte, error) {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		if isSignatureValue(value) {
			return value, nil
		}
		return iso7816.SignatureDER(value, fieldSize(key))
	case *rsa.PublicKey:
		if len(value) != key.Size() {
			return nil, fmt.Errorf("%w: signature of %d bytes", apdu.ErrProtocol, len(value))
		}
	}
	return value, nil
}

// isSignatureValue: a sequence of two positive integers and nothing else.
func isSignatureValue(value []byte) bool {
	var inner cryptobyte.String
	r, s := new(big.Int), new(big.Int)
	input := cryptobyte.String(value)
	return input.ReadASN1(&inner, asn1.SEQUENCE) && input.Empty() &&
		inner.ReadASN1Integer(r) && inner.ReadASN1Integer(s) && inner.Empty() && r.Sign() > 0 && s.Sign() > 0
}
