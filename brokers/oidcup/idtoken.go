package oidcup

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	json "encoding/json/v2"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers"
)

const (
	// maxLifetime bounds the life of an ID token, maxAge how long ago it was made.
	maxLifetime = time.Hour
	maxAge      = 5 * time.Minute
)

// idToken are the claims that are read. Others, whatever their names, are not.
type idToken struct {
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"`
	Audience list     `json:"aud"`
	Party    string   `json:"azp"`
	ID       string   `json:"jti"`
	Expiry   *seconds `json:"exp"`
	Before   *seconds `json:"nbf"`
	IssuedAt *seconds `json:"iat"`
	Login    *seconds `json:"auth_time"`
	Nonce    string   `json:"nonce"`
	State    string   `json:"state"`
	ACR      string   `json:"acr"`
	AMR      list     `json:"amr"`
	ATHash   string   `json:"at_hash"`
	// Events is of logout tokens.
	Events any `json:"events"`

	GivenName  string `json:"given_name"`
	FamilyName string `json:"family_name"`
	Birthdate  string `json:"birthdate"`
	// Profile and Latin are TARA's.
	Profile *taraProfile `json:"profile_attributes"`
	Latin   *taraProfile `json:"profile_attributes_translit"`

	hash   string
	expiry time.Time
}

type taraProfile struct {
	GivenName   string `json:"given_name"`
	FamilyName  string `json:"family_name"`
	DateOfBirth string `json:"date_of_birth"`
}

// authTime is when the citizen logged in: what the token says of it, or when it
// was made.
func (t *idToken) authTime() time.Time {
	if t.Login != nil {
		return t.Login.Time
	}
	return t.IssuedAt.Time
}

// idToken verifies an ID token: form, signature, issuer, audience and expiry by
// go-oidc, and then all that OpenID Connect Core 3.1.3.7 leaves to the relying
// party, read from the verified bytes.
func (u *Upstream) idToken(ctx context.Context, raw, accessToken string, m memo, d *brokers.Departure) (*idToken, error) {
	bad := func(reason, text string) (*idToken, error) {
		return nil, reject(reason, brokers.CategoryProtocol, text)
	}
	if raw == "" {
		return bad("id_token", "there is no ID token")
	}
	raw, err := u.open(raw)
	if err != nil {
		return bad("id_token_encryption", err.Error())
	}
	payload, err := compact(raw)
	if err != nil {
		return bad("id_token_malformed", err.Error())
	}
	algorithms := make([]string, len(u.c.Algorithms))
	for i, algorithm := range u.c.Algorithms {
		algorithms[i] = string(algorithm)
	}
	verifier := oidc.NewVerifier(u.c.Issuer, u.source.keys, &oidc.Config{ClientID: u.c.ClientID, SupportedSigningAlgs: algorithms, Now: u.c.Clock})
	if _, err := verifier.Verify(oidc.ClientContext(ctx, u.source.client), raw); err != nil {
		// What go-oidc says may quote the token.
		return bad("id_token_invalid", "signature, issuer, audience or time of the ID token is wrong")
	}
	var t idToken
	if err := json.Unmarshal(payload, &t); err != nil {
		return bad("id_token_malformed", "a claim of the ID token is of another type")
	}
	sum := sha256.Sum256([]byte(raw))
	t.hash = hex.EncodeToString(sum[:])
	if reason := u.judge(&t, m, d); reason != "" {
		return bad("id_token_"+reason, "")
	}
	if !u.bound(&t, raw, accessToken) {
		return bad("id_token_at_hash", "access token is another one, or not said to be this")
	}
	return &t, nil
}

// judge checks the claims and names the first that is wrong (O-26, O-29).
func (u *Upstream) judge(t *idToken, m memo, d *brokers.Departure) string {
	now, skew := u.c.Clock(), u.c.Skew
	switch {
	case t.Issuer != u.c.Issuer:
		return "iss"
	case !slices.Contains(t.Audience, u.c.ClientID), len(t.Audience) > 1 && t.Party == "", t.Party != "" && t.Party != u.c.ClientID:
		return "aud"
	case t.Subject == "" || len(t.Subject) > 255:
		return "sub"
	case t.Expiry == nil || !now.Before(t.Expiry.Add(skew)):
		return "exp"
	case t.IssuedAt == nil || t.IssuedAt.After(now.Add(skew)) || now.Sub(t.IssuedAt.Time) > maxAge+skew || t.IssuedAt.Before(d.RequestedAt.Add(-skew)):
		return "iat"
	case t.Before != nil && t.Before.After(now.Add(skew)):
		return "nbf"
	case t.Expiry.Sub(t.IssuedAt.Time) > maxLifetime || t.Expiry.Before(t.IssuedAt.Time):
		return "lifetime"
	case m.Nonce == "" || subtle.ConstantTimeCompare([]byte(t.Nonce), []byte(m.Nonce)) != 1:
		return "nonce"
	case t.State != "" && t.State != d.Request.RelayState, u.c.Kind == TARA && t.State == "":
		return "state"
	case t.Events != nil:
		return "kind"
	case t.Login != nil && t.Login.After(now.Add(skew)):
		return "auth_time"
	case d.Request.ForceAuthn && u.c.Kind != TARA && (t.Login == nil || t.Login.Before(d.RequestedAt.Add(-skew))):
		return "auth_time"
	}
	t.expiry = t.Expiry.Time
	return ""
}

// bound compares at_hash (OpenID Connect Core 3.1.3.6). TARA writes it in standard
// base64 and always. Without it the code alone binds the two tokens, which came in
// one answer.
func (u *Upstream) bound(t *idToken, raw, accessToken string) bool {
	if t.ATHash == "" {
		return u.c.Kind != TARA
	}
	token, err := jose.ParseSignedCompact(raw, allAlgorithms())
	if err != nil {
		return false
	}
	hash := crypto.SHA256
	switch name := token.Signatures[0].Header.Algorithm; {
	case strings.HasSuffix(name, "384"):
		hash = crypto.SHA384
	case strings.HasSuffix(name, "512"), name == "EdDSA":
		hash = crypto.SHA512
	}
	h := hash.New()
	h.Write([]byte(accessToken))
	half := h.Sum(nil)[:hash.Size()/2]
	want := base64.RawURLEncoding.EncodeToString(half)
	if u.c.Kind == TARA {
		want = base64.StdEncoding.EncodeToString(half)
	}
	return subtle.ConstantTimeCompare([]byte(t.ATHash), []byte(want)) == 1
}
