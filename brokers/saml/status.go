package saml

import (
	"crypto/sha256"
	"crypto/x509"
	"log/slog"
	"slices"
	"time"
)

const (
	// alertBefore is how long before its end a certificate or a copy of metadata
	// is spoken of.
	alertBefore = 30 * 24 * time.Hour
	// maxSuperseded is how many replaced documents are remembered.
	maxSuperseded = 32
)

// AlertKind is what an operator should know of.
type AlertKind string

// The kinds of alerts.
const (
	AlertCertificateExpires AlertKind = "certificate_expires" // within 30 days
	AlertCertificateExpired AlertKind = "certificate_expired"
	AlertMetadataExpires    AlertKind = "metadata_expires" // before two refreshes
	AlertMetadataExpired    AlertKind = "metadata_expired"
	AlertRefreshFailed      AlertKind = "metadata_refresh_failed"
	AlertRollback           AlertKind = "metadata_rollback" // an older document was offered
	AlertKeysChange         AlertKind = "metadata_keys_change"
)

// Alert is one thing to know of.
type Alert struct {
	Kind AlertKind
	// Certificate is the SHA-256 of the certificate in hexadecimal, or "".
	Certificate string
	// At is when it happens or happened.
	At time.Time
}

// MetadataStatus is the state of a MetadataSource, for a log or a monitor. It has
// no secrets and no personal data.
type MetadataStatus struct {
	EntityID string
	// Fetched is when the copy in force was taken; zero if there is none.
	Fetched time.Time
	// ValidUntil ends the copy in force; zero if it has no end.
	ValidUntil time.Time
	// Refresh is when the next login fetches.
	Refresh time.Time
	// Alerts are sorted by time.
	Alerts []Alert
}

// LogValue implements slog.LogValuer.
func (s MetadataStatus) LogValue() slog.Value {
	attributes := []slog.Attr{
		slog.String("entity", s.EntityID), slog.Time("fetched", s.Fetched),
		slog.Time("refresh", s.Refresh), slog.Int("alerts", len(s.Alerts)),
	}
	if !s.ValidUntil.IsZero() {
		attributes = append(attributes, slog.Time("valid_until", s.ValidUntil))
	}
	for _, a := range s.Alerts {
		attributes = append(attributes, slog.Group(string(a.Kind), slog.Time("at", a.At), slog.String("certificate", a.Certificate)))
	}
	return slog.GroupValue(attributes...)
}

// Status tells the state now, without fetching.
func (s *MetadataSource) Status() MetadataStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.Clock()
	status := MetadataStatus{EntityID: s.EntityID, Fetched: s.fetched}
	add := func(kind AlertKind, c *x509.Certificate, at time.Time) {
		alert := Alert{Kind: kind, At: at}
		if c != nil {
			alert.Certificate = keyName(c)
		}
		status.Alerts = append(status.Alerts, alert)
	}
	if s.lastErr != nil {
		kind := AlertRefreshFailed
		if ReasonOf(s.lastErr) == ReasonMetadataRollback {
			kind = AlertRollback
		}
		add(kind, nil, s.tried)
	}
	if s.pending != nil {
		add(AlertKeysChange, nil, s.since.Add(s.Delay))
	}
	if s.current != nil {
		status.EntityID, status.ValidUntil, status.Refresh = s.current.ID, s.current.ValidUntil, s.fetched.Add(s.refreshAfter())
		switch end := s.current.ValidUntil; {
		case end.IsZero():
		case !now.Before(end):
			add(AlertMetadataExpired, nil, end)
		case end.Before(now.Add(2 * s.refreshAfter())):
			add(AlertMetadataExpires, nil, end)
		}
		for _, c := range s.current.Signing {
			expiryAlert(add, c, now)
		}
	}
	slices.SortStableFunc(status.Alerts, func(a, b Alert) int { return a.At.Compare(b.At) })
	return status
}

// CertificateAlerts are the alerts of certificates that are not from metadata:
// our own, and those that an operator has configured.
func CertificateAlerts(now time.Time, certificates ...*x509.Certificate) []Alert {
	var alerts []Alert
	for _, c := range certificates {
		expiryAlert(func(kind AlertKind, c *x509.Certificate, at time.Time) {
			alerts = append(alerts, Alert{Kind: kind, Certificate: keyName(c), At: at})
		}, c, now)
	}
	return alerts
}

func expiryAlert(add func(AlertKind, *x509.Certificate, time.Time), c *x509.Certificate, now time.Time) {
	switch end := c.NotAfter; {
	case now.After(end):
		add(AlertCertificateExpired, c, end)
	case now.Add(alertBefore).After(end):
		add(AlertCertificateExpires, c, end)
	}
}

// checkOrder refuses documents older than the newest that was taken (threat
// one that was replaced before, one that was published earlier, or, where
// that is not told, one that ends earlier.
func (s *MetadataSource) checkOrder(entity *Entity, digest [sha256.Size]byte) error {
	newest := s.current
	if s.pending != nil {
		newest = s.pending
	}
	switch {
	case newest == nil:
		return nil
	case slices.Contains(s.superseded, digest):
		return reject(ReasonMetadataRollback, "metadata was replaced before")
	case !newest.PublishedAt.IsZero():
		if entity.PublishedAt.Before(newest.PublishedAt) {
			return reject(ReasonMetadataRollback, "metadata was published earlier")
		}
	case !newest.ValidUntil.IsZero() && !entity.ValidUntil.IsZero() && entity.ValidUntil.Before(newest.ValidUntil):
		return reject(ReasonMetadataRollback, "metadata ends earlier")
	}
	return nil
}

// take accepts a document: at once, or after Delay if its signing keys differ.
func (s *MetadataSource) take(entity *Entity, digest [sha256.Size]byte, now time.Time) {
	switch {
	case s.current == nil || s.Delay == 0 || sameKeys(s.current, entity):
		s.put(entity, digest, now)
		s.pending = nil
	case s.pending == nil || !sameKeys(s.pending, entity):
		s.pending, s.pendingD, s.since = entity, digest, now
		s.fetched = now
	default:
		s.pending, s.pendingD = entity, digest
		s.fetched = now
	}
}

// activate puts a waiting copy into force when its time has come.
func (s *MetadataSource) activate(now time.Time) {
	if s.pending != nil && (!now.Before(s.since.Add(s.Delay)) || !s.inForce(now)) {
		s.put(s.pending, s.pendingD, s.fetched)
		s.pending = nil
	}
}

func (s *MetadataSource) put(entity *Entity, digest [sha256.Size]byte, fetched time.Time) {
	if s.current != nil && s.digest != digest {
		s.superseded = append(s.superseded, s.digest)
		if len(s.superseded) > maxSuperseded {
			s.superseded = s.superseded[1:]
		}
	}
	s.current, s.digest, s.fetched = entity, digest, fetched
}

func sameKeys(a, b *Entity) bool {
	return slices.EqualFunc(a.Signing, b.Signing, func(x, y *x509.Certificate) bool { return x.Equal(y) })
}
