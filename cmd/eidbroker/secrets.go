package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers/envelope"
	"github.com/eidbridge/eidbridge/brokers/envelope/kms"
	"github.com/eidbridge/eidbridge/brokers/hsm"
	"github.com/eidbridge/eidbridge/brokers/provider"
)

// secrets are what the broker makes for itself on first start.
type secrets struct {
	keys *provider.Keys
	// further are the keys beside those of the database.
	further []provider.Key
	// tokens hold those keys of further that are not here.
	tokens   []*hsm.Token
	pairwise []byte
	// later are the versions 2, 3, … of the pairwise secret.
	later [][]byte
	// masters protect the database.
	masters []envelope.Master
	// audit signs checkpoints; nil without an audit log.
	audit crypto.Signer
}

// close lets the tokens go.
func (s *secrets) close() {
	for _, t := range s.tokens {
		t.Close()
	}
}

// loadSecrets reads the secrets, or makes those that are missing if there is no
// database yet. With a database a missing one is an error: a new secret would
// silently make every citizen a stranger and every token invalid. A remote
// database may be known to other replicas, so there nothing is made by itself.
func loadSecrets(ctx context.Context, c config, dir directory, log *slog.Logger) (*secrets, error) {
	fresh := false
	if !c.remoteDatabase() {
		_, err := os.Lstat(dir.file(c.Database))
		fresh = errors.Is(err, fs.ErrNotExist)
	}
	return readSecrets(ctx, c, dir, fresh, log)
}

func readSecrets(ctx context.Context, c config, dir directory, fresh bool, log *slog.Logger) (*secrets, error) {
	return readSecretsAnd(ctx, c, dir, fresh, keepSecret, log)
}

// readSecretsAnd reads the secrets. What is made anew is kept by a function.
func readSecretsAnd(ctx context.Context, c config, dir directory, fresh bool, keep func(path string, data []byte) error, log *slog.Logger) (_ *secrets, err error) {
	s := &secrets{}
	setting := "signing_key"
	defer func() {
		if err = c.at(setting, err); err != nil {
			s.close()
		}
	}()
	readSecret := func(path string, create bool, fresh func() ([]byte, error)) ([]byte, error) {
		return readSecretAnd(path, create, fresh, keep)
	}
	var keys []provider.Key
	if c.SigningKeys == keysInFiles {
		key, err := c.ownKey(c.SigningKey, func(path string) ([]byte, error) { return readSecret(dir.file(path), fresh, newSigningKey) })
		if err != nil {
			return nil, err
		}
		if ec, ok := key.(*ecdsa.PrivateKey); !ok || ec.Curve != elliptic.P256() {
			return nil, fmt.Errorf("signing key %s is not an EC key on P-256; list keys of other kinds under [[keys]]", c.SigningKey)
		}
		keys = append(keys, provider.Key{Signer: key})
		setting = "rsa_signing_key"
		if c.RSASigningKey != "" {
			// Only a remote database has others who would have to know a new one too.
			key, err := c.ownKey(c.RSASigningKey, func(path string) ([]byte, error) {
				return readSecret(dir.file(path), fresh || !c.remoteDatabase(), newRSAKey)
			})
			if err != nil {
				return nil, err
			}
			if _, ok := key.(*rsa.PrivateKey); !ok {
				return nil, fmt.Errorf("signing key %s is not an RSA key", c.RSASigningKey)
			}
			keys = append(keys, provider.Key{Signer: key, Algorithm: jose.RS256})
		}
	}
	setting = "published_keys"
	for _, name := range c.PublishedKeys {
		public, err := readPublicKey(dir.file(name))
		if err != nil {
			return nil, fmt.Errorf("published key %s: %w", name, err)
		}
		keys = append(keys, provider.Key{Public: public})
	}
	for i, k := range c.Keys {
		if k.inToken() {
			continue
		}
		setting = fmt.Sprintf("keys[%d]", i)
		data, err := readSecret(dir.file(k.File), false, nil)
		if err != nil {
			return nil, fmt.Errorf("key: %w", err)
		}
		signer, err := parseSigningKey(data)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", k.File, err)
		}
		keys = append(keys, k.key(signer))
	}
	setting = ""
	inTokens, tokens, err := c.openTokens(ctx, dir, log)
	if err != nil {
		return nil, err
	}
	keys = append(keys, inTokens...)
	s.further, s.tokens = keys, tokens
	setting = "keys[0]"
	if c.keysInDatabase() {
		// Those of the database take its place before anything is served.
		passing, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		keys = append(keys, provider.Key{Signer: passing})
	}
	if s.keys, err = provider.NewKeys(keys...); err != nil {
		return nil, err
	}
	setting = "pairwise_secret"
	text, err := readSecret(dir.file(c.PairwiseSecret), fresh, newPairwiseSecret)
	if err != nil {
		return nil, fmt.Errorf("pairwise secret: %w", err)
	}
	if s.pairwise, err = parsePairwise(c.PairwiseSecret, text); err != nil {
		return nil, err
	}
	setting = "later_pairwise_secrets"
	for _, name := range c.LaterPairwise {
		if text, err = readSecret(dir.file(name), false, nil); err != nil {
			return nil, fmt.Errorf("later pairwise secret: %w", err)
		}
		secret, err := parsePairwise(name, text)
		if err != nil {
			return nil, err
		}
		s.later = append(s.later, secret)
	}
	setting = "master_keys"
	if s.masters, err = readMastersAnd(ctx, c, dir, fresh, keep); err != nil {
		return nil, err
	}
	if c.AuditLog == "" {
		return s, nil
	}
	setting = "audit_key"
	// A replica may come to a database that is there, with a log that is not.
	_, err = os.Lstat(dir.file(c.AuditLog))
	text, err = readSecret(dir.file(c.AuditKey), errors.Is(err, fs.ErrNotExist), newAuditKey)
	if err != nil {
		return nil, fmt.Errorf("audit key: %w", err)
	}
	if s.audit, err = parseSigningKey(text); err != nil {
		return nil, fmt.Errorf("audit key %s: %w", c.AuditKey, err)
	}
	return s, nil
}

// readMasters reads the master keys. Only the first is made if it is missing: the
// others exist, or there would be no reason to name them.
func readMasters(ctx context.Context, c config, dir directory, fresh bool) ([]envelope.Master, error) {
	return readMastersAnd(ctx, c, dir, fresh, keepSecret)
}

func readMastersAnd(ctx context.Context, c config, dir directory, fresh bool, keep func(path string, data []byte) error) ([]envelope.Master, error) {
	if len(c.MasterKeys) == 0 {
		return nil, errors.New("master_keys: at least one is required")
	}
	var masters []envelope.Master
	for i, name := range c.MasterKeys {
		if arn, remote := strings.CutPrefix(name, kms.Prefix); remote {
			// It reads files and the environment, and asks nobody yet.
			m, err := kms.New(ctx, arn, kms.Options{Endpoint: c.KMSEndpoint})
			if err != nil {
				return nil, fmt.Errorf("master key: %w", err)
			}
			masters = append(masters, m)
			continue
		}
		text, err := readSecretAnd(dir.file(name), fresh && i == 0, envelope.NewLocal, keep)
		if err != nil {
			return nil, fmt.Errorf("master key: %w", err)
		}
		m, err := envelope.ParseLocal(text)
		clear(text)
		if err != nil {
			return nil, fmt.Errorf("master key %s: %w", name, err)
		}
		masters = append(masters, m)
	}
	return masters, nil
}

// readSecret reads a file that nobody else may read; a link could lead anywhere.
func readSecret(path string, create bool, fresh func() ([]byte, error)) ([]byte, error) {
	return readSecretAnd(path, create, fresh, keepSecret)
}

// keepSecret writes a secret that was made.
func keepSecret(path string, data []byte) error { return writeNew(path, data, 0o600) }

// readSecretAnd is readSecret with another way to keep what is made.
func readSecretAnd(path string, create bool, fresh func() ([]byte, error), keep func(path string, data []byte) error) ([]byte, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && create:
		data, err := fresh()
		if err != nil {
			return nil, err
		}
		return data, keep(path, data)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s is missing although there is a database; restore it from a backup, copy it from another replica, or for a new deployment make it with eidbroker keys init", path)
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s can be read by others (mode %04o); chmod 600 it", path, info.Mode().Perm())
	case info.Size() > 64<<10:
		return nil, fmt.Errorf("%s is too large", path)
	}
	return os.ReadFile(path)
}

// writeNew writes a file that must not exist: whole or not at all.
func writeNew(path string, data []byte, mode fs.FileMode) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temporary.Name()) }() // a leftover harms nobody
	defer temporary.Close()
	if _, err := temporary.Write(data); err != nil {
		return err
	}
	if err := temporary.Chmod(mode); err != nil {
		return err
	}
	if err := temporary.Sync(); err != nil {
		return err
	}
	return os.Link(temporary.Name(), path) // fails if somebody was faster
}

func newSigningKey() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return encodeKey(key)
}

func newRSAKey() ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	return encodeKey(key)
}

// ownKey is a signing key that the broker makes for itself.
func (c config) ownKey(name string, read func(path string) ([]byte, error)) (crypto.Signer, error) {
	text, err := read(name)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	defer clear(text)
	key, err := parseSigningKey(text)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", name, err)
	}
	return key, nil
}

func newAuditKey() ([]byte, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return encodeKey(key)
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func parseSigningKey(data []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("no PEM block PRIVATE KEY")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("a key that cannot sign")
	}
	return signer, nil
}

// decryptionKeys are those for what portals encrypt for us.
func (c config) decryptionKeys(dir directory) ([]crypto.PrivateKey, error) {
	var keys []crypto.PrivateKey
	for _, name := range c.DecryptionKeys {
		text, err := readSecret(dir.file(name), false, nil)
		if err != nil {
			return nil, fmt.Errorf("decryption key: %w", err)
		}
		key, err := parseSigningKey(text) // of a kind that could sign too
		clear(text)
		if err != nil {
			return nil, fmt.Errorf("decryption key %s: %w", name, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func readPublicKey(path string) (crypto.PublicKey, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, errors.New("no PEM block PUBLIC KEY")
	}
	return x509.ParsePKIXPublicKey(block.Bytes)
}

func parsePairwise(name string, text []byte) ([]byte, error) {
	secret, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(secret) < 32 {
		return nil, fmt.Errorf("pairwise secret %s is not at least 32 bytes in base64", name)
	}
	return secret, nil
}

func newPairwiseSecret() ([]byte, error) {
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return nil, err
	}
	return []byte(base64.StdEncoding.EncodeToString(secret) + "\n"), nil
}
