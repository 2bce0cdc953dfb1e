package smartid

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

// callbackPatience is how long the session of an app that has brought the browser
// back may take to end.
const callbackPatience = 5 * time.Second

// Correlate implements brokers.Upstream: the app adds to the URL that it was given,
// in which "value" is ours.
func (u *Upstream) Correlate(r *http.Request) (string, error) {
	values := r.URL.Query()["value"]
	if r.Method != http.MethodGet || len(values) != 1 {
		return "", errors.New("smart-id: callback without our value")
	}
	return values[0], nil
}

// Finish implements brokers.Upstream for the app on the same device. The callback
// has to prove that it comes from the app that has the session, and the signature
// that it is of the same challenge; only then the result is looked at.
func (u *Upstream) Finish(ctx context.Context, r *http.Request, d *brokers.Departure) (*brokers.AuthenticationEvent, error) {
	m, err := recall(d)
	if err != nil {
		return nil, err
	}
	query := r.URL.Query()
	digest, verifier := query["sessionSecretDigest"], query["userChallengeVerifier"]
	if m.Flow != flowWeb2App || m.Session == "" || len(digest) != 1 || len(verifier) != 1 || len(verifier[0]) > maxField {
		return nil, reject("callback", brokers.CategoryProtocol, errors.New("callback of a session that has none"))
	}
	if !equal(digest[0], sha256.Sum256(m.Secret)) {
		return nil, reject("session_secret", brokers.CategoryProtocol, errors.New("callback is of another session"))
	}
	answer, err := u.poll(ctx, m, callbackPatience)
	switch {
	case err != nil:
		return nil, err
	case answer == nil:
		return nil, reject("timeout", brokers.CategoryTimeout, errors.New("session did not end"))
	case !equal(answer.Signature.UserChallenge, sha256.Sum256([]byte(verifier[0]))):
		return nil, reject("user_challenge", brokers.CategoryProtocol, errors.New("callback is of another signature"))
	}
	return u.event(ctx, d, m, answer)
}

// equal compares a digest in base64url without padding, in constant time.
func equal(got string, want [sha256.Size]byte) bool {
	return subtle.ConstantTimeCompare([]byte(got), []byte(base64.RawURLEncoding.EncodeToString(want[:]))) == 1
}
