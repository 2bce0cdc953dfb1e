package webeid

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	json "encoding/json/v2"
	"errors"
	"regexp"
	"strings"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/authcert"
)

// Bounds of a token, in characters (agent-protocols 3.7), and of what may come
// beside it.
const (
	minToken         = 100
	maxToken         = 10_000
	maxIntermediates = 16 << 10
)

// fieldToken and fieldIntermediates are what the page sends.
const (
	fieldToken         = "web_eid"
	fieldIntermediates = "intermediates"
)

// token is a Web eID authentication token, format 1.0.
type token struct {
	Certificate []byte `json:"unverifiedCertificate"`
	Algorithm   string `json:"algorithm"`
	Signature   []byte `json:"signature"`
	Format      string `json:"format"`
	AppVersion  string `json:"appVersion"`
}

// formatForm is major version 1 of the format without what later minor versions
// add to it: minor versions are compatible.
var formatForm = regexp.MustCompile(`^web-eid:1\.[0-9]{1,3}$`)

func reject(reason string, category brokers.Category, text string) error {
	var err error
	if text != "" {
		err = errors.New(text)
	}
	return &brokers.RejectedError{Reason: reason, Category: category, Err: err}
}

// readToken reads the token strictly: no member twice or in another spelling.
// Members that are not of the format are passed over.
func readToken(text string) (*token, error) {
	bad := func(text string) (*token, error) {
		return nil, reject("token_malformed", brokers.CategoryProtocol, text)
	}
	if len(text) < minToken || len(text) > maxToken {
		return bad("token is too short or too long")
	}
	var t token
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return bad("token cannot be read")
	}
	switch {
	case !formatForm.MatchString(t.Format):
		return bad("token is of another format")
	case len(t.Certificate) == 0 || len(t.Signature) == 0 || t.Algorithm == "" || t.AppVersion == "":
		return bad("token lacks a member")
	}
	return &t, nil
}

// Proceed implements brokers.Conversing: it takes the token.
func (u *Upstream) Proceed(ctx context.Context, d *brokers.Departure, input map[string]string) (*brokers.AuthenticationEvent, error) {
	m, err := recall(d)
	if err != nil {
		return nil, err
	}
	now := u.c.Clock()
	if now.After(m.Until) {
		return nil, reject("timeout", brokers.CategoryTimeout, "")
	}
	if input == nil {
		return nil, nil
	}
	// The challenge is used up whatever the token is worth.
	if err := u.c.Replay.UseAssertionID(ctx, u.c.Origin, m.Nonce, m.Until.Add(nonceLife)); err != nil {
		if errors.Is(err, brokers.ErrReplayed) {
			return nil, reject("replayed", brokers.CategoryProtocol, "")
		}
		return nil, err
	}
	t, err := readToken(input[fieldToken])
	if err != nil {
		return nil, err
	}
	return u.event(ctx, d, m, t, input[fieldIntermediates])
}

// event judges certificate, signature and person, in this order.
func (u *Upstream) event(ctx context.Context, d *brokers.Departure, m memo, t *token, beside string) (*brokers.AuthenticationEvent, error) {
	certificate, err := authcert.Parse(t.Certificate)
	if err != nil {
		return nil, err
	}
	intermediates, err := readIntermediates(beside)
	if err != nil {
		return nil, err
	}
	holder, err := u.c.Judge.Check(ctx, certificate, intermediates, purpose())
	if err != nil {
		return nil, err
	}
	card, err := u.kind(holder)
	if err != nil {
		return nil, err
	}
	if err := u.c.Judge.Revocation(ctx, holder); err != nil {
		return nil, err
	}
	if err := u.verify(certificate, t, m.Nonce); err != nil {
		return nil, err
	}
	if err := u.bind(ctx, holder); err != nil {
		return nil, err
	}
	return holder.Event(authcert.Login{
		Upstream: u.c.ID, Method: d.Request.Method, Issuer: u.c.Origin, Session: m.Nonce, Time: u.c.Clock(), Rand: u.c.Rand,
		Mapping: u.c.Mapping, Scheme: card.Scheme, Class: card.Class, Least: d.Request.Level, Most: u.c.MaxLevel,
	})
}

// bind refuses a key that has been another person's. Until the operator decides
// who it belongs to, only the first one logs in. The holder is kept as a hash
// under the public key, so that the store alone tells nobody.
func (u *Upstream) bind(ctx context.Context, h *authcert.Holder) error {
	public := h.Certificate.RawSubjectPublicKeyInfo
	key := brokers.Hash(sha256.Sum256(public))
	mac := hmac.New(sha256.New, public)
	mac.Write([]byte(h.Identity.Key))
	err := u.c.Holders.BindKey(ctx, key, brokers.Hash(mac.Sum(nil)), h.Certificate.NotAfter)
	if errors.Is(err, brokers.ErrConflict) {
		return &brokers.RejectedError{
			Reason: "key_of_another", Category: brokers.CategoryCard, Evidence: hex.EncodeToString(key[:]),
			Err: errors.New("the key of the card has been used by another person"),
		}
	}
	return err
}

// readIntermediates reads what came beside the token: certificates in base64, with
// blanks between. They help to find a path and prove nothing.
func readIntermediates(text string) ([]*x509.Certificate, error) {
	if len(text) > maxIntermediates {
		return nil, reject("token_malformed", brokers.CategoryProtocol, "too much came beside the token")
	}
	var list []*x509.Certificate
	for field := range strings.FieldsSeq(text) {
		der, err := base64.StdEncoding.DecodeString(field)
		if err != nil {
			return nil, reject("token_malformed", brokers.CategoryProtocol, "a certificate beside the token is not base64")
		}
		certificate, err := authcert.Parse(der)
		if err != nil {
			return nil, err
		}
		list = append(list, certificate)
	}
	return list, nil
}

// kind finds the card in the table.
func (u *Upstream) kind(h *authcert.Holder) (Card, error) {
	issuer := h.Certificate.Issuer.Country
	for _, card := range u.c.Cards {
		if len(issuer) != 1 || issuer[0] != card.Country {
			continue
		}
		for _, wanted := range card.Policies {
			for _, have := range h.Policies {
				if have == wanted || strings.HasSuffix(wanted, ".") && strings.HasPrefix(have, wanted) {
					return card, nil
				}
			}
		}
	}
	if !u.c.Others {
		return Card{}, reject(authcert.ReasonPolicy, brokers.CategoryCard, "certificate is of no kind that is known")
	}
	return other(), nil
}

// verify verifies the signature over our own origin and nonce. The algorithm has
// to be one that fits the key.
func (u *Upstream) verify(c *x509.Certificate, t *token, nonce string) error {
	scheme, hash, ok := algorithm(t.Algorithm, c.PublicKey)
	if !ok {
		return reject(authcert.ReasonAlgorithm, brokers.CategoryProtocol, "algorithm of the token does not fit its key")
	}
	sum := func(parts ...[]byte) []byte {
		h := hash.New()
		for _, part := range parts {
			h.Write(part)
		}
		return h.Sum(nil)
	}
	digest := sum(sum([]byte(u.c.Origin)), sum([]byte(nonce)))
	return authcert.Verify(c, scheme, hash, digest, t.Signature)
}

// algorithm is what a name means for a key (agent-protocols 3.4).
func algorithm(name string, key crypto.PublicKey) (authcert.Scheme, crypto.Hash, bool) {
	if len(name) != 5 {
		return 0, 0, false
	}
	hash, ok := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[name[2:]]
	if !ok {
		return 0, 0, false
	}
	switch public := key.(type) {
	case *ecdsa.PublicKey:
		bits := map[int]string{256: "256", 384: "384", 521: "512"}[public.Curve.Params().BitSize]
		return authcert.ECDSA, hash, name[:2] == "ES" && name[2:] == bits
	case *rsa.PublicKey:
		switch name[:2] {
		case "RS":
			return authcert.PKCS1, hash, true
		case "PS":
			return authcert.PSS, hash, true
		}
	}
	return 0, 0, false
}
