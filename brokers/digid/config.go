package digid

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"time"

	"github.com/eidbridge/eidbridge/brokers/saml"
	"github.com/eidbridge/eidbridge/levels"
)

// Config is a connection to DigiD. Fields without a default are required.
type Config struct {
	// ID names the upstream in configuration and in callback paths;
	// default "digid".
	ID string
	// EntityID is our name towards DigiD, registered under our OIN. By custom it
	// is the URL of our metadata.
	EntityID string
	// ACSURL is the assertion consumer service that DigiD sends artifacts to.
	// It goes into our metadata with index 0; requests name the index.
	ACSURL string
	// LogoutURL receives the browser after a logout at DigiD; empty is none.
	LogoutURL string
	// LogoutNoticeURL is where DigiD tells, over SOAP and mutual TLS, of logouts at
	// other services; empty is none. It is needed to take part in single sign-on.
	LogoutNoticeURL string
	// ServiceName is shown to the citizen at DigiD (ProviderName); optional.
	ServiceName string

	// SigningKey signs requests, artifact resolutions and our metadata; its
	// public half is in Certificate. RSA of 2048 bits or more (DigiD takes no
	// other kind).
	SigningKey  crypto.Signer
	Certificate *x509.Certificate

	// IdPEntityID is the entity that answers. Empty takes the one entity of the
	// metadata.
	IdPEntityID string
	// Metadata is DigiD's metadata, trusted as it is. Empty fetches MetadataURL.
	Metadata []byte
	// MetadataURL is fetched on first use and again when the copy grows old. It
	// needs MetadataCertificates, since the certificate inside is no proof.
	MetadataURL string
	// MetadataCertificates are pinned: one of them must have signed the metadata.
	MetadataCertificates []*x509.Certificate
	// MetadataClient fetches MetadataURL; default is a client that takes 10 s
	// and follows no redirects.
	MetadataClient *http.Client

	// BackChannel is the TLS side of artifact resolution: our client certificate
	// and the roots that the DigiD server is judged by.
	BackChannel *tls.Config

	// Mapping translates class references; default levels.Default().
	Mapping *levels.Mapping
	// MaxLevel is the operator's ceiling; the zero value is no ceiling.
	MaxLevel levels.Level

	// Replay remembers assertions. Required: without memory an answer could be
	// used twice.
	Replay saml.ReplayStore
	// Skew is how far DigiD's clock may be off; default 60 s, at most 180 s.
	Skew time.Duration
	// Clock and Rand default to time.Now and crypto/rand.
	Clock func() time.Time
	Rand  io.Reader
}
