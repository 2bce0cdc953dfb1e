package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/eidbridge/eidbridge/brokers/provider"
)

// secrets are what the broker makes for itself on first start.
type secrets struct {
	keys     *provider.Keys
	pairwise []byte
}

// loadSecrets reads the secrets, or makes those that are missing if there is no
// database yet. With a database a missing one is an error: a new secret would
// silently make every citizen a stranger and every token invalid.
func loadSecrets(c config, dir directory) (*secrets, error) {
	_, err := os.Lstat(dir.file(c.Database))
	fresh := errors.Is(err, fs.ErrNotExist)
	keyPEM, err := readSecret(dir.file(c.SigningKey), fresh, newSigningKey)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	key, err := parseSigningKey(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", c.SigningKey, err)
	}
	var published []*ecdsa.PublicKey
	for _, name := range c.PublishedKeys {
		public, err := readPublicKey(dir.file(name))
		if err != nil {
			return nil, fmt.Errorf("published key %s: %w", name, err)
		}
		published = append(published, public)
	}
	s := &secrets{}
	if s.keys, err = provider.NewKeys(key, published...); err != nil {
		return nil, err
	}
	text, err := readSecret(dir.file(c.PairwiseSecret), fresh, newPairwiseSecret)
	if err != nil {
		return nil, fmt.Errorf("pairwise secret: %w", err)
	}
	s.pairwise, err = base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(s.pairwise) < 32 {
		return nil, fmt.Errorf("pairwise secret %s is not at least 32 bytes in base64", c.PairwiseSecret)
	}
	return s, nil
}

// readSecret reads a file that nobody else may read; a link could lead anywhere.
func readSecret(path string, create bool, fresh func() ([]byte, error)) ([]byte, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && create:
		data, err := fresh()
		if err != nil {
			return nil, err
		}
		return data, writeNew(path, data, 0o600)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s is missing although there is a database; restore it from a backup", path)
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
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func parseSigningKey(data []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("no PEM block PRIVATE KEY")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("not an EC key")
	}
	return ec, nil
}

func readPublicKey(path string) (*ecdsa.PublicKey, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, errors.New("no PEM block PUBLIC KEY")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	ec, ok := key.(*ecdsa.PublicKey)
	if !ok {
		return nil, errors.New("not an EC key")
	}
	return ec, nil
}

func newPairwiseSecret() ([]byte, error) {
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return nil, err
	}
	return []byte(base64.StdEncoding.EncodeToString(secret) + "\n"), nil
}
