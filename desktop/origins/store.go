package origins

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	json "encoding/json/v2"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/eidbridge/eidbridge/signing/outfile"
)

// Scope is what a token allows its origin to ask for.
type Scope string

// The scopes of the agent's own API.
const (
	ScopeStatus       Scope = "status"
	ScopeAuthenticate Scope = "authenticate"
	ScopeCertificates Scope = "certificates"
	ScopeSign         Scope = "sign"
)

// Valid tells whether the scope is known.
func (s Scope) Valid() bool {
	switch s {
	case ScopeStatus, ScopeAuthenticate, ScopeCertificates, ScopeSign:
		return true
	}
	return false
}

const (
	// tokenBytes is the size of a token before encoding: 256 bit.
	tokenBytes = 32
	// Lifetime of a pairing after its last use.
	Lifetime = 30 * 24 * time.Hour
	// maxPairings bounds the file; the least recently used pairing gives way.
	maxPairings = 500
	// maxFile bounds what is read back, in bytes.
	maxFile = 1 << 20
	// touchEvery keeps the use of a token from being a write each time.
	touchEvery = time.Hour
)

// What a lookup may say.
var (
	// ErrToken is a token that is unknown, expired, or another origin's.
	ErrToken = errors.New("token is not valid")
	// ErrScope is a token that does not allow what is asked.
	ErrScope = errors.New("scope is missing")
	// ErrUnknown is a pairing that does not exist.
	ErrUnknown = errors.New("no such pairing")
)

// Pairing is an origin that a person has approved.
type Pairing struct {
	ID     string `json:"id"`
	Origin Origin `json:"origin"`
	// Name is what the site called itself; not verified by anybody.
	Name   string  `json:"name"`
	Scopes []Scope `json:"scopes"`
	// TokenSHA256 is the hash of the token in base64url; the token itself is
	// kept nowhere.
	TokenSHA256 string    `json:"tokenSha256"`
	Created     time.Time `json:"created"`
	LastUsed    time.Time `json:"lastUsed"`
	Expires     time.Time `json:"expires"`
}

// Store keeps pairings in one file, readable by its owner alone and replaced as
// a whole. It is safe for use by several goroutines; one process owns the file.
type Store struct {
	path   string
	now    func() time.Time
	random io.Reader

	mu       sync.Mutex
	pairings []Pairing
}

// Open reads the store; a missing file is an empty store. random is the source of
// tokens: crypto/rand.Reader outside tests.
func Open(path string, now func() time.Time, random io.Reader) (*Store, error) {
	s := &Store{path: path, now: now, random: random}
	if _, err := outfile.Sweep(path); err != nil { // of an agent that was killed
		return nil, fmt.Errorf("read pairings: %w", err)
	}
	data, err := readBounded(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read pairings: %w", err)
	}
	var file storeFile
	if err := json.Unmarshal(data, &file, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("read pairings %s: %w", path, err)
	}
	if file.Version != 1 {
		return nil, fmt.Errorf("read pairings %s: version %d is not known", path, file.Version)
	}
	s.pairings = file.Pairings
	return s, nil
}

type storeFile struct {
	Version  int       `json:"version"`
	Pairings []Pairing `json:"pairings"`
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, errors.New("file is too large")
	}
	return data, nil
}

// Approve stores a pairing and returns it with its token, which is told once.
func (s *Store) Approve(id string, o Origin, name string, scopes []Scope) (Pairing, string, error) {
	secret := make([]byte, tokenBytes)
	if _, err := io.ReadFull(s.random, secret); err != nil {
		return Pairing{}, "", fmt.Errorf("make token: %w", err)
	}
	token := base64.RawURLEncoding.EncodeToString(secret)
	now := s.now().UTC().Truncate(time.Second)
	p := Pairing{
		ID: id, Origin: o, Name: name, Scopes: slices.Clone(scopes),
		TokenSHA256: hashOf(token), Created: now, LastUsed: now, Expires: now.Add(Lifetime),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.live(now)
	if len(next) >= maxPairings {
		oldest := slices.MinFunc(next, func(a, b Pairing) int { return a.LastUsed.Compare(b.LastUsed) })
		next = slices.DeleteFunc(next, func(q Pairing) bool { return q.ID == oldest.ID })
	}
	if err := s.save(append(next, p)); err != nil {
		return Pairing{}, "", err
	}
	return p, token, nil
}

// Check tells whether token belongs to origin and allows scope, and notes the
// use: the pairing lives for Lifetime from now. An empty scope asks for the
// token alone.
func (s *Store) Check(token string, o Origin, scope Scope) (Pairing, error) {
	hash := hashOf(token)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now().UTC()
	i := slices.IndexFunc(s.pairings, func(p Pairing) bool {
		return subtle.ConstantTimeCompare([]byte(p.TokenSHA256), []byte(hash)) == 1
	})
	if i < 0 || s.pairings[i].Origin != o || !now.Before(s.pairings[i].Expires) {
		return Pairing{}, ErrToken
	}
	if scope != "" && !slices.Contains(s.pairings[i].Scopes, scope) {
		return Pairing{}, ErrScope
	}
	if now.Sub(s.pairings[i].LastUsed) >= touchEvery {
		next := slices.Clone(s.pairings)
		next[i].LastUsed = now.Truncate(time.Second)
		next[i].Expires = next[i].LastUsed.Add(Lifetime)
		if err := s.save(next); err != nil {
			return Pairing{}, err
		}
	}
	return s.pairings[i], nil
}

// Approved tells whether the origin has any live pairing: whether it may read
// answers at all.
func (s *Store) Approved(o Origin) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	return slices.ContainsFunc(s.pairings, func(p Pairing) bool {
		return p.Origin == o && now.Before(p.Expires)
	})
}

// List returns the live pairings, oldest first.
func (s *Store) List() []Pairing {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live(s.now())
}

// Forget removes a pairing; its token is void from then on.
func (s *Store) Forget(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := slices.DeleteFunc(slices.Clone(s.pairings), func(p Pairing) bool { return p.ID == id })
	if len(next) == len(s.pairings) {
		return ErrUnknown
	}
	return s.save(next)
}

// live returns a copy without what has expired.
func (s *Store) live(now time.Time) []Pairing {
	return slices.DeleteFunc(slices.Clone(s.pairings), func(p Pairing) bool { return !now.Before(p.Expires) })
}

// save replaces the file and, only when that worked, what is in memory.
func (s *Store) save(pairings []Pairing) error {
	data, err := json.Marshal(storeFile{Version: 1, Pairings: pairings}, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("write pairings: %w", err)
	}
	// Durable when it returns: a pairing that was forgotten does not come back with the
	// power (threats S-21).
	if err := outfile.Replace(s.path, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("write pairings: %w", err)
	}
	s.pairings = pairings
	return nil
}

func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
