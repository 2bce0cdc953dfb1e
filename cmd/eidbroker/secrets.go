package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
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
	return (&secretsReader{c: c, dir: dir, fresh: fresh, keep: keepSecret, log: log}).read(ctx)
}

// secretsReader reads secrets one kind after the other, each with the setting that is
// to blame when it cannot be read.
type secretsReader struct {
	c   config
	dir directory
	// fresh allows to make what is missing.
	fresh bool
	// keep keeps what is made.
	keep func(path string, data []byte) error
	log  *slog.Logger
}

func (r *secretsReader) read(ctx context.Context) (_ *secrets, err error) {
	s := &secrets{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if err := r.signing(ctx, s); err != nil {
		return nil, err
	}
	if err := r.pairwise(s); err != nil {
		return nil, err
	}
	if s.masters, err = r.masters(ctx); err != nil {
		return nil, r.c.at("master_keys", err)
	}
	if r.c.AuditLog == "" {
		return s, nil
	}
	if s.audit, err = r.audit(); err != nil {
		return nil, r.c.at("audit_key", err)
	}
	return s, nil
}

func (r *secretsReader) secret(name string, create bool, fresh func() ([]byte, error)) ([]byte, error) {
	return readSecretAnd(r.dir.file(name), create, fresh, r.keep)
}

// signing reads the keys that sign tokens, wherever they are.
func (r *secretsReader) signing(ctx context.Context, s *secrets) error {
	keys, err := r.ownKeys()
	if err != nil {
		return err
	}
	named, err := r.namedKeys()
	if err != nil {
		return err
	}
	inTokens, tokens, err := r.c.openTokens(ctx, r.dir, r.log)
	if err != nil {
		return err
	}
	keys = append(append(keys, named...), inTokens...)
	s.further, s.tokens = keys, tokens
	if r.c.keysInDatabase() {
		// Those of the database take its place before anything is served.
		passing, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		keys = append(keys, provider.Key{Signer: passing})
	}
	s.keys, err = provider.NewKeys(keys...)
	return r.c.at("keys[0]", err)
}

// ownKeys are those that the broker makes for itself.
func (r *secretsReader) ownKeys() ([]provider.Key, error) {
	if r.c.SigningKeys != keysInFiles {
		return nil, nil
	}
	key, err := r.ownKey(r.c.SigningKey, r.fresh, newSigningKey)
	if err != nil {
		return nil, r.c.at("signing_key", err)
	}
	if ec, ok := key.(*ecdsa.PrivateKey); !ok || ec.Curve != elliptic.P256() {
		return nil, r.c.at("signing_key", fmt.Errorf("signing key %s is not an EC key on P-256; list keys of other kinds under [[keys]]", r.c.SigningKey))
	}
	keys := []provider.Key{{Signer: key}}
	if r.c.RSASigningKey == "" {
		return keys, nil
	}
	// Only a remote database has others who would have to know a new one too.
	key, err = r.ownKey(r.c.RSASigningKey, r.fresh || !r.c.remoteDatabase(), newRSAKey)
	if err != nil {
		return nil, r.c.at("rsa_signing_key", err)
	}
	if _, ok := key.(*rsa.PrivateKey); !ok {
		return nil, r.c.at("rsa_signing_key", fmt.Errorf("signing key %s is not an RSA key", r.c.RSASigningKey))
	}
	return append(keys, provider.Key{Signer: key, Algorithm: jose.RS256}), nil
}

func (r *secretsReader) ownKey(name string, create bool, fresh func() ([]byte, error)) (crypto.Signer, error) {
	text, err := r.secret(name, create, fresh)
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

// namedKeys are those that operators made: published ones, and those of [[keys]] that
// are in files.
func (r *secretsReader) namedKeys() ([]provider.Key, error) {
	var keys []provider.Key
	for _, name := range r.c.PublishedKeys {
		public, err := readPublicKey(r.dir.file(name))
		if err != nil {
			return nil, r.c.at("published_keys", fmt.Errorf("published key %s: %w", name, err))
		}
		keys = append(keys, provider.Key{Public: public})
	}
	for i, k := range r.c.Keys {
		if k.inToken() {
			continue
		}
		key, err := r.namedKey(k)
		if err != nil {
			return nil, r.c.at(fmt.Sprintf("keys[%d]", i), err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func (r *secretsReader) namedKey(k keyConfig) (provider.Key, error) {
	text, err := r.secret(k.File, false, nil)
	if err != nil {
		return provider.Key{}, fmt.Errorf("key: %w", err)
	}
	defer clear(text)
	signer, err := parseSigningKey(text)
	if err != nil {
		return provider.Key{}, fmt.Errorf("key %s: %w", k.File, err)
	}
	return k.key(signer), nil
}

// pairwise reads all versions of the secret that subjects are derived from.
func (r *secretsReader) pairwise(s *secrets) error {
	text, err := r.secret(r.c.PairwiseSecret, r.fresh, newPairwiseSecret)
	if err != nil {
		return r.c.at("pairwise_secret", fmt.Errorf("pairwise secret: %w", err))
	}
	if s.pairwise, err = parsePairwise(r.c.PairwiseSecret, text); err != nil {
		return r.c.at("pairwise_secret", err)
	}
	for _, name := range r.c.LaterPairwise {
		if text, err = r.secret(name, false, nil); err != nil {
			return r.c.at("later_pairwise_secrets", fmt.Errorf("later pairwise secret: %w", err))
		}
		secret, err := parsePairwise(name, text)
		if err != nil {
			return r.c.at("later_pairwise_secrets", err)
		}
		s.later = append(s.later, secret)
	}
	return nil
}

// readMasters reads the master keys of a database that is there.
func readMasters(ctx context.Context, c config, dir directory) ([]envelope.Master, error) {
	return (&secretsReader{c: c, dir: dir, keep: keepSecret}).masters(ctx)
}

// masters reads the master keys. Only the first is made if it is missing: the others
// exist, or there would be no reason to name them.
func (r *secretsReader) masters(ctx context.Context) ([]envelope.Master, error) {
	if len(r.c.MasterKeys) == 0 {
		return nil, errors.New("master_keys: at least one is required")
	}
	var masters []envelope.Master
	for i, name := range r.c.MasterKeys {
		if arn, remote := strings.CutPrefix(name, kms.Prefix); remote {
			// It reads files and the environment, and asks nobody yet.
			m, err := kms.New(ctx, arn, kms.Options{Endpoint: r.c.KMSEndpoint})
			if err != nil {
				return nil, fmt.Errorf("master key: %w", err)
			}
			masters = append(masters, m)
			continue
		}
		text, err := r.secret(name, r.fresh && i == 0, envelope.NewLocal)
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

// audit reads the key that signs checkpoints of the audit log. A replica may come to a
// database that is there, with a log that is not.
func (r *secretsReader) audit() (crypto.Signer, error) {
	_, err := os.Lstat(r.dir.file(r.c.AuditLog))
	text, err := r.secret(r.c.AuditKey, errors.Is(err, fs.ErrNotExist), newAuditKey)
	if err != nil {
		return nil, fmt.Errorf("audit key: %w", err)
	}
	defer clear(text)
	key, err := parseSigningKey(text)
	if err != nil {
		return nil, fmt.Errorf("audit key %s: %w", r.c.AuditKey, err)
	}
	return key, nil
}
