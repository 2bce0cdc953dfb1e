package saml

import (
	"bytes"
	"context"
	"crypto"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/beevik/etree"
)

// artifactType is the only type there is (SAML Bindings 3.6.4).
const artifactType = 4

// artifactSize is type, endpoint index, source and handle, in bytes.
const artifactSize = 2 + 2 + 20 + 20

// Artifact stands for a message that waits at its issuer.
type Artifact struct {
	// EndpointIndex chooses among the issuer's resolution services.
	EndpointIndex int
	// SourceID is the SHA-1 of the issuer's entity identifier.
	SourceID [20]byte
	text     string
}

// ParseArtifact reads the SAMLart parameter.
func ParseArtifact(s string) (Artifact, error) {
	if len(s) != base64.StdEncoding.EncodedLen(artifactSize) {
		return Artifact{}, reject(ReasonArtifact, "artifact of another length")
	}
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != artifactSize {
		return Artifact{}, reject(ReasonArtifact, "artifact is not Base64")
	}
	if binary.BigEndian.Uint16(b) != artifactType {
		return Artifact{}, reject(ReasonArtifact, "artifact of another type")
	}
	a := Artifact{EndpointIndex: int(binary.BigEndian.Uint16(b[2:])), text: s}
	copy(a.SourceID[:], b[4:])
	return a, nil
}

// String is the artifact as it came. It is a secret until it is resolved.
func (a Artifact) String() string { return a.text }

// IssuedBy says whether the artifact names this entity as its source.
func (a Artifact) IssuedBy(entityID string) bool {
	return bytes.Equal(a.SourceID[:], sum(crypto.SHA1, []byte(entityID)))
}

// Resolver turns artifacts into messages over a back channel.
type Resolver struct {
	// Client carries the client certificate. It must not follow redirects.
	Client     *http.Client
	Credential Credential
	// Issuer is our entity identifier.
	Issuer string
	Clock  func() time.Time
	Rand   io.Reader
}

// Resolve sends one signed ArtifactResolve over SOAP 1.1 and returns the reply
// unread, with the ID that it has to answer. It never tries twice: the artifact
// may be used up. (The transport sends a POST again only if no byte of it went
// out.) The error of a channel that does not work wraps ErrUnavailable.
func (r *Resolver) Resolve(ctx context.Context, location string, a Artifact) (reply []byte, id string, err error) {
	id, err = NewID(r.Rand)
	if err != nil {
		return nil, "", err
	}
	body, err := r.envelope(id, location, a)
	if err != nil {
		return nil, "", err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, location, bytes.NewReader(body))
	if err != nil {
		return nil, "", fmt.Errorf("resolving an artifact: %w", err)
	}
	request.Header.Set("Content-Type", "text/xml; charset=utf-8")
	request.Header.Set("SOAPAction", `"http://www.oasis-open.org/committees/security"`)
	response, err := r.Client.Do(request)
	if err != nil {
		return nil, "", unavailable("no answer", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, "", unavailable(fmt.Sprintf("HTTP status %d", response.StatusCode), nil)
	}
	reply, err = io.ReadAll(io.LimitReader(response.Body, maxSOAPReply+1))
	if err != nil {
		return nil, "", unavailable("answer broke off", err)
	}
	if len(reply) > maxSOAPReply {
		return nil, "", reject(ReasonTooLarge, "answer of more than %d bytes", maxSOAPReply)
	}
	return reply, id, nil
}

// unavailable is a refusal for which the back channel is to blame. The cause may
// name addresses, not persons.
func unavailable(what string, cause error) error {
	if cause == nil {
		return reject(ReasonBackChannel, "%w: %s", ErrUnavailable, what)
	}
	return reject(ReasonBackChannel, "%w: %s: %w", ErrUnavailable, what, cause)
}

func (r *Resolver) envelope(id, location string, a Artifact) ([]byte, error) {
	resolve := etree.NewElement("samlp:ArtifactResolve")
	resolve.CreateAttr("xmlns:samlp", protocolNS)
	resolve.CreateAttr("xmlns:saml", assertionNS)
	resolve.CreateAttr("ID", id)
	resolve.CreateAttr("Version", version)
	resolve.CreateAttr("IssueInstant", formatInstant(r.Clock()))
	resolve.CreateAttr("Destination", location)
	resolve.CreateElement("saml:Issuer").SetText(r.Issuer)
	resolve.CreateElement("samlp:Artifact").SetText(a.String())
	if err := r.Credential.envelop(r.Rand, resolve, 1); err != nil {
		return nil, err
	}
	return inEnvelope(resolve)
}

// inEnvelope puts a message into the body of a SOAP 1.1 envelope.
func inEnvelope(message *etree.Element) ([]byte, error) {
	envelope := etree.NewElement("soapenv:Envelope")
	envelope.CreateAttr("xmlns:soapenv", soapNS)
	envelope.CreateElement("soapenv:Body").AddChild(message)
	return serialize(envelope)
}
