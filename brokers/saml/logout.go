package saml

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/beevik/etree"

	"github.com/eidbridge/eidbridge/brokers"
)

// Reasons for a logout (SAML Core 3.7.3).
const (
	LogoutByUser  = "urn:oasis:names:tc:SAML:2.0:logout:user"
	LogoutByAdmin = "urn:oasis:names:tc:SAML:2.0:logout:admin"
)

// StatusPartialLogout stands below a top code: not everybody could be logged out.
const StatusPartialLogout = "urn:oasis:names:tc:SAML:2.0:status:PartialLogout"

// LogoutRequest ends the session of a person at the other side (SAML Core 3.7.1).
type LogoutRequest struct {
	ID           string
	IssueInstant time.Time
	Destination  string
	Issuer       string
	// NotOnOrAfter is when the request is void; zero if not given.
	NotOnOrAfter time.Time
	// Reason is LogoutByUser, LogoutByAdmin or a URI of the other side's; optional.
	Reason  string
	Consent string
	NameID  NameID
	// SessionIndexes name single sessions; none is all.
	SessionIndexes []string
}

// LogoutResponse answers a LogoutRequest (SAML Core 3.7.2).
type LogoutResponse struct {
	ID           string
	IssueInstant time.Time
	Destination  string
	Issuer       string
	InResponseTo string
	// Top and Second are the status codes; Second is optional.
	Top, Second string
}

func (r *LogoutRequest) element() (*etree.Element, error) {
	if r.NameID.Value == "" {
		return nil, errors.New("logout request without NameID")
	}
	e, err := messageElement("LogoutRequest", r.ID, r.Issuer, r.Destination, r.IssueInstant)
	if err != nil {
		return nil, err
	}
	optional(e, "Consent", r.Consent)
	if !r.NotOnOrAfter.IsZero() {
		e.CreateAttr("NotOnOrAfter", formatInstant(r.NotOnOrAfter))
	}
	optional(e, "Reason", r.Reason)
	id := e.CreateElement("saml:NameID")
	optional(id, "NameQualifier", r.NameID.NameQualifier)
	optional(id, "SPNameQualifier", r.NameID.SPNameQualifier)
	optional(id, "Format", r.NameID.Format)
	id.SetText(r.NameID.Value)
	for _, index := range r.SessionIndexes {
		e.CreateElement("samlp:SessionIndex").SetText(index)
	}
	return e, nil
}

func (r *LogoutResponse) element() (*etree.Element, error) {
	if r.InResponseTo == "" || r.Top == "" {
		return nil, errors.New("logout response without request or status")
	}
	e, err := messageElement("LogoutResponse", r.ID, r.Issuer, r.Destination, r.IssueInstant)
	if err != nil {
		return nil, err
	}
	e.CreateAttr("InResponseTo", r.InResponseTo)
	code := e.CreateElement("samlp:Status").CreateElement("samlp:StatusCode")
	code.CreateAttr("Value", r.Top)
	if r.Second != "" {
		code.CreateElement("samlp:StatusCode").CreateAttr("Value", r.Second)
	}
	return e, nil
}

// RedirectURL is the request for the HTTP-Redirect binding.
func (r *LogoutRequest) RedirectURL(c Credential, relayState string, random io.Reader) (string, error) {
	e, err := r.element()
	if err != nil {
		return "", err
	}
	return redirectURL(e, r.Destination, "SAMLRequest", relayState, c, random)
}

// PostForm is the request for the HTTP-POST binding.
func (r *LogoutRequest) PostForm(c Credential, relayState string, random io.Reader) (map[string]string, error) {
	e, err := r.element()
	if err != nil {
		return nil, err
	}
	return postForm(e, "SAMLRequest", relayState, c, random)
}

// RedirectURL is the response for the HTTP-Redirect binding.
func (r *LogoutResponse) RedirectURL(c Credential, relayState string, random io.Reader) (string, error) {
	e, err := r.element()
	if err != nil {
		return "", err
	}
	return redirectURL(e, r.Destination, "SAMLResponse", relayState, c, random)
}

// PostForm is the response for the HTTP-POST binding.
func (r *LogoutResponse) PostForm(c Credential, relayState string, random io.Reader) (map[string]string, error) {
	e, err := r.element()
	if err != nil {
		return nil, err
	}
	return postForm(e, "SAMLResponse", relayState, c, random)
}

// SOAP is the response in a SOAP 1.1 envelope, signed.
func (r *LogoutResponse) SOAP(c Credential, random io.Reader) ([]byte, error) {
	e, err := r.element()
	if err != nil {
		return nil, err
	}
	if err := c.envelop(random, e, 1); err != nil {
		return nil, err
	}
	return inEnvelope(e)
}

// Use records that the request is being obeyed, and refuses the second time.
func (r *LogoutRequest) Use(ctx context.Context, store ReplayStore) error {
	err := store.UseAssertionID(ctx, r.Issuer, r.ID, r.IssueInstant.Add(maxLogoutAge+2*MaxSkew))
	if errors.Is(err, brokers.ErrReplayed) {
		return reject(ReasonReplay, "%w", err)
	}
	return err
}

// LogoutExpectation is what a right logout message looks like.
type LogoutExpectation struct {
	// Issuer is the identity provider; OtherIssuers are further names of it.
	Issuer       string
	OtherIssuers []string
	Certificates []*x509.Certificate
	// Detached says that ReadRedirect has verified the signature of the query.
	// Otherwise the message itself has to be signed.
	Detached bool
	// Destination is our endpoint.
	Destination string
	// RequestID and RequestedAt are of our request; for responses only.
	RequestID   string
	RequestedAt time.Time
	// Decryption opens an encrypted NameID.
	Decryption Decryption
	Now        time.Time
	Skew       time.Duration
}

func (e LogoutExpectation) judgement(answers bool) (*judgement, error) {
	full := Expectation{
		Issuer: e.Issuer, OtherIssuers: e.OtherIssuers, Certificates: e.Certificates, Signed: Coverage{Response: !e.Detached, Envelope: e.Detached},
		Audience: e.Destination, Recipient: e.Destination, RequestID: e.RequestID, RequestedAt: e.RequestedAt,
		Decryption: e.Decryption, Now: e.Now, Skew: e.Skew, Lenient: Leniency{AnyRequest: !answers},
	}
	return &judgement{Expectation: full}, full.check()
}

// ValidateLogoutResponse judges the answer to our LogoutRequest. A logout that did
// not reach everybody, or that failed, is a *StatusError.
func ValidateLogoutResponse(message []byte, e LogoutExpectation) error {
	j, err := e.judgement(true)
	if err != nil {
		return err
	}
	trusted, err := j.logoutMessage(message, "LogoutResponse", e.Detached)
	if err != nil {
		return err
	}
	return checkStatus(trusted, StatusError{Signed: true})
}

// ValidateLogoutRequest judges a LogoutRequest of an identity provider. The caller
// still has to use it up (LogoutRequest.Use) and to end only sessions that this
// identity provider opened for this NameID (threat X-96).
func ValidateLogoutRequest(message []byte, e LogoutExpectation) (*LogoutRequest, error) {
	j, err := e.judgement(false)
	if err != nil {
		return nil, err
	}
	trusted, err := j.logoutMessage(message, "LogoutRequest", e.Detached)
	if err != nil {
		return nil, err
	}
	return j.logoutRequest(trusted)
}

// ValidateSOAPLogoutRequest is ValidateLogoutRequest for a message that came in a
// SOAP envelope, signed itself.
func ValidateSOAPLogoutRequest(message []byte, e LogoutExpectation) (*LogoutRequest, error) {
	j, err := e.judgement(false)
	if err != nil {
		return nil, err
	}
	root, err := j.parser(j.Limits).parse(message)
	if err != nil {
		return nil, err
	}
	if !root.is(soapNS, "Envelope") {
		return nil, reject(ReasonSOAP, "root is no SOAP envelope")
	}
	if err := checkShape(root, Leniency{}); err != nil {
		return nil, err
	}
	received := onlyMessage(root)
	if !received.is(protocolNS, "LogoutRequest") {
		return nil, reject(ReasonSOAP, "no LogoutRequest")
	}
	trusted, err := j.verifiedLogout(received)
	if err != nil {
		return nil, err
	}
	return j.logoutRequest(trusted)
}

// logoutRequest reads what is trusted.
func (j *judgement) logoutRequest(trusted *element) (*LogoutRequest, error) {
	var err error
	r := &LogoutRequest{
		ID: trusted.value("ID"), Destination: trusted.value("Destination"),
		Reason: trusted.value("Reason"), Consent: trusted.value("Consent"),
	}
	r.Issuer, _ = trusted.child(assertionNS, "Issuer").text()
	if r.IssueInstant, err = trusted.instant("IssueInstant", ReasonIssueInstant, Leniency{}); err != nil {
		return nil, err
	}
	if r.NotOnOrAfter, err = trusted.instant("NotOnOrAfter", ReasonConditions, Leniency{}); err != nil {
		return nil, err
	}
	switch {
	case r.IssueInstant.Before(j.Now.Add(-maxLogoutAge - j.Skew)):
		return nil, reject(ReasonIssueInstant, "logout request of long ago")
	case !r.NotOnOrAfter.IsZero() && j.past(r.NotOnOrAfter):
		return nil, reject(ReasonExpired, "logout request has ended")
	}
	if r.NameID, err = j.logoutNameID(trusted); err != nil {
		return nil, err
	}
	for _, index := range trusted.all(protocolNS, "SessionIndex") {
		name, _ := index.text()
		r.SessionIndexes = append(r.SessionIndexes, name)
	}
	return r, nil
}

// logoutMessage returns the bytes of a message that are trusted.
func (j *judgement) logoutMessage(message []byte, local string, detached bool) (*element, error) {
	received, err := j.parser(j.Limits).parse(message)
	if err != nil {
		return nil, err
	}
	if !received.is(protocolNS, local) {
		return nil, reject(ReasonSchema, "root is no %s", local)
	}
	if err := checkShape(received, Leniency{}); err != nil {
		return nil, err
	}
	if detached {
		if err := j.header(received, j.RequestID, responseHeader); err != nil {
			return nil, err
		}
		// SAML Bindings 3.4.4.1: such a message has no signature of its own.
		if received.child(signatureNS, "Signature") != nil {
			return nil, reject(ReasonSignatureForm, "signature in a message of the redirect binding")
		}
		return received, nil
	}
	return j.verifiedLogout(received)
}

// verifiedLogout returns what the message's own signature covers.
func (j *judgement) verifiedLogout(received *element) (*element, error) {
	if err := j.header(received, j.RequestID, responseHeader); err != nil {
		return nil, err
	}
	verified, err := j.verifier().verify(received)
	switch {
	case err != nil:
		return nil, err
	case verified == nil:
		return nil, reject(ReasonSignatureMissing, "%s", received.local)
	}
	return verified, j.header(verified, j.RequestID, responseHeader)
}

func (j *judgement) logoutNameID(e *element) (NameID, error) {
	plain, hidden := e.child(assertionNS, "NameID"), e.child(assertionNS, "EncryptedID")
	var id NameID
	switch {
	case (plain == nil) == (hidden == nil):
		return id, reject(ReasonSubject, "not one NameID")
	case plain != nil:
		id = readNameID(plain)
	default:
		var err error
		if id, err = j.encryptedID(hidden); err != nil {
			return id, err
		}
	}
	if isBlank(id.Value) {
		return id, reject(ReasonSubject, "empty NameID")
	}
	return id, nil
}

// messageElement begins a message: what all of them have, Issuer included. The
// signature goes to place 1.
func messageElement(local, id, issuer, destination string, issued time.Time) (*etree.Element, error) {
	if id == "" || issuer == "" || destination == "" || issued.IsZero() {
		return nil, fmt.Errorf("%s without ID, issuer, destination or time", local)
	}
	e := etree.NewElement("samlp:" + local)
	e.CreateAttr("xmlns:samlp", protocolNS)
	e.CreateAttr("xmlns:saml", assertionNS)
	e.CreateAttr("ID", id)
	e.CreateAttr("Version", version)
	e.CreateAttr("IssueInstant", formatInstant(issued))
	e.CreateAttr("Destination", destination)
	e.CreateElement("saml:Issuer").SetText(issuer)
	return e, nil
}

func optional(e *etree.Element, name, value string) {
	if value != "" {
		e.CreateAttr(name, value)
	}
}
