package loadtarget

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers/envelope"
	"github.com/eidbridge/eidbridge/brokers/provider"
)

// Secrets are what a target has to keep to be the same one after a restart.
type Secrets struct {
	// Pairwise derives the subjects.
	Pairwise []byte `json:"pairwise"`
	// Signing are the keys of the provider, one for each algorithm.
	Signing jose.JSONWebKeySet `json:"signing"`
	// ClientSecrets are those of the clients with one, by client.
	ClientSecrets map[string]string `json:"clientSecrets"`
	// ClientKeys are the private keys of the clients with one, by client.
	ClientKeys map[string]jose.JSONWebKey `json:"clientKeys"`
	// Certificates are those of the clients that show one, as DER, by client.
	Certificates map[string][]byte `json:"certificates"`
	// MasterKey protects what is in a database, as in a real deployment.
	MasterKey []byte `json:"masterKey"`
	// RegistrationToken is the initial access token for registering clients.
	RegistrationToken string `json:"registrationToken"`
}

// NewSecrets makes secrets for a target that is not to outlive its process.
func NewSecrets() (*Secrets, error) {
	s := &Secrets{
		Pairwise: make([]byte, 32), ClientSecrets: map[string]string{}, ClientKeys: map[string]jose.JSONWebKey{}, Certificates: map[string][]byte{},
		RegistrationToken: rand.Text(),
	}
	if _, err := rand.Read(s.Pairwise); err != nil {
		return nil, err
	}
	for _, id := range []string{mainClient, secondClient} {
		s.ClientSecrets[id] = rand.Text() + rand.Text()
	}
	for _, id := range []string{keyClient, fapiClient, secondFAPIClient, tlsClient, secondTLSClient} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		s.ClientKeys[id] = jose.JSONWebKey{Key: key, KeyID: id, Algorithm: string(jose.ES256), Use: "sig"}
		if s.Certificates[id], err = selfSigned(id, key); err != nil {
			return nil, err
		}
	}
	var err error
	if s.MasterKey, err = envelope.NewLocal(); err != nil {
		return nil, err
	}
	s.Signing, err = signingKeys()
	return s, err
}

// Master is the master key.
func (s *Secrets) Master() (envelope.Master, error) { return envelope.ParseLocal(s.MasterKey) }

// selfSigned is a client's certificate (RFC 8705 2.2).
func selfSigned(name string, key *ecdsa.PrivateKey) ([]byte, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	return x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
}

// signingKeys makes a key for each algorithm, the first for ES256.
func signingKeys() (set jose.JSONWebKeySet, err error) {
	for _, algorithm := range []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.EdDSA, jose.RS256, jose.PS256} {
		var key crypto.Signer
		switch algorithm {
		case jose.ES256:
			key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		case jose.ES384:
			key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		case jose.EdDSA:
			_, key, err = ed25519.GenerateKey(rand.Reader)
		default:
			key, err = rsa.GenerateKey(rand.Reader, 2048)
		}
		if err != nil {
			return set, err
		}
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key, Algorithm: string(algorithm), Use: "sig"})
	}
	return set, nil
}

// OpenSecrets reads the secrets of a folder, or makes them there.
func OpenSecrets(dir string) (*Secrets, error) {
	path := filepath.Join(dir, "target.json")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		s, err := NewSecrets()
		if err != nil {
			return nil, err
		}
		if data, err = json.Marshal(s); err != nil {
			return nil, err
		}
		return s, os.WriteFile(path, data, 0o600)
	}
	if err != nil {
		return nil, err
	}
	s := new(Secrets)
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("%s is not what a load target wrote: %w", path, err)
	}
	return s, nil
}

// keys are the provider's keys.
func (s *Secrets) keys() (*provider.Keys, error) {
	var keys []provider.Key
	for _, k := range s.Signing.Keys {
		signer, ok := k.Key.(crypto.Signer)
		if !ok {
			return nil, errors.New("a signing key cannot sign")
		}
		keys = append(keys, provider.Key{Signer: signer, Algorithm: jose.SignatureAlgorithm(k.Algorithm)})
	}
	return provider.NewKeys(keys...)
}
