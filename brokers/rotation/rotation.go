// Package rotation keeps the keys that sign tokens in the broker's database, and
// has them follow each other without anybody's doing.
//
// A key is made well before it signs, so that every relying party has fetched the
// key set meanwhile; it signs until the next takes over, and stays published until
// nothing that it signed is looked at any more:
//
//	made ── published ahead ──> signs ── every ──> next signs ── kept after ──> gone
//
// Any number of replicas look after the same keys. Keys are numbered and a number is
// taken once, so that of many replicas that find a key wanting one makes it, and all
// read the same time table. Private keys are records of the database like others,
// encrypted there by brokers/envelope.
//
// Each number is an EC key on P-256 and an RSA key for RS256, which every provider
// has to know (OpenID Connect Discovery 3), with one time table.
//
// Left out: keys of other kinds, and keys that never leave a token.
package rotation

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/provider"
)

// Store keeps signing keys. Every verb is atomic.
type Store interface {
	// SigningKeys lists all, by number.
	SigningKeys(ctx context.Context) ([]brokers.SigningKey, error)
	// AddSigningKey inserts one; brokers.ErrConflict if its number is taken.
	AddSigningKey(ctx context.Context, k brokers.SigningKey) error
	// RemoveSigningKeys removes those of lower numbers.
	RemoveSigningKeys(ctx context.Context, below int) error
}

// Schedule is the life of keys. Zero values stand for the default.
type Schedule struct {
	// Every is how long a key signs, default 30 days.
	Every time.Duration
	// Ahead is how long it is published before, default 48 hours. Relying parties
	// keep a key set for a day.
	Ahead time.Duration
	// After is how long it is published afterwards, default 7 days.
	After time.Duration
}

// Complete puts in the defaults, and refuses what cannot be kept.
func (s *Schedule) Complete() error {
	for _, d := range []struct {
		value    *time.Duration
		standard time.Duration
	}{{&s.Every, 30 * 24 * time.Hour}, {&s.Ahead, 48 * time.Hour}, {&s.After, 7 * 24 * time.Hour}} {
		if *d.value == 0 {
			*d.value = d.standard
		}
	}
	if s.Ahead < time.Hour || s.After < time.Hour || s.Every < 2*s.Ahead {
		return errors.New("rotation: keys are published an hour ahead and kept an hour after at least, and sign twice as long as they are published ahead")
	}
	return nil
}

// Keeper looks after the keys of one database. It may be used by several
// goroutines.
type Keeper struct {
	store    Store
	schedule Schedule
	now      func() time.Time
	log      *slog.Logger
}

// New makes a keeper. The logger takes audit events.
func New(store Store, schedule Schedule, now func() time.Time, log *slog.Logger) (*Keeper, error) {
	if err := schedule.Complete(); err != nil {
		return nil, err
	}
	return &Keeper{store, schedule, now, log}, nil
}

// Keys are the keys of now, made where they are wanting.
func (k *Keeper) Keys(ctx context.Context) ([]provider.Key, error) {
	for range 5 {
		list, err := k.store.SigningKeys(ctx)
		if err != nil {
			return nil, fmt.Errorf("reading signing keys: %w", err)
		}
		now := k.now()
		if n := len(list); n == 0 {
			// Nobody knows of any key yet, so there is none to be waited for.
			err = k.add(ctx, 1, now)
		} else if last := list[n-1]; !now.Before(last.Use.Add(k.schedule.Every - k.schedule.Ahead)) {
			err = k.add(ctx, last.Number+1, now.Add(k.schedule.Ahead))
		} else {
			return k.read(ctx, list, now)
		}
		if err != nil && !errors.Is(err, brokers.ErrConflict) {
			return nil, err
		}
	}
	return nil, errors.New("rotation: the clocks of the replicas differ by more than keys are published ahead")
}

// Rotate makes the next key at once, which signs as soon as it was published long
// enough. If the keys are feared known it signs immediately and all others are
// gone, and with them every token that they signed.
func (k *Keeper) Rotate(ctx context.Context, feared bool) (use time.Time, err error) {
	if _, err := k.Keys(ctx); err != nil {
		return use, err
	}
	list, err := k.store.SigningKeys(ctx)
	if err != nil {
		return use, fmt.Errorf("reading signing keys: %w", err)
	}
	now := k.now()
	last := list[len(list)-1]
	if last.Use.After(now) && !feared {
		return last.Use, fmt.Errorf("rotation: the next key was made already and signs from %s", last.Use.UTC().Format(time.RFC3339))
	}
	use = now.Add(k.schedule.Ahead)
	if feared {
		use = now
	}
	if err := k.add(ctx, last.Number+1, use); err != nil {
		return use, fmt.Errorf("making a signing key: %w", err)
	}
	if feared {
		if err := k.store.RemoveSigningKeys(ctx, last.Number+1); err != nil {
			return use, fmt.Errorf("removing signing keys: %w", err)
		}
		k.tell(ctx, "keys.withdrawn", "feared", last.Number)
	}
	return use, nil
}

func (k *Keeper) tell(ctx context.Context, event, reason string, number int) {
	k.log.LogAttrs(ctx, slog.LevelInfo, "audit", slog.String("event", event), slog.String("reason", reason), slog.Int("number", number))
}

func (k *Keeper) add(ctx context.Context, number int, use time.Time) error {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making a signing key: %w", err)
	}
	plain, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return fmt.Errorf("making a signing key: %w", err)
	}
	made := brokers.SigningKey{Number: number, Use: use}
	if made.Private, err = x509.MarshalPKCS8PrivateKey(ec); err == nil {
		made.RSA, err = x509.MarshalPKCS8PrivateKey(plain)
	}
	if err != nil {
		return fmt.Errorf("making a signing key: %w", err)
	}
	defer func() { clear(made.Private); clear(made.RSA) }()
	if err := k.store.AddSigningKey(ctx, made); err != nil {
		return err
	}
	k.tell(ctx, "keys.made", "rotation", number)
	return nil
}

// read makes the time table: a key is gone some time after its successor took
// over.
func (k *Keeper) read(ctx context.Context, list []brokers.SigningKey, now time.Time) ([]provider.Key, error) {
	var keys []provider.Key
	oldest := list[0].Number
	for i, s := range list {
		var until time.Time
		if i+1 < len(list) {
			until = list[i+1].Use.Add(k.schedule.After)
			if !now.Before(until) {
				oldest = list[i+1].Number
				continue
			}
		}
		for _, half := range []struct {
			der       []byte
			algorithm jose.SignatureAlgorithm
		}{{s.Private, jose.ES256}, {s.RSA, jose.RS256}} {
			if len(half.der) == 0 {
				continue
			}
			signer, err := parse(half.der)
			if err != nil {
				return nil, fmt.Errorf("signing key %d: %w", s.Number, err)
			}
			keys = append(keys, provider.Key{Signer: signer, Algorithm: half.algorithm, Use: s.Use, Until: until})
		}
	}
	if oldest > list[0].Number {
		if err := k.store.RemoveSigningKeys(ctx, oldest); err != nil {
			return nil, fmt.Errorf("removing signing keys: %w", err)
		}
		k.tell(ctx, "keys.withdrawn", "rotation", oldest-1)
	}
	return keys, nil
}

// parse reads a key and clears what it was read from.
func parse(der []byte) (crypto.Signer, error) {
	defer clear(der)
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errors.New("it cannot be read") // the error could tell of the key
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("it cannot sign")
	}
	return signer, nil
}

// Follow keeps a set up to date until ctx ends, with further keys beside those of
// the database.
func (k *Keeper) Follow(ctx context.Context, every time.Duration, set *provider.Keys, further []provider.Key) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		keys, err := k.Keys(ctx)
		if err == nil {
			err = set.Replace(append(keys, further...)...)
		}
		if err != nil && ctx.Err() == nil {
			// Those at hand go on.
			k.log.ErrorContext(ctx, "signing keys were not read", "error", err)
		}
	}
}
