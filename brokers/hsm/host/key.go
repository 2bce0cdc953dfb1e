//go:build cgo

package host

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"

	module "github.com/miekg/pkcs11"

	"github.com/eidbridge/eidbridge/brokers/hsm/internal/wire"
)

// What version 3.0 of PKCS #11 adds, which the binding does not name.
const (
	ckkECEdwards = 0x40
	ckmEdDSA     = 0x1057
)

// key finds a private key and its public half.
func key(m *module.Ctx, session module.SessionHandle, k wire.Key) (module.ObjectHandle, []byte, *wire.Failure) {
	refuse := func(format string, args ...any) (module.ObjectHandle, []byte, *wire.Failure) {
		return 0, nil, &wire.Failure{Kind: wire.NoKey, Detail: fmt.Sprintf(format, args...)}
	}
	handles, err := objects(m, session, module.CKO_PRIVATE_KEY, k)
	if err != nil {
		return 0, nil, failed(wire.Device, "C_FindObjects", err)
	}
	if len(handles) != 1 {
		return refuse("%d private keys of the token have that label and ID", len(handles))
	}
	private := handles[0]
	kind, err := attributes(m, session, private, module.CKA_KEY_TYPE, module.CKA_ID)
	if err != nil || len(kind[0]) == 0 || len(kind[0]) > 8 {
		return refuse("the kind of the key cannot be read")
	}
	if may, err := attributes(m, session, private, module.CKA_SIGN); err == nil && !isTrue(may[0]) {
		return refuse("it may not sign")
	}
	if always, err := attributes(m, session, private, module.CKA_ALWAYS_AUTHENTICATE); err == nil && isTrue(always[0]) {
		return refuse("it wants the PIN for each signature (CKA_ALWAYS_AUTHENTICATE)")
	}
	public, err := publicHalf(m, session, private, number(kind[0]), wire.Key{Label: k.Label, ID: kind[1]})
	if err != nil {
		return refuse("its public key: %v", err)
	}
	return private, public, nil
}

func isTrue(value []byte) bool { return len(value) > 0 && value[0] != 0 }

// number reads a CK_ULONG, which has the machine's order and size.
func number(value []byte) uint64 {
	var wide [8]byte
	copy(wide[:], value)
	return binary.LittleEndian.Uint64(wide[:])
}

// objects finds the objects of a class with a label and ID.
func objects(m *module.Ctx, session module.SessionHandle, class uint, k wire.Key) ([]module.ObjectHandle, error) {
	wanted := []*module.Attribute{module.NewAttribute(module.CKA_CLASS, class)}
	if k.Label != "" {
		wanted = append(wanted, module.NewAttribute(module.CKA_LABEL, k.Label))
	}
	if len(k.ID) > 0 {
		wanted = append(wanted, module.NewAttribute(module.CKA_ID, k.ID))
	}
	if err := m.FindObjectsInit(session, wanted); err != nil {
		return nil, err
	}
	handles, _, err := m.FindObjects(session, 2)
	return handles, errors.Join(err, m.FindObjectsFinal(session))
}

var errAttributes = errors.New("the token tells fewer attributes than it was asked for")

// attributes reads attributes in their order.
func attributes(m *module.Ctx, session module.SessionHandle, object module.ObjectHandle, kinds ...uint) ([][]byte, error) {
	var wanted []*module.Attribute
	for _, kind := range kinds {
		wanted = append(wanted, module.NewAttribute(kind, nil))
	}
	found, err := m.GetAttributeValue(session, object, wanted)
	if err != nil {
		return nil, err
	}
	if len(found) != len(kinds) {
		return nil, errAttributes
	}
	var values [][]byte
	for _, a := range found {
		values = append(values, a.Value)
	}
	return values, nil
}

// publicHalf is the public key as a SubjectPublicKeyInfo: from the private key of
// RSA, else from the public key or the certificate beside it.
func publicHalf(m *module.Ctx, session module.SessionHandle, private module.ObjectHandle, kind uint64, k wire.Key) ([]byte, error) {
	if kind == module.CKK_RSA {
		if parts, err := attributes(m, session, private, module.CKA_MODULUS, module.CKA_PUBLIC_EXPONENT); err == nil && len(parts[0]) > 0 && len(parts[1]) > 0 {
			return rsaKey(parts[0], parts[1])
		}
	}
	for _, search := range []wire.Key{k, {ID: k.ID}} {
		if search.Label == "" && len(search.ID) == 0 {
			continue
		}
		if handles, err := objects(m, session, module.CKO_PUBLIC_KEY, search); err == nil && len(handles) == 1 {
			return fromPublicKey(m, session, handles[0], kind)
		}
		if handles, err := objects(m, session, module.CKO_CERTIFICATE, search); err == nil && len(handles) == 1 {
			return fromCertificate(m, session, handles[0])
		}
	}
	return nil, errors.New("the token has neither one nor a certificate beside the private key")
}

func fromPublicKey(m *module.Ctx, session module.SessionHandle, object module.ObjectHandle, kind uint64) ([]byte, error) {
	if kind == module.CKK_RSA {
		parts, err := attributes(m, session, object, module.CKA_MODULUS, module.CKA_PUBLIC_EXPONENT)
		if err != nil {
			return nil, err
		}
		return rsaKey(parts[0], parts[1])
	}
	parts, err := attributes(m, session, object, module.CKA_EC_PARAMS, module.CKA_EC_POINT)
	if err != nil {
		return nil, err
	}
	switch kind {
	case module.CKK_EC:
		return ecKey(parts[0], parts[1])
	case ckkECEdwards:
		return edwardsKey(parts[1])
	}
	return nil, fmt.Errorf("a key of the kind %#x signs no tokens", kind)
}

func fromCertificate(m *module.Ctx, session module.SessionHandle, object module.ObjectHandle) ([]byte, error) {
	value, err := attributes(m, session, object, module.CKA_VALUE)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(value[0])
	if err != nil {
		return nil, err
	}
	return x509.MarshalPKIXPublicKey(certificate.PublicKey)
}

func rsaKey(modulus, exponent []byte) ([]byte, error) {
	e := new(big.Int).SetBytes(exponent)
	if len(modulus) > 1024 || !e.IsInt64() || e.Int64() < 3 || e.Int64() >= 1<<31 {
		return nil, errors.New("RSA numbers are out of range")
	}
	return x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: int(e.Int64())})
}

// unwrapped is the point, which some modules put into an OCTET STRING, as the
// standard says, and others not.
func unwrapped(point []byte) []byte {
	var inner []byte
	if rest, err := asn1.Unmarshal(point, &inner); err == nil && len(rest) == 0 {
		return inner
	}
	return point
}

func ecKey(parameters, point []byte) ([]byte, error) {
	for _, c := range []struct {
		name  asn1.ObjectIdentifier
		curve elliptic.Curve
	}{
		{asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}, elliptic.P256()},
		{asn1.ObjectIdentifier{1, 3, 132, 0, 34}, elliptic.P384()},
	} {
		if name, err := asn1.Marshal(c.name); err != nil || !bytes.Equal(name, parameters) {
			continue
		}
		key, err := ecdsa.ParseUncompressedPublicKey(c.curve, unwrapped(point))
		if err != nil {
			return nil, err
		}
		return x509.MarshalPKIXPublicKey(key)
	}
	return nil, errors.New("its curve is neither P-256 nor P-384")
}

func edwardsKey(point []byte) ([]byte, error) {
	point = unwrapped(point)
	if len(point) != ed25519.PublicKeySize {
		return nil, errors.New("its curve is not Ed25519")
	}
	return x509.MarshalPKIXPublicKey(ed25519.PublicKey(point))
}
