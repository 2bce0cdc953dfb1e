package main

import (
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
	"os"
	"path/filepath"
	"strings"

	"github.com/eidbridge/eidbridge/signing/outfile"
)

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
	if err := os.Link(temporary.Name(), path); err != nil { // fails if somebody was faster
		return err
	}
	// Before anything is encrypted or signed with it.
	return outfile.SyncFolder(filepath.Dir(path))
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
