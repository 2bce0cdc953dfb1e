package smartid

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/nationalid"
	"github.com/eidbridge/eidbridge/brokers/rpapi"
)

const (
	fieldCode = "personal_code"
	protocol  = "ACSP_V2"
	hashName  = "SHA-512"
	// challengeLength is in bytes before base64.
	challengeLength = 64
	// sessionTime is how long a session is waited for, codeTime how long codes of
	// one are shown.
	sessionTime = 3 * time.Minute
	codeTime    = 60 * time.Second
	// maxField bounds what the API gives to be kept, in bytes.
	maxField = 512
)

// Proceed implements brokers.Conversing.
func (u *Upstream) Proceed(ctx context.Context, d *brokers.Departure, input map[string]string) (*brokers.AuthenticationEvent, error) {
	m, err := recall(d)
	if err != nil {
		return nil, err
	}
	switch {
	case m.Asking && input != nil:
		return nil, u.take(d, input[fieldCode])
	case m.Asking:
		return nil, nil
	case input["here"] != "" && m.Flow == flowQR && u.c.CallbackURL != "":
		return nil, u.begin(ctx, d, memo{Flow: flowWeb2App})
	case input["again"] != "" && m.Flow == flowQR && u.c.Clock().Sub(m.Begun) > codeTime:
		return nil, u.begin(ctx, d, memo{Flow: flowQR})
	case input != nil:
		return nil, nil
	case m.Session == "" && m.Flow == flowNotification && !m.Shown:
		// The code is on the page before the app asks.
		m.Shown = true
		return nil, remember(d, m)
	case m.Session == "":
		return nil, u.begin(ctx, d, m)
	case u.c.Clock().After(m.Until):
		return nil, reject("timeout", brokers.CategoryTimeout, nil)
	}
	answer, err := u.poll(ctx, m, brokers.Patience(ctx))
	if answer == nil || err != nil {
		return nil, err
	}
	if m.Flow == flowWeb2App {
		// The browser that began has to bring proof from the app (callback.go). Until
		// then a success is nobody's.
		return nil, nil
	}
	return u.event(ctx, d, m, answer)
}

// take reads the form.
func (u *Upstream) take(d *brokers.Departure, typed string) error {
	code := strings.Join(strings.Fields(typed), "")
	m := memo{Flow: flowNotification, Asking: true, Code: code[:min(len(code), 11)]}
	if _, err := nationalid.ParsePersonalCode(code); err != nil {
		m.BadCode = true
		return remember(d, m)
	}
	challenge, err := u.challenge()
	if err != nil {
		return err
	}
	m.Asking, m.Challenge, m.Until = false, challenge, u.c.Clock().Add(sessionTime)
	return remember(d, m)
}

func (u *Upstream) challenge() (string, error) {
	raw := make([]byte, challengeLength)
	if _, err := io.ReadFull(u.c.Rand, raw); err != nil {
		return "", fmt.Errorf("smart-id: reading randomness: %w", err)
	}
	return base64.StdEncoding.EncodeToString(raw), nil
}

// request begins a session.
type request struct {
	PartyUUID        string     `json:"relyingPartyUUID"`
	PartyName        string     `json:"relyingPartyName"`
	CertificateLevel string     `json:"certificateLevel"`
	Protocol         string     `json:"signatureProtocol"`
	Parameters       parameters `json:"signatureProtocolParameters"`
	Interactions     string     `json:"interactions"`
	Callback         string     `json:"initialCallbackUrl,omitempty"`
	VCType           string     `json:"vcType,omitempty"`
}

type parameters struct {
	Challenge string `json:"rpChallenge"`
	Algorithm string `json:"signatureAlgorithm"`
	Hash      struct {
		Name string `json:"hashAlgorithm"`
	} `json:"signatureAlgorithmParameters"`
}

// begin starts a session with the API.
func (u *Upstream) begin(ctx context.Context, d *brokers.Departure, m memo) error {
	if m.Challenge == "" {
		var err error
		if m.Challenge, err = u.challenge(); err != nil {
			return err
		}
	}
	asked := request{
		PartyUUID: u.c.PartyUUID, PartyName: u.c.PartyName, CertificateLevel: qualified, Protocol: protocol,
		Parameters: parameters{Challenge: m.Challenge, Algorithm: "rsassa-pss"}, Interactions: u.interactions,
	}
	asked.Parameters.Hash.Name = hashName
	if u.c.Advanced {
		asked.CertificateLevel = advanced
	}
	path := "/authentication/device-link/anonymous"
	switch m.Flow {
	case flowWeb2App:
		m.Callback = u.c.CallbackURL + "?value=" + url.QueryEscape(d.Request.RelayState)
		asked.Callback = m.Callback
	case flowNotification:
		path, asked.VCType = "/authentication/notification/etsi/PNOEE-"+m.Code, "numeric4"
	case flowQR:
	}
	var answer struct {
		Session  string `json:"sessionID"`
		Token    string `json:"sessionToken"`
		Secret   []byte `json:"sessionSecret"`
		LinkBase string `json:"deviceLinkBase"`
	}
	if err := u.client.Post(ctx, path, asked, &answer); err != nil {
		return outcome(err, brokers.CategoryNotRegistered)
	}
	linked := m.Flow != flowNotification
	switch {
	case answer.Session == "" || len(answer.Session) > maxField,
		linked && (answer.Token == "" || len(answer.Token) > maxField || len(answer.Secret) == 0),
		linked && (len(answer.LinkBase) > maxField || !u.leadsToApp(answer.LinkBase)):
		return reject("session", brokers.CategoryProtocol, errors.New("answer lacks a session or its link"))
	}
	m.Session, m.Token, m.Secret, m.LinkBase = answer.Session, answer.Token, answer.Secret, answer.LinkBase
	m.Begun = u.c.Clock()
	m.Until = m.Begun.Add(sessionTime)
	return remember(d, m)
}

// leadsToApp accepts the base of device links: https without a query, or whatever
// the API at this machine says of itself.
func (u *Upstream) leadsToApp(base string) bool {
	link, err := url.Parse(base)
	if err != nil || link.Host == "" || link.User != nil || link.RawQuery != "" || link.Fragment != "" {
		return false
	}
	return link.Scheme == "https" || link.Scheme == "http" && origin(base) == origin(u.c.URL)
}

// outcome also knows the statuses of this API's own.
func outcome(err error, notFound brokers.Category) error {
	var status *rpapi.StatusError
	if errors.As(err, &status) {
		switch status.Status {
		case 471: // no suitable account
			return reject("no_suitable_account", brokers.CategoryNotRegistered, err)
		case 472, 480: // look at the app; too old
			return reject(fmt.Sprintf("status_%d", status.Status), brokers.CategoryDevice, err)
		case 580: // maintenance
			return reject("maintenance", brokers.CategoryUnavailable, err)
		case http.StatusForbidden:
			return reject("status_403", brokers.CategoryConfiguration, err)
		}
	}
	return rpapi.Outcome(err, notFound)
}

// session is the answer about a session.
type session struct {
	State  string `json:"state"`
	Result struct {
		End string `json:"endResult"`
	} `json:"result"`
	Protocol  string    `json:"signatureProtocol"`
	Signature signature `json:"signature"`
	Cert      struct {
		Value []byte `json:"value"`
		Level string `json:"certificateLevel"`
	} `json:"cert"`
	Interaction string `json:"interactionTypeUsed"`
}

// poll asks once. It returns nil while the app is waited for.
func (u *Upstream) poll(ctx context.Context, m memo, wait time.Duration) (*session, error) {
	wait = max(wait, time.Second)
	path := fmt.Sprintf("/session/%s?timeoutMs=%d", url.PathEscape(m.Session), wait.Milliseconds())
	var answer session
	if err := u.client.Get(ctx, path, wait, &answer); err != nil {
		return nil, outcome(err, brokers.CategoryTimeout)
	}
	switch answer.State {
	case "RUNNING":
		return nil, nil
	case "COMPLETE":
		return &answer, result(answer.Result.End)
	}
	return nil, reject("session_state", brokers.CategoryProtocol, nil)
}

// result sorts the end results of the API (broker.md 10).
func result(word string) error {
	switch word {
	case "OK":
		return nil
	case "USER_REFUSED", "USER_REFUSED_INTERACTION", "USER_REFUSED_CERT_CHOICE":
		return brokers.ErrCancelled
	case "TIMEOUT":
		return reject("timeout", brokers.CategoryTimeout, nil)
	case "DOCUMENT_UNUSABLE", "ACCOUNT_UNUSABLE":
		return reject(strings.ToLower(word), brokers.CategoryBlocked, nil)
	case "WRONG_VC", "REQUIRED_INTERACTION_NOT_SUPPORTED_BY_APP":
		return reject(strings.ToLower(word), brokers.CategoryDevice, nil)
	case "SERVER_ERROR":
		return reject("server_error", brokers.CategoryUnavailable, nil)
	case "PROTOCOL_FAILURE", "EXPECTED_LINKED_SESSION":
		return reject(strings.ToLower(word), brokers.CategoryProtocol, nil)
	}
	return reject("result_unknown", brokers.CategoryProtocol, nil)
}

func reject(reason string, category brokers.Category, err error) error {
	return &brokers.RejectedError{Reason: reason, Category: category, Err: err}
}
