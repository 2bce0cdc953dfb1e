// Package admin is what operators do to a running broker: change the clients in
// its store, and look things up, by JSON for programs and by pages for people.
//
// Every change is an audit event that names who made it (actor). Clients of the
// configuration are listed beside those of the store and cannot be changed here.
// The package opens no sockets and reads no files.
package admin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/levels"
)

// Registrations is what the registry needs of a store; provider.Registrations says
// what each verb does.
type Registrations interface {
	provider.Registrations
	Registrations(ctx context.Context, after string, most int) ([]*brokers.Registration, error)
}

// Registry changes the clients that are kept in the store.
type Registry struct {
	Store Registrations
	// Static are the clients of the configuration.
	Static  []provider.Client
	Mapping *levels.Mapping
	// Algorithms are those by which the broker signs now.
	Algorithms func() []jose.SignatureAlgorithm
	// PairwiseVersion is the newest version of the pairwise secret.
	PairwiseVersion int
	// Audit takes the events.
	Audit *slog.Logger
	Now   func() time.Time
}

// Entry is a client as operators see it. It has no secret and no hash of one.
type Entry struct {
	provider.ClientSettings
	// Origin is "configuration", "operator" (in the store) or "registration" (it
	// registered itself).
	Origin    string    `json:"origin"`
	Disabled  bool      `json:"disabled"`
	HasSecret bool      `json:"has_secret"`
	CreatedAt time.Time `json:"created_at,omitzero"`
	ChangedAt time.Time `json:"changed_at,omitzero"`
}

// The origins.
const (
	Configured = "configuration"
	Operator   = "operator"
	Registered = "registration"
)

// ErrConfigured is a client of the configuration, which is changed there.
var ErrConfigured = errors.New("the client is in the configuration file; change it there")

// InvalidError is a client that cannot be taken in.
type InvalidError struct{ Err error }

func (e *InvalidError) Error() string { return e.Err.Error() }

func (e *InvalidError) Unwrap() error { return e.Err }

// page is how many clients are read at a time.
const page = 200

// List tells all clients, by ID.
func (r *Registry) List(ctx context.Context) ([]Entry, error) {
	var list []Entry
	for i := range r.Static {
		c := &r.Static[i]
		list = append(list, Entry{
			ClientSettings: provider.ClientSettings{ID: c.ID, Name: c.Name, Auth: string(c.Auth), RedirectURIs: c.RedirectURIs, MinLevel: c.MinLevel, Scopes: c.Scopes, Methods: c.Methods},
			Origin:         Configured, HasSecret: c.SecretHash != brokers.Hash{},
		})
	}
	stored, err := r.stored(ctx)
	if err != nil {
		return nil, err
	}
	for _, one := range stored {
		entry, err := view(one)
		if err != nil {
			return nil, err
		}
		list = append(list, *entry)
	}
	slices.SortFunc(list, func(a, b Entry) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return list, nil
}

func (r *Registry) stored(ctx context.Context) ([]*brokers.Registration, error) {
	var all []*brokers.Registration
	after := ""
	for {
		list, err := r.Store.Registrations(ctx, after, page)
		if err != nil {
			return nil, fmt.Errorf("listing clients: %w", err)
		}
		all = append(all, list...)
		if len(list) < page {
			return all, nil
		}
		after = list[len(list)-1].ID
	}
}

func view(r *brokers.Registration) (*Entry, error) {
	e := &Entry{Origin: Registered, Disabled: r.Disabled, CreatedAt: r.CreatedAt, ChangedAt: r.ChangedAt}
	if r.Operator {
		e.Origin = Operator
		if err := json.Unmarshal(r.Metadata, &e.ClientSettings); err != nil {
			return nil, fmt.Errorf("client %q: %w", r.ID, err)
		}
		e.HasSecret, e.SecretSHA256 = e.SecretSHA256 != "", ""
		return e, nil
	}
	var m struct {
		Name         string   `json:"client_name"`
		RedirectURIs []string `json:"redirect_uris"`
		Auth         string   `json:"token_endpoint_auth_method"`
	}
	if err := json.Unmarshal(r.Metadata, &m); err != nil {
		return nil, fmt.Errorf("client %q: %w", r.ID, err)
	}
	e.ID, e.Name, e.RedirectURIs, e.Auth = r.ID, m.Name, m.RedirectURIs, m.Auth
	e.HasSecret = r.SecretHash != brokers.Hash{}
	return e, nil
}

// Show tells one client, or brokers.ErrNotFound.
func (r *Registry) Show(ctx context.Context, id string) (*Entry, error) {
	list, err := r.List(ctx)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].ID == id {
			return &list[i], nil
		}
	}
	return nil, brokers.ErrNotFound
}

// Add takes a client in. Its secret, if it has one, is made here and told once;
// settings that bring a hash of a secret keep it.
func (r *Registry) Add(ctx context.Context, actor string, s provider.ClientSettings) (secret string, err error) {
	if s.Pairwise == 0 {
		if s.Pairwise, err = r.pairwiseOf(ctx, &s); err != nil {
			return "", err
		}
	}
	if s.SecretSHA256 == "" && (s.Auth == "" || s.Auth == string(provider.AuthBasic) || s.Auth == string(provider.AuthPost)) {
		secret, s.SecretSHA256 = newSecret()
	}
	if err := r.check(ctx, &s); err != nil {
		return "", err
	}
	record := &brokers.Registration{ID: s.ID, Operator: true, PairwiseVersion: s.Pairwise, CreatedAt: r.Now()}
	if err := r.save(ctx, record, &s, r.Store.SaveRegistration); err != nil {
		return "", err
	}
	r.record(ctx, "client.added", actor, s.ID)
	return secret, nil
}

// Change replaces the settings of a client of the store but for its secret. What
// would make its citizens strangers does not change.
func (r *Registry) Change(ctx context.Context, actor string, s provider.ClientSettings) error {
	record, before, err := r.load(ctx, s.ID)
	if err != nil {
		return err
	}
	if s.SecretSHA256 == "" && before.SecretSHA256 != "" && s.Auth != string(provider.AuthNone) {
		s.SecretSHA256 = before.SecretSHA256
	}
	s.Pairwise = before.Pairwise
	if err := r.check(ctx, &s); err != nil {
		return err
	}
	old, err := sector(before)
	if err != nil {
		return err
	}
	if now, err := sector(&s); err != nil || now != old {
		return &InvalidError{fmt.Errorf("the sector %q cannot become another: every citizen would be a stranger; add another client", old)}
	}
	if err := r.save(ctx, record, &s, r.Store.ReplaceRegistration); err != nil {
		return err
	}
	r.record(ctx, "client.changed", actor, s.ID)
	return nil
}

// Disable keeps a client from everything, or lets it again.
func (r *Registry) Disable(ctx context.Context, actor, id string, disabled bool) error {
	if r.configured(id) {
		return ErrConfigured
	}
	record, err := r.Store.Registration(ctx, id)
	if err != nil {
		return err
	}
	record.Disabled, record.ChangedAt = disabled, r.Now()
	if err := r.Store.ReplaceRegistration(ctx, record); err != nil {
		return err
	}
	event := "client.enabled"
	if disabled {
		event = "client.disabled"
	}
	r.record(ctx, event, actor, id)
	return nil
}

// RotateSecret gives a client of the store another secret, which is told once. The
// old one ends at once.
func (r *Registry) RotateSecret(ctx context.Context, actor, id string) (secret string, err error) {
	record, s, err := r.load(ctx, id)
	if err != nil {
		return "", err
	}
	if s.SecretSHA256 == "" {
		return "", &InvalidError{errors.New("the client proves itself without a secret")}
	}
	secret, s.SecretSHA256 = newSecret()
	if err := r.save(ctx, record, s, r.Store.ReplaceRegistration); err != nil {
		return "", err
	}
	r.record(ctx, "client.secret_rotated", actor, id)
	return secret, nil
}

// Remove takes a client of the store out, or one that registered itself.
func (r *Registry) Remove(ctx context.Context, actor, id string) error {
	if r.configured(id) {
		return ErrConfigured
	}
	if _, err := r.Store.Registration(ctx, id); err != nil {
		return err
	}
	if err := r.Store.DeleteRegistration(ctx, id); err != nil {
		return err
	}
	r.record(ctx, "client.removed", actor, id)
	return nil
}

func (r *Registry) configured(id string) bool {
	return slices.ContainsFunc(r.Static, func(c provider.Client) bool { return c.ID == id })
}

// load reads a client that an operator keeps.
func (r *Registry) load(ctx context.Context, id string) (*brokers.Registration, *provider.ClientSettings, error) {
	if r.configured(id) {
		return nil, nil, ErrConfigured
	}
	record, err := r.Store.Registration(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	if !record.Operator {
		return nil, nil, &InvalidError{errors.New("the client registered itself and changes itself; it can be disabled and removed")}
	}
	s := new(provider.ClientSettings)
	if err := json.Unmarshal(record.Metadata, s); err != nil {
		return nil, nil, fmt.Errorf("client %q: %w", id, err)
	}
	return record, s, nil
}

func (r *Registry) save(ctx context.Context, record *brokers.Registration, s *provider.ClientSettings, save func(context.Context, *brokers.Registration) error) error {
	var err error
	if record.Metadata, err = json.Marshal(s); err != nil { //nolint:gosec // G117: access_token is a kind of token, none itself
		return &InvalidError{err}
	}
	if save == nil {
		return nil
	}
	record.ChangedAt = r.Now()
	if err := save(ctx, record); errors.Is(err, brokers.ErrConflict) {
		return &InvalidError{fmt.Errorf("there is a client %q already", s.ID)}
	} else if err != nil {
		return fmt.Errorf("keeping client: %w", err)
	}
	return nil
}

// check holds a client to the rules for those of the configuration, beside all
// others that there are.
func (r *Registry) check(ctx context.Context, s *provider.ClientSettings) error {
	c, err := s.Client()
	if err != nil {
		return &InvalidError{err}
	}
	list := append(slices.Clone(r.Static), c)
	stored, err := r.stored(ctx)
	if err != nil {
		return err
	}
	for _, other := range stored {
		if !other.Operator || other.ID == s.ID {
			continue
		}
		var settings provider.ClientSettings
		if err := json.Unmarshal(other.Metadata, &settings); err != nil {
			continue // it serves nobody
		}
		if o, err := settings.Client(); err == nil {
			list = append(list, o)
		}
	}
	if _, err := provider.NewStaticClients(r.Mapping, list); err != nil {
		var which *provider.ClientError
		if errors.As(err, &which) && which.ID != s.ID {
			err = fmt.Errorf("beside client %q: %w", which.ID, which.Err)
		}
		return &InvalidError{err}
	}
	if c.SigningAlgorithm == "" {
		c.SigningAlgorithm = jose.ES256
	}
	if !slices.Contains(r.Algorithms(), c.SigningAlgorithm) {
		return &InvalidError{fmt.Errorf("there is no key that signs by %s", c.SigningAlgorithm)}
	}
	if s.Pairwise > r.PairwiseVersion {
		return &InvalidError{fmt.Errorf("there is no version %d of the pairwise secret", s.Pairwise)}
	}
	return nil
}

// pairwiseOf is the version of the pairwise secret for a new client: that of its
// sector, or the newest.
func (r *Registry) pairwiseOf(ctx context.Context, s *provider.ClientSettings) (int, error) {
	own, err := sector(s)
	if err != nil {
		return r.PairwiseVersion, nil // check says what is wrong
	}
	for _, c := range r.Static {
		if same(&c, own) {
			return max(1, c.PairwiseVersion), nil
		}
	}
	stored, err := r.stored(ctx)
	if err != nil {
		return 0, err
	}
	for _, other := range stored {
		var settings provider.ClientSettings
		if other.Operator && json.Unmarshal(other.Metadata, &settings) == nil {
			if of, err := sector(&settings); err == nil && of == own {
				return max(1, settings.Pairwise), nil
			}
		}
	}
	return r.PairwiseVersion, nil
}

func same(c *provider.Client, sector string) bool {
	own, err := c.SectorOf()
	return err == nil && own == sector
}

func sector(s *provider.ClientSettings) (string, error) {
	c, err := s.Client()
	if err != nil {
		return "", err
	}
	return c.SectorOf()
}

// newSecret is 256 random bits in base64url, and their hash in hexadecimal.
func newSecret() (secret, hash string) {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails (crypto/rand)
	secret = base64.RawURLEncoding.EncodeToString(raw)
	sum := sha256.Sum256([]byte(secret))
	return secret, hex.EncodeToString(sum[:])
}

// record writes an audit event.
func (r *Registry) record(ctx context.Context, event, actor, client string) {
	r.Audit.LogAttrs(ctx, slog.LevelInfo, "audit", slog.String("event", event), slog.String("reason", "ok"),
		slog.String("client", client), slog.String("actor", actor))
}
