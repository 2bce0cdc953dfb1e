package envelope

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
)

// Master wraps data keys. Implementations may be used by several goroutines.
type Master interface {
	// ID names the master key, the same on every replica: at most 200 bytes of
	// printable ASCII, no secret.
	ID() string
	// Wrap encrypts a data key; Unwrap is its reverse. The context is bound to the
	// result and has to be the same for both.
	Wrap(ctx context.Context, key, context []byte) ([]byte, error)
	Unwrap(ctx context.Context, wrapped, context []byte) ([]byte, error)
}

// DataKey is a data key as it is kept beside the records.
type DataKey struct {
	// ID counts data keys; it stands in front of every record.
	ID uint64
	// Master is the ID of the master key that wrapped it.
	Master    string
	Wrapped   []byte
	CreatedAt time.Time
}

// Keys keeps data keys. Every verb is atomic.
type Keys interface {
	// DataKeys lists all, oldest first.
	DataKeys(ctx context.Context) ([]DataKey, error)
	// AddDataKey inserts a new one; ErrTaken if there is one of that ID.
	AddDataKey(ctx context.Context, k DataKey) error
	// ReplaceDataKey stores the same key under another master key, if it is still
	// wrapped by the one named; otherwise it is ErrTaken.
	ReplaceDataKey(ctx context.Context, k DataKey, from string) error
	// DestroyDataKeys removes those that were made before a time, except the newest
	// of all, and says how many.
	DestroyDataKeys(ctx context.Context, before time.Time) (int, error)
}

// ErrTaken says that another replica was faster.
var ErrTaken = errors.New("envelope: the data key is there already, or changed")

// ErrSeal says that a record is not what was sealed: changed, moved from another
// row, put back from an earlier version, or not sealed at all.
var ErrSeal = errors.New("envelope: record does not authenticate")

// ErrMaster says that no master key at hand is the one that wrapped a data key.
var ErrMaster = errors.New("envelope: no such master key")

// The form of a sealed record: version, number of the data key, nonce, cipher
// text with its tag.
const (
	version    = 1
	headerSize = 1 + 8
	// Overhead is how much longer a sealed record is, in bytes.
	Overhead = headerSize + chacha20poly1305.NonceSizeX + chacha20poly1305.Overhead
	// dataKeyAge is after how long a new data key takes over.
	dataKeyAge = 24 * time.Hour
)

// Keyring seals and opens. It may be used by several goroutines, and other
// replicas may add data keys behind its back.
type Keyring struct {
	keys    Keys
	masters []Master
	now     func() time.Time
	rand    io.Reader

	mu      sync.RWMutex
	opened  map[uint64]cipher.AEAD
	current uint64
}

// Open loads all data keys and makes the first if there is none. The first
// master wraps, the others only unwrap: those that are on their way in or out.
func Open(ctx context.Context, keys Keys, now func() time.Time, masters ...Master) (*Keyring, error) {
	if len(masters) == 0 {
		return nil, errors.New("envelope: a master key is required")
	}
	r := &Keyring{keys: keys, masters: masters, now: now, rand: rand.Reader, opened: map[uint64]cipher.AEAD{}}
	return r, r.Refresh(ctx)
}

// Refresh learns the data keys of other replicas and makes a new one when the
// newest is a day old.
func (r *Keyring) Refresh(ctx context.Context) error {
	for range 3 {
		list, err := r.keys.DataKeys(ctx)
		if err != nil {
			return fmt.Errorf("reading data keys: %w", err)
		}
		if err := r.learn(ctx, list); err != nil {
			return err
		}
		var newest DataKey
		if len(list) > 0 {
			newest = list[len(list)-1]
		}
		if len(list) > 0 && r.now().Sub(newest.CreatedAt) < dataKeyAge {
			r.mu.Lock()
			r.current = newest.ID
			r.mu.Unlock()
			return nil
		}
		err = r.add(ctx, newest.ID+1)
		if err != nil && !errors.Is(err, ErrTaken) {
			return fmt.Errorf("making a data key: %w", err)
		}
	}
	return errors.New("envelope: the clocks of the replicas are more than a day apart")
}

func (r *Keyring) add(ctx context.Context, id uint64) error {
	key := make([]byte, chacha20poly1305.KeySize)
	defer clear(key)
	if _, err := io.ReadFull(r.rand, key); err != nil {
		return err
	}
	k := DataKey{ID: id, Master: r.masters[0].ID(), CreatedAt: r.now()}
	var err error
	if k.Wrapped, err = r.masters[0].Wrap(ctx, key, wrapContext(id)); err != nil {
		return err
	}
	return r.keys.AddDataKey(ctx, k)
}

// wrapContext binds a wrapped key to its number.
func wrapContext(id uint64) []byte { return fmt.Appendf(nil, "eidbridge data key %d", id) }

// learn unwraps the keys that are new, and forgets those that are gone.
func (r *Keyring) learn(ctx context.Context, list []DataKey) error {
	opened := make(map[uint64]cipher.AEAD, len(list))
	for _, k := range list {
		r.mu.RLock()
		aead := r.opened[k.ID]
		r.mu.RUnlock()
		if aead == nil {
			key, err := r.unwrap(ctx, k)
			if err != nil {
				return err
			}
			aead, err = chacha20poly1305.NewX(key)
			clear(key)
			if err != nil {
				return fmt.Errorf("data key %d: %w", k.ID, err)
			}
		}
		opened[k.ID] = aead
	}
	r.mu.Lock()
	r.opened = opened
	r.mu.Unlock()
	return nil
}

func (r *Keyring) unwrap(ctx context.Context, k DataKey) ([]byte, error) {
	for _, m := range r.masters {
		if m.ID() == k.Master {
			key, err := m.Unwrap(ctx, k.Wrapped, wrapContext(k.ID))
			if err != nil {
				return nil, fmt.Errorf("data key %d: %w", k.ID, err)
			}
			return key, nil
		}
	}
	return nil, fmt.Errorf("%w: data key %d is wrapped by %s, which is not configured; restore that master key", ErrMaster, k.ID, k.Master)
}

// Seal encrypts a record under a name that Open has to repeat.
func (r *Keyring) Seal(name, record []byte) ([]byte, error) {
	r.mu.RLock()
	id, aead := r.current, r.opened[r.current]
	r.mu.RUnlock()
	if aead == nil {
		return nil, errors.New("envelope: there is no data key")
	}
	out := make([]byte, headerSize+chacha20poly1305.NonceSizeX, Overhead+len(record))
	out[0] = version
	binary.BigEndian.PutUint64(out[1:], id)
	nonce := out[headerSize:]
	if _, err := io.ReadFull(r.rand, nonce); err != nil {
		return nil, fmt.Errorf("reading randomness: %w", err)
	}
	return aead.Seal(out, nonce, record, append(out[:headerSize:headerSize], name...)), nil
}

// Unseal decrypts a record, or says ErrSeal. A data key that another replica has
// just made is fetched.
func (r *Keyring) Unseal(ctx context.Context, name, sealed []byte) ([]byte, error) {
	if len(sealed) < Overhead || sealed[0] != version {
		return nil, ErrSeal
	}
	id := binary.BigEndian.Uint64(sealed[1:])
	aead, err := r.dataKey(ctx, id)
	if err != nil {
		return nil, err
	}
	nonce, text := sealed[headerSize:headerSize+chacha20poly1305.NonceSizeX], sealed[headerSize+chacha20poly1305.NonceSizeX:]
	record, err := aead.Open(nil, nonce, text, append(sealed[:headerSize:headerSize], name...))
	if err != nil {
		return nil, ErrSeal
	}
	return record, nil
}

func (r *Keyring) dataKey(ctx context.Context, id uint64) (cipher.AEAD, error) {
	r.mu.RLock()
	aead, current := r.opened[id], r.current
	r.mu.RUnlock()
	// Keys are counted and their number stands in the clear: one far ahead of all
	// that are known is an invention, not worth a query.
	if aead == nil && id > current && id-current < 1000 {
		if err := r.Refresh(ctx); err != nil {
			return nil, err
		}
		r.mu.RLock()
		aead = r.opened[id]
		r.mu.RUnlock()
	}
	if aead == nil {
		return nil, fmt.Errorf("%w: data key %d is not there, or was destroyed", ErrSeal, id)
	}
	return aead, nil
}

// Stale reports whether a record was sealed under another than the newest data
// key, so that what lives long can be sealed again before its key is destroyed.
func (r *Keyring) Stale(sealed []byte) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(sealed) < headerSize || binary.BigEndian.Uint64(sealed[1:]) != r.current
}

// Rewrap wraps every data key by the first master key, whatever wrapped it
// before, and says how many changed. Records stay as they are, replicas keep
// working, and after an interruption it is simply called again.
func (r *Keyring) Rewrap(ctx context.Context) (int, error) {
	list, err := r.keys.DataKeys(ctx)
	if err != nil {
		return 0, fmt.Errorf("reading data keys: %w", err)
	}
	changed := 0
	for _, k := range list {
		if k.Master == r.masters[0].ID() {
			continue
		}
		err := r.rewrap(ctx, k)
		if err != nil && !errors.Is(err, ErrTaken) {
			return changed, fmt.Errorf("re-wrapping data key %d: %w", k.ID, err)
		}
		if err == nil {
			changed++
		}
	}
	return changed, nil
}

func (r *Keyring) rewrap(ctx context.Context, k DataKey) error {
	key, err := r.unwrap(ctx, k)
	if err != nil {
		return err
	}
	defer clear(key)
	wrapped, err := r.masters[0].Wrap(ctx, key, wrapContext(k.ID))
	if err != nil {
		return err
	}
	return r.keys.ReplaceDataKey(ctx, DataKey{ID: k.ID, Master: r.masters[0].ID(), Wrapped: wrapped, CreatedAt: k.CreatedAt}, k.Master)
}

// Renew makes a new data key at once, for the case that one is feared known.
func (r *Keyring) Renew(ctx context.Context) error {
	if err := r.Refresh(ctx); err != nil {
		return err
	}
	r.mu.RLock()
	next := r.current + 1
	r.mu.RUnlock()
	if err := r.add(ctx, next); err != nil && !errors.Is(err, ErrTaken) {
		return fmt.Errorf("making a data key: %w", err)
	}
	return r.Refresh(ctx)
}

// Destroy removes data keys that sealed their last record longer ago than any
// record lives. What a backup holds under them is lost for good, as it should be.
func (r *Keyring) Destroy(ctx context.Context, longestLife time.Duration) (int, error) {
	n, err := r.keys.DestroyDataKeys(ctx, r.now().Add(-longestLife-2*dataKeyAge))
	if err != nil || n == 0 {
		return n, err
	}
	return n, r.Refresh(ctx)
}
