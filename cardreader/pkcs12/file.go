package pkcs12

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/pin"
)

// Family is what cardreader.Info calls a key file.
const Family = "key file"

// File is a source of credentials: one slot named as the file. The file is opened
// with its password when something is asked of it for the first time, since its
// certificates are encrypted too, and its keys then sign after a yes alone
// (cardreader.Approver). Its methods may be called from several goroutines.
type File struct {
	Path string
	// Password asks for the password; it is not called for PEM. The file wipes
	// the answer. A wrong one is a *cardreader.PINError and asked for again at
	// the next use: a file counts no tries.
	Password func(ctx context.Context, r Request) (*pin.PIN, error)
	// Random is crypto/rand.Reader outside tests.
	Random io.Reader

	mu    sync.Mutex
	pairs []pair // nil until opened
}

// Request is what a password is asked for.
type Request struct {
	// Name is the file's, without its folder.
	Name string
	// Status holds the rule of the entry.
	Status cardreader.PINStatus
}

// PasswordID is the PIN of a *cardreader.PINError about the password.
const PasswordID = "password"

func passwordStatus() cardreader.PINStatus {
	return cardreader.PINStatus{
		ID: PasswordID, TriesLeft: -1, TriesMax: -1, MinLength: 1, MaxLength: pin.MaxLength, Class: pin.Text,
	}
}

// Close forgets the keys; the next use opens the file again.
func (f *File) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pairs = nil
}

// List implements cardreader.Source.
func (f *File) List(ctx context.Context) ([]cardreader.Inserted, error) {
	pairs, err := f.open(ctx)
	if err != nil {
		return nil, err
	}
	slot := cardreader.Inserted{
		Reader: cardreader.Reader{Name: filepath.Base(f.Path), State: cardreader.ReaderPresent},
		Info:   cardreader.Info{Family: Family},
	}
	for _, p := range pairs {
		for _, usage := range cardreader.UsagesOf(p.certificate) {
			slot.Credentials = append(slot.Credentials, cardreader.Credential{
				ID: keyName(p.certificate, usage), Usage: usage, Certificate: p.certificate,
			})
		}
	}
	return []cardreader.Inserted{slot}, nil
}

// Find implements cardreader.Source.
func (f *File) Find(ctx context.Context, sel cardreader.Selection) (*cardreader.Found, error) {
	slots, err := f.List(ctx)
	if err != nil {
		return nil, err
	}
	return cardreader.Choose(sel, slots)
}

// Signer implements cardreader.Source.
func (f *File) Signer(ctx context.Context, found *cardreader.Found, src cardreader.PINSource) crypto.Signer {
	return cardreader.TokenSigner(ctx, (*keys)(f), found, src)
}

func keyName(c *x509.Certificate, usage cardreader.Usage) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:8]) + "/" + string(usage)
}

// keys is a file as a cardreader.Token.
type keys File

// PIN implements cardreader.Token; no credential of a file has a PIN.
func (k *keys) PIN(context.Context, *cardreader.Found) (cardreader.PINStatus, bool, error) {
	return cardreader.PINStatus{}, false, cardreader.ErrNotOffered
}

// Sign implements cardreader.Token.
func (k *keys) Sign(ctx context.Context, found *cardreader.Found, _ cardreader.PINStatus, _ *pin.PIN, hash crypto.Hash, digest []byte) ([]byte, error) {
	pairs, err := (*File)(k).open(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range pairs {
		if !bytes.Equal(p.certificate.Raw, found.Credential.Certificate.Raw) {
			continue
		}
		if key, ok := p.key.(*rsa.PrivateKey); ok {
			return rsa.SignPKCS1v15(k.Random, key, hash, digest)
		}
		return p.key.Sign(k.Random, digest, hash)
	}
	return nil, cardreader.ErrCardChanged
}

// open reads the file unless that was done before.
func (f *File) open(ctx context.Context) ([]pair, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pairs != nil {
		return f.pairs, nil
	}
	data, err := f.read()
	if err != nil {
		return nil, err
	}
	defer clear(data)
	var c *content
	if bytes.Contains(data, []byte("-----BEGIN ")) {
		c, err = decodePEM(data)
	} else {
		c, err = f.unlock(ctx, data)
	}
	if err != nil {
		return nil, err
	}
	pairs := c.pairs()
	if len(pairs) == 0 {
		return nil, fmt.Errorf("%w: no certificate with its key", ErrUnsupported)
	}
	f.pairs = pairs
	return pairs, nil
}

func (f *File) read() ([]byte, error) {
	file, err := os.Open(f.Path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, malformed("too large")
	}
	return data, nil
}

func (f *File) unlock(ctx context.Context, data []byte) (*content, error) {
	// What is no such file is told before anybody is asked for anything.
	if len(data) < 2 || data[0] != 0x30 {
		return nil, malformed("neither PKCS #12 nor PEM")
	}
	status := passwordStatus()
	secret, err := f.Password(ctx, Request{Name: filepath.Base(f.Path), Status: status})
	if err != nil {
		return nil, fmt.Errorf("entering the password: %w", err)
	}
	defer secret.Wipe()
	wrong := func(r cardreader.PINReason) error {
		return &cardreader.PINError{Reason: r, PIN: PasswordID, TriesLeft: -1}
	}
	if err := status.Rule().Check(secret); err != nil {
		return nil, wrong(cardreader.PINFormat)
	}
	var c *content
	err = secret.Use(func(b []byte) error {
		p, err := newPassword(b)
		if err != nil {
			return err
		}
		defer p.wipe()
		c, err = decode(data, p)
		return err
	})
	if errors.Is(err, errPassword) {
		return nil, wrong(cardreader.PINWrong)
	}
	return c, err
}

// decodePEM reads CERTIFICATE and PRIVATE KEY blocks (RFC 7468), for tests: such
// a key has no protection at all.
func decodePEM(data []byte) (*content, error) {
	var c content
	for rest := data; len(c.keys)+len(c.certificates) < maxBags; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return &c, nil
		}
		switch block.Type {
		case "CERTIFICATE":
			if certificate, err := x509.ParseCertificate(block.Bytes); err == nil {
				c.certificates = append(c.certificates, certificate)
			}
		case "PRIVATE KEY":
			if err := c.addKey(block.Bytes); err != nil {
				return nil, err
			}
			clear(block.Bytes)
		}
	}
	return nil, malformed("too many keys and certificates")
}
