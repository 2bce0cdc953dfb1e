package saml

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	// defaultRefresh is how old a copy of metadata grows without cacheDuration.
	defaultRefresh = 6 * time.Hour
	// leastRefresh keeps a short cacheDuration, or a server that is down, from
	// making every login fetch.
	leastRefresh = time.Minute
)

// MetadataSource keeps the metadata of one identity provider. A copy that cannot
// be refreshed stays in force until its validUntil (threat X-100).
type MetadataSource struct {
	// Document is the metadata itself; or else URL is where it is fetched from:
	// https, or http on this machine if Trust.Loopback is set.
	Document []byte
	URL      string
	// Client fetches; it must not follow redirects.
	Client *http.Client
	// Trust says why the document is believed; its Now is ignored.
	Trust MetadataTrust
	// EntityID chooses the entity; "" takes the only one.
	EntityID string
	// Delay is how long a copy with other signing keys waits before it comes into
	// force, so that an operator sees the alert first. A copy in force that
	// expires meanwhile is not waited for.
	Delay time.Duration
	Clock func() time.Time

	mu       sync.Mutex
	current  *Entity
	digest   [sha256.Size]byte // of the document of current
	fetched  time.Time         // of current
	tried    time.Time         // last attempt
	lastErr  error
	pending  *Entity // waits for Delay
	pendingD [sha256.Size]byte
	since    time.Time
	// superseded are digests of documents that were replaced, newest last.
	superseded [][sha256.Size]byte
}

// Entity returns the identity provider, fetching or refreshing if it is time.
// Concurrent callers wait for one fetch.
func (s *MetadataSource) Entity(ctx context.Context) (*Entity, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.Clock()
	s.activate(now)
	if s.current != nil && now.Before(s.fetched.Add(s.refreshAfter())) && s.inForce(now) {
		return s.current, nil
	}
	if now.Sub(s.tried) >= leastRefresh || s.tried.IsZero() {
		s.tried = now
		entity, digest, err := s.load(ctx, now)
		if s.lastErr = err; err == nil {
			s.take(entity, digest, now)
			s.activate(now)
			return s.current, nil
		}
	}
	if s.current != nil && s.inForce(now) {
		return s.current, nil
	}
	if s.lastErr == nil {
		return nil, reject(ReasonMetadataExpired, "metadata has expired")
	}
	return nil, s.lastErr
}

// Current returns the copy in force without fetching, or nil.
func (s *MetadataSource) Current() *Entity {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil && s.inForce(s.Clock()) {
		return s.current
	}
	return nil
}

func (s *MetadataSource) inForce(now time.Time) bool {
	return s.current.ValidUntil.IsZero() || now.Before(s.current.ValidUntil)
}

func (s *MetadataSource) refreshAfter() time.Duration {
	if s.current.CacheDuration == 0 {
		return defaultRefresh
	}
	return max(min(s.current.CacheDuration, 24*time.Hour), leastRefresh)
}

// load fetches and judges a document.
func (s *MetadataSource) load(ctx context.Context, now time.Time) (*Entity, [sha256.Size]byte, error) {
	document := s.Document
	if len(document) == 0 {
		var err error
		if document, err = s.fetch(ctx); err != nil {
			return nil, [sha256.Size]byte{}, err
		}
	}
	digest := sha256.Sum256(document)
	entity, err := s.parse(document, now)
	if err != nil {
		return nil, digest, err
	}
	return entity, digest, s.checkOrder(entity, digest)
}

func (s *MetadataSource) parse(document []byte, now time.Time) (*Entity, error) {
	trust := s.Trust
	trust.Now = now
	entities, err := ParseMetadata(document, trust)
	if err != nil {
		return nil, fmt.Errorf("reading identity provider metadata: %w", err)
	}
	if s.EntityID != "" {
		if entity := entities[s.EntityID]; entity != nil {
			return entity, nil
		}
		return nil, reject(ReasonMetadata, "metadata does not describe the configured entity")
	}
	if len(entities) != 1 {
		return nil, reject(ReasonMetadata, "metadata describes %d identity providers; configure which", len(entities))
	}
	for _, entity := range entities {
		return entity, nil
	}
	return nil, nil
}

func (s *MetadataSource) fetch(ctx context.Context) ([]byte, error) {
	if !usableLocation(s.URL, s.Trust.Loopback) {
		return nil, reject(ReasonMetadataEndpoint, "metadata address is not allowed")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("fetching metadata: %w", err)
	}
	response, err := s.Client.Do(request)
	if err != nil {
		return nil, unavailable("metadata", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, unavailable(fmt.Sprintf("metadata: HTTP status %d", response.StatusCode), nil)
	}
	limit := MetadataLimits().Bytes
	document, err := io.ReadAll(io.LimitReader(response.Body, int64(limit)+1))
	if err != nil {
		return nil, unavailable("metadata broke off", err)
	}
	if len(document) > limit {
		return nil, reject(ReasonTooLarge, "metadata of more than %d bytes", limit)
	}
	return document, nil
}
