package digid

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/saml"
)

// ErrNoLogout is a connection, or a DigiD, without an address for logouts.
var ErrNoLogout = fmt.Errorf("digid: %w", brokers.ErrNoLogout)

// maxNotice bounds a logout notice, in bytes; it is a LogoutRequest in an envelope.
const maxNotice = 64 << 10

// session is what an event remembers of the session at DigiD. In 3.x the NameID is
// the BSN, which the event has already.
type session struct {
	NameID       saml.NameID `json:"nameId,omitzero"`
	SessionIndex string      `json:"sessionIndex,omitempty"`
}

func logoutServices(c Config) []saml.Endpoint {
	var list []saml.Endpoint
	if c.LogoutNoticeURL != "" {
		list = append(list, saml.Endpoint{Binding: saml.BindingSOAP, Location: c.LogoutNoticeURL})
	}
	if c.LogoutURL != "" {
		list = append(list, saml.Endpoint{Binding: saml.BindingRedirect, Location: c.LogoutURL})
	}
	return list
}

// logoutURL is where answers to our logout requests come; empty is nowhere.
func (u *Upstream) logoutURL() string {
	for _, service := range u.provider.Logout {
		if service.Binding != saml.BindingSOAP {
			return service.Location
		}
	}
	return ""
}

// StartLogout implements brokers.Leaver: a LogoutRequest by redirect, which ends
// the session with DigiD and with the other services of the federation.
func (u *Upstream) StartLogout(ctx context.Context, e *brokers.AuthenticationEvent, relayState string) (*brokers.Departure, error) {
	bsn, ok := strings.CutPrefix(e.Subject.Key, "nl-bsn:")
	if !ok {
		return nil, errors.New("digid: event without a BSN")
	}
	request, d, err := u.logoutRequest(ctx, e, saml.BindingRedirect, relayState)
	if err != nil {
		return nil, err
	}
	request.NameID = saml.NameID{Value: sectorBSN + ":" + bsn}
	d.Location, err = request.RedirectURL(u.provider.Credential, relayState, u.rand)
	return d, err
}

// StartLogout implements brokers.Leaver: a LogoutRequest by form for this one
// login. Other services are not logged out.
func (u *Routed) StartLogout(ctx context.Context, e *brokers.AuthenticationEvent, relayState string) (*brokers.Departure, error) {
	request, d, err := u.logoutRequest(ctx, e, saml.BindingPOST, relayState)
	if err != nil {
		return nil, err
	}
	d.Form, err = request.PostForm(u.provider.Credential, relayState, u.rand)
	return d, err
}

// logoutRequest begins a LogoutRequest for a binding, with the departure that goes
// with it.
func (u *Upstream) logoutRequest(ctx context.Context, e *brokers.AuthenticationEvent, binding, relayState string) (*saml.LogoutRequest, *brokers.Departure, error) {
	entity, err := u.source.Entity(ctx)
	if err != nil {
		return nil, nil, err
	}
	location := ""
	for _, service := range entity.SingleLogout {
		if service.Binding == binding {
			location = service.Location
		}
	}
	if location == "" || u.logoutURL() == "" {
		return nil, nil, ErrNoLogout
	}
	var s session
	if len(e.Departure) > 0 {
		if err := json.Unmarshal(e.Departure, &s); err != nil {
			return nil, nil, fmt.Errorf("digid: session of an event: %w", err)
		}
	}
	id, err := saml.NewID(u.rand)
	if err != nil {
		return nil, nil, err
	}
	now := u.clock()
	request := &saml.LogoutRequest{ID: id, IssueInstant: now, Destination: location, Issuer: u.provider.EntityID, NameID: s.NameID}
	if s.SessionIndex != "" {
		request.SessionIndexes = []string{s.SessionIndex}
	}
	return request, &brokers.Departure{
		Location: location, RequestID: id, RequestedAt: now, Request: brokers.AuthenticationRequest{RelayState: relayState},
	}, nil
}

// FinishLogout implements brokers.Leaver. A citizen who kept the session is
// brokers.ErrCancelled; a logout that did not reach everybody is a
// *saml.StatusError with Second saml.StatusPartialLogout.
func (u *Upstream) FinishLogout(ctx context.Context, r *http.Request, d *brokers.Departure) error {
	entity, err := u.source.Entity(ctx)
	if err != nil {
		return err
	}
	posted := r.Method == http.MethodPost
	var message []byte
	var relayState string
	if posted {
		message, relayState, err = saml.ReadPOST(r)
	} else {
		message, relayState, err = saml.ReadRedirect(r.URL.RawQuery, "SAMLResponse", entity.Signing, u.clock())
	}
	if err != nil {
		return err
	}
	if !saml.SameRelayState(relayState, d.Request.RelayState) {
		return &brokers.RejectedError{Reason: string(saml.ReasonRelayState), Err: errors.New("answer of another logout")}
	}
	err = saml.ValidateLogoutResponse(message, saml.LogoutExpectation{
		Issuer: entity.ID, Certificates: entity.Signing, Detached: !posted, Destination: u.logoutURL(),
		RequestID: d.RequestID, RequestedAt: d.RequestedAt, Now: u.clock(), Skew: u.skew,
	})
	var status *saml.StatusError
	if errors.As(err, &status) && status.Top == saml.StatusResponder && status.Second == saml.StatusRequestDenied {
		return fmt.Errorf("%w: %w", brokers.ErrCancelled, status)
	}
	return err
}

// LogoutNames implements brokers.Notified: the person, and the session as far as DigiD
// gave it a name. One without a name ends with any session of the person.
func (u *Upstream) LogoutNames(e *brokers.AuthenticationEvent) []string {
	var s session
	if u.noticeURL() == "" || len(e.Departure) > 0 && json.Unmarshal(e.Departure, &s) != nil {
		return nil
	}
	return []string{personName(e.Subject.Key), sessionName(e.Subject.Key, s.SessionIndex)}
}

// LogoutNames is empty: nobody tells of logouts in this generation.
func (*Routed) LogoutNames(*brokers.AuthenticationEvent) []string { return nil }

// ReceiveLogout is ErrNoLogout: nobody tells of logouts in this generation.
func (*Routed) ReceiveLogout(context.Context, *http.Request) (*brokers.LogoutNotice, error) {
	return nil, ErrNoLogout
}

func personName(key string) string { return "person " + key }

func sessionName(key, index string) string { return "session " + index + " " + key }

// noticeURL is where DigiD tells of logouts; empty is nowhere.
func (u *Upstream) noticeURL() string {
	for _, service := range u.provider.Logout {
		if service.Binding == saml.BindingSOAP {
			return service.Location
		}
	}
	return ""
}

// ReceiveLogout implements brokers.Notified: a logout notice over SOAP (DigiD 3.x),
// once. One that names no sessions means all of the person. Mutual TLS is the
// listener's affair; what counts is the signature of the message.
func (u *Upstream) ReceiveLogout(ctx context.Context, r *http.Request) (*brokers.LogoutNotice, error) {
	entity, err := u.source.Entity(ctx)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxNotice+1))
	if err != nil || len(body) > maxNotice {
		return nil, &brokers.RejectedError{Reason: string(saml.ReasonTooLarge), Err: errors.New("logout notice is too long, or broke off")}
	}
	location := u.noticeURL()
	if location == "" {
		return nil, ErrNoLogout
	}
	request, err := saml.ValidateSOAPLogoutRequest(body, saml.LogoutExpectation{
		Issuer: entity.ID, Certificates: entity.Signing, Destination: location, Now: u.clock(), Skew: u.skew,
	})
	if err != nil {
		return nil, err
	}
	if err := request.Use(ctx, u.replay); err != nil {
		return nil, err
	}
	bsn, err := parseNameID(request.NameID.Value)
	if err != nil {
		return nil, &brokers.RejectedError{Reason: reasonSubject, Err: err}
	}
	key := "nl-bsn:" + bsn
	names := []string{personName(key)}
	if len(request.SessionIndexes) > 0 {
		names = []string{sessionName(key, "")}
		for _, index := range request.SessionIndexes {
			names = append(names, sessionName(key, index))
		}
	}
	return &brokers.LogoutNotice{Names: names, Answer: func(done bool) ([]byte, string, error) {
		answer, err := u.answerLogout(request, done)
		return answer, "text/xml; charset=utf-8", err
	}}, nil
}

// answerLogout is the signed answer to a notice, for the SOAP channel.
func (u *Upstream) answerLogout(request *saml.LogoutRequest, done bool) ([]byte, error) {
	id, err := saml.NewID(u.rand)
	if err != nil {
		return nil, err
	}
	response := saml.LogoutResponse{
		ID: id, IssueInstant: u.clock(), Destination: request.Issuer, Issuer: u.provider.EntityID, InResponseTo: request.ID, Top: saml.StatusSuccess,
	}
	if !done {
		response.Top, response.Second = saml.StatusResponder, saml.StatusRequestDenied
	}
	return response.SOAP(u.provider.Credential, u.rand)
}
