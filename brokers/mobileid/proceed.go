package mobileid

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/authcert"
	"github.com/eidbridge/eidbridge/brokers/nationalid"
	"github.com/eidbridge/eidbridge/brokers/rpapi"
)

const (
	fieldCode  = "personal_code"
	fieldPhone = "phone_number"
	// sessionTime is how long the operator waits for the telephone.
	sessionTime = 2 * time.Minute
	// maxDisplayText is in GSM-7 characters.
	maxDisplayText = 100
	// maxSessionID bounds the operator's name of a session.
	maxSessionID = 128
)

// VerificationCode is what the telephone shows: the first six bits and the last
// seven of the challenge as one number of four digits.
func VerificationCode(challenge []byte) string {
	if len(challenge) < 2 {
		return ""
	}
	return fmt.Sprintf("%04d", int(challenge[0]>>2)<<7|int(challenge[len(challenge)-1]&0x7f))
}

// Proceed implements brokers.Conversing.
func (u *Upstream) Proceed(ctx context.Context, d *brokers.Departure, input map[string]string) (*brokers.AuthenticationEvent, error) {
	m, err := recall(d)
	if err != nil {
		return nil, err
	}
	switch {
	case m.Stage == asking && input != nil:
		return nil, u.take(d, input)
	case m.Stage == asking || input != nil:
		return nil, nil
	case u.c.Clock().After(m.Until):
		return nil, reject("timeout", brokers.CategoryTimeout, nil)
	case m.Stage == ready:
		// The code is on the page before the telephone rings.
		m.Stage = shown
		return nil, remember(d, m)
	case m.Stage == shown:
		return nil, u.ring(ctx, d, m)
	}
	return u.poll(ctx, d, m)
}

// take reads the form.
func (u *Upstream) take(d *brokers.Departure, input map[string]string) error {
	m := memo{Stage: asking, Code: clean(input[fieldCode], 11), Phone: clean(input[fieldPhone], 20)}
	_, err := nationalid.ParsePersonalCode(m.Code)
	m.BadCode = err != nil
	m.BadPhone = !isPhone(m.Phone)
	if m.BadCode || m.BadPhone {
		return remember(d, m)
	}
	m.Challenge = make([]byte, sha256.Size)
	if _, err := io.ReadFull(u.c.Rand, m.Challenge); err != nil {
		return fmt.Errorf("mobile-id: reading randomness: %w", err)
	}
	m.Stage, m.Until = ready, u.c.Clock().Add(sessionTime+15*time.Second)
	return remember(d, m)
}

// clean takes blanks out of an entry and cuts it.
func clean(s string, most int) string {
	s = strings.Join(strings.Fields(s), "")
	return s[:min(len(s), most)]
}

// isPhone accepts the international form: a plus sign and 7 to 15 digits (E.164).
func isPhone(s string) bool {
	number, ok := strings.CutPrefix(s, "+")
	return ok && len(number) >= 7 && len(number) <= 15 && strings.Trim(number, "0123456789") == "" && number[0] != '0'
}

// authentication is the request that lets the telephone ring.
type authentication struct {
	PartyUUID   string `json:"relyingPartyUUID"`
	PartyName   string `json:"relyingPartyName"`
	Phone       string `json:"phoneNumber"`
	Code        string `json:"nationalIdentityNumber"`
	Hash        []byte `json:"hash"`
	HashType    string `json:"hashType"`
	Language    string `json:"language"`
	DisplayText string `json:"displayText,omitempty"`
	TextFormat  string `json:"displayTextFormat,omitempty"`
}

func (u *Upstream) ring(ctx context.Context, d *brokers.Departure, m memo) error {
	if !u.rings.allow(m.Phone, u.c.Clock()) {
		// W-08: nobody's telephone rings on and on.
		return reject("too_many_rings", brokers.CategoryDevice, nil)
	}
	request := authentication{
		PartyUUID: u.c.PartyUUID, PartyName: u.c.PartyName, Phone: m.Phone, Code: m.Code,
		Hash: m.Challenge, HashType: "SHA256", Language: language(d.Request.Locale),
	}
	if u.c.DisplayText != "" {
		request.DisplayText, request.TextFormat = u.c.DisplayText, "GSM-7"
	}
	var answer struct {
		SessionID string `json:"sessionID"`
	}
	if err := u.client.Post(ctx, "/authentication", request, &answer); err != nil {
		return rpapi.Outcome(err, brokers.CategoryConfiguration)
	}
	if answer.SessionID == "" || len(answer.SessionID) > maxSessionID {
		return reject("session_id", brokers.CategoryProtocol, nil)
	}
	m.Stage, m.Session, m.Until = running, answer.SessionID, u.c.Clock().Add(sessionTime)
	return remember(d, m)
}

// language is the operator's name for a language, English where it has none.
func language(tag string) string {
	switch {
	case strings.HasPrefix(tag, "et"):
		return "EST"
	case strings.HasPrefix(tag, "ru"):
		return "RUS"
	case strings.HasPrefix(tag, "lt"):
		return "LIT"
	}
	return "ENG"
}

// session is the answer about a telephone.
type session struct {
	State     string `json:"state"`
	Result    string `json:"result"`
	Signature struct {
		Value     []byte `json:"value"`
		Algorithm string `json:"algorithm"`
	} `json:"signature"`
	Certificate []byte `json:"cert"`
}

func (u *Upstream) poll(ctx context.Context, d *brokers.Departure, m memo) (*brokers.AuthenticationEvent, error) {
	wait := max(brokers.Patience(ctx), time.Second)
	path := fmt.Sprintf("/authentication/session/%s?timeoutMs=%d", url.PathEscape(m.Session), wait.Milliseconds())
	var answer session
	if err := u.client.Get(ctx, path, wait, &answer); err != nil {
		return nil, rpapi.Outcome(err, brokers.CategoryTimeout)
	}
	switch answer.State {
	case "RUNNING":
		return nil, nil
	case "COMPLETE":
	default:
		return nil, reject("session_state", brokers.CategoryProtocol, nil)
	}
	if err := result(answer.Result); err != nil {
		return nil, err
	}
	return u.event(ctx, d, m, &answer)
}

// result sorts the results of the API (broker.md 10).
func result(word string) error {
	switch word {
	case "OK":
		return nil
	case "USER_CANCELLED":
		return brokers.ErrCancelled
	case "TIMEOUT":
		return reject("timeout", brokers.CategoryTimeout, nil)
	case "NOT_MID_CLIENT":
		return reject("not_mid_client", brokers.CategoryNotRegistered, nil)
	case "PHONE_ABSENT", "DELIVERY_ERROR", "SIM_ERROR", "SIGNATURE_HASH_MISMATCH":
		return reject(strings.ToLower(word), brokers.CategoryDevice, nil)
	}
	return reject("result_unknown", brokers.CategoryProtocol, nil)
}

// event judges the proof.
func (u *Upstream) event(ctx context.Context, d *brokers.Departure, m memo, s *session) (*brokers.AuthenticationEvent, error) {
	certificate, err := authcert.Parse(s.Certificate)
	if err != nil {
		return nil, err
	}
	// Telephones' certificates say nothing about extended usages; their policies do
	// (certificate and OCSP profile for Mobile-ID 2.3).
	holder, err := u.c.Judge.Check(ctx, certificate, nil, authcert.Purpose{Usages: []string{authcert.UsageClientAuth}, Optional: true})
	if err != nil {
		return nil, err
	}
	if !isTelephone(holder) {
		return nil, reject(authcert.ReasonPolicy, brokers.CategoryProtocol, errors.New("certificate is of no telephone"))
	}
	if holder.Identity.Key != "ee-ik:"+m.Code {
		return nil, reject("other_person", brokers.CategoryProtocol, errors.New("certificate is of another person"))
	}
	if err := verify(certificate, m.Challenge, s); err != nil {
		return nil, err
	}
	if err := u.c.Judge.Revocation(ctx, holder); err != nil {
		return nil, err
	}
	now := u.c.Clock()
	if err := u.c.Replay.UseAssertionID(ctx, u.c.URL, m.Session, now.Add(time.Hour)); err != nil {
		if errors.Is(err, brokers.ErrReplayed) {
			return nil, reject("replayed", brokers.CategoryProtocol, err)
		}
		return nil, err
	}
	return holder.Event(authcert.Login{
		Upstream: u.c.ID, Method: d.Request.Method, Issuer: u.c.URL, Session: m.Session, Time: now, Rand: u.c.Rand,
		Mapping: u.c.Mapping, Scheme: scheme, Class: value, Least: d.Request.Level, Most: u.c.MaxLevel,
	})
}

// isTelephone demands one of the policies of Mobile-ID: since 2022, and before.
func isTelephone(h *authcert.Holder) bool {
	return slices.ContainsFunc(h.Policies, func(p string) bool {
		return p == "1.3.6.1.4.1.10015.18.1" || p == "1.3.6.1.4.1.10015.1.3" || strings.HasPrefix(p, "1.3.6.1.4.1.10015.1.3.")
	})
}

// verify verifies the signature over our challenge. The algorithm that the answer
// names has to be one that fits the key; what fits is decided by the key alone.
func verify(c *x509.Certificate, challenge []byte, s *session) error {
	algorithm, ok := map[x509.PublicKeyAlgorithm]struct {
		name   string
		scheme authcert.Scheme
	}{
		x509.ECDSA: {"SHA256WithECEncryption", authcert.ECDSA},
		x509.RSA:   {"SHA256WithRSAEncryption", authcert.PKCS1},
	}[c.PublicKeyAlgorithm]
	if !ok || s.Signature.Algorithm != algorithm.name {
		return reject(authcert.ReasonAlgorithm, brokers.CategoryProtocol, errors.New("signature algorithm is not the one of the key"))
	}
	return authcert.Verify(c, algorithm.scheme, crypto.SHA256, challenge, s.Signature.Value)
}

func reject(reason string, category brokers.Category, err error) error {
	return &brokers.RejectedError{Reason: reason, Category: category, Err: err}
}

// gsm7 reports whether a text has only characters of the GSM-7 basic alphabet that
// are ASCII too.
func gsm7(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool {
		return r < ' ' || r > 'z' || strings.ContainsRune("[\\]^`", r)
	}) < 0
}

// keyOf hides a telephone number in memory.
func keyOf(phone string) string {
	sum := sha256.Sum256([]byte(phone))
	return base64.RawStdEncoding.EncodeToString(sum[:])
}
