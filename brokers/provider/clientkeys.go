package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// keysFresh is how long the keys of a client are taken as they were read, keysAgain
	// how soon its address is asked again for a key that is not known, or after a
	// failure, and keysStale how long keys count that cannot be read anew.
	keysFresh = 15 * time.Minute
	keysAgain = time.Minute
	keysStale = 24 * time.Hour
	// maxFetched bounds a document of a client, in bytes; fetchTimeout its arrival.
	maxFetched   = 64 << 10
	fetchTimeout = 5 * time.Second
	// maxKeySets bounds the key sets that are remembered.
	maxKeySets = 10_000
)

// clientKeys are the keys that clients keep at their own addresses (jwks_uri).
type clientKeys struct {
	mu   sync.Mutex
	sets map[string]*clientKeySet
}

// clientKeySet is one key set. Who fetches holds the lock: others wait for the same
// answer.
type clientKeySet struct {
	mu          sync.Mutex
	keys        []jose.JSONWebKey
	read, tried time.Time
}

func (k *clientKeys) set(address string) *clientKeySet {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.sets == nil {
		k.sets = map[string]*clientKeySet{}
	}
	set := k.sets[address]
	if set == nil {
		if len(k.sets) >= maxKeySets { // any one will do: it is fetched again
			for other := range k.sets {
				delete(k.sets, other)
				break
			}
		}
		set = &clientKeySet{}
		k.sets[address] = set
	}
	return set
}

// keysOf are the keys of a client; anew asks for them again, because one was missing,
// and says by ok whether there is anything new.
func (p *Provider) keysOf(ctx context.Context, c *Client, anew bool) (keys []jose.JSONWebKey, ok bool) {
	if c.JWKSURI == "" {
		return c.Keys, !anew
	}
	now := p.cfg.Now()
	set := p.clientKeys.set(c.JWKSURI)
	set.mu.Lock()
	defer set.mu.Unlock()
	old := set.read.IsZero() || now.Sub(set.read) >= keysFresh
	fetch := (old || anew) && (set.tried.IsZero() || now.Sub(set.tried) >= keysAgain)
	if fetch {
		set.tried = now
		fetched, err := p.fetchKeys(ctx, c.JWKSURI)
		if err == nil {
			set.keys, set.read = fetched, now
		} else {
			p.cfg.Log.WarnContext(ctx, "the keys of a client were not read", "client", c.ID, "error", err)
		}
	}
	if set.read.IsZero() || now.Sub(set.read) >= keysStale {
		return nil, false
	}
	return set.keys, fetch || !anew
}

// verifiedByClient checks a statement by the keys of a client, which may have changed.
func (p *Provider) verifiedByClient(ctx context.Context, c *Client, s *statement) error {
	keys, _ := p.keysOf(ctx, c, false)
	err := s.verify(keys)
	if err == nil {
		return nil
	}
	if keys, ok := p.keysOf(ctx, c, true); ok {
		err = s.verify(keys)
	}
	return err
}

// fetchKeys reads a key set. Keys that are private, weak or of other kinds are left
// out: they may be meant for others.
func (p *Provider) fetchKeys(ctx context.Context, address string) ([]jose.JSONWebKey, error) {
	text, err := p.fetch(ctx, address)
	if err != nil {
		return nil, err
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if checkJSON(text, maxJWTDepth) != nil || json.Unmarshal(text, &set) != nil {
		return nil, errors.New("it is no JSON Web Key Set")
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(raw) == nil && key.IsPublic() && strongEnough(&key) && len(keys) < maxKeys {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("it has no key that we know")
	}
	return keys, nil
}

// fetch reads a document that a client names: by https from a public address,
// without redirection (O-70, O-77), within bounds.
func (p *Provider) fetch(ctx context.Context, address string) (_ []byte, err error) {
	ctx, end := p.cfg.Trace(ctx, "client document")
	defer func() { end(err) }()
	if _, err := checkRedirectURI(address); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil) //nolint:gosec // Outgoing reaches public addresses only
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := p.cfg.Outgoing.Do(req) //nolint:gosec // as above
	if err != nil {
		return nil, fmt.Errorf("it was not reached: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxFetched+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFetched {
		return nil, fmt.Errorf("it has more than %d bytes", maxFetched)
	}
	return text, nil
}

// checkSector fetches the document of a sector, which has to name every redirect URI
// (OpenID Connect Dynamic Client Registration 1.0, 5).
func (p *Provider) checkSector(ctx context.Context, m *clientMetadata) *oauthError {
	text, err := p.fetch(ctx, m.SectorURI)
	var listed []string
	if err == nil && (checkJSON(text, 2) != nil || json.Unmarshal(text, &listed) != nil) {
		err = errors.New("it is no JSON array of strings")
	}
	if err != nil {
		p.cfg.Log.InfoContext(ctx, "the sector of a registration was not read", "error", err)
		return invalidMetadata("sector_identifier_uri cannot be read as a JSON array of redirect URIs")
	}
	named := map[string]bool{}
	for _, uri := range listed {
		named[uri] = true
	}
	for _, uri := range m.RedirectURIs {
		if !named[uri] {
			return invalidMetadata("sector_identifier_uri does not name every redirect URI")
		}
	}
	return nil
}

// withKeys is a client with the keys of its own address, as they are known.
func (p *Provider) withKeys(ctx context.Context, c *Client) *Client {
	if c.JWKSURI == "" {
		return c
	}
	complete := *c
	complete.Keys, _ = p.keysOf(ctx, c, false)
	return &complete
}
