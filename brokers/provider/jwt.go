package provider

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// signatureAlgorithms are those we sign with and accept, strongest habit first.
// RS256 is for clients that know nothing else; FAPI 2.0 forbids it.
func signatureAlgorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.PS256, jose.EdDSA, jose.RS256}
}

// modernAlgorithms are those without RS256.
func modernAlgorithms() []jose.SignatureAlgorithm {
	all := signatureAlgorithms()
	return all[:len(all)-1]
}

// statement is a JWT that somebody else signed.
type statement struct {
	jws     *jose.JSONWebSignature
	payload []byte
}

// parseStatement reads a compact JWS by one of the algorithms and one of the
// types. Its payload must not be believed before verify.
func parseStatement(text string, algorithms []jose.SignatureAlgorithm, types ...string) (*statement, error) {
	if len(text) > maxJWT {
		return nil, errors.New("JWT is too long")
	}
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return nil, errors.New("not a compact JWS")
	}
	// JSON decoders disagree about repeated members, so there are none.
	var header struct {
		Type     string          `json:"typ"`
		Critical json.RawMessage `json:"crit"`
		Encoded  json.RawMessage `json:"b64"`
	}
	for i, into := range []any{&header, &map[string]json.RawMessage{}} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			return nil, errors.New("JWT is not base64url")
		}
		if err := checkJSON(raw, maxJWTDepth); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(raw, into); err != nil {
			return nil, errors.New("JWT is not made of JSON objects")
		}
	}
	if header.Critical != nil || header.Encoded != nil {
		return nil, errors.New("JWT has a critical header")
	}
	typed := false
	for _, t := range types {
		typed = typed || strings.EqualFold(strings.TrimPrefix(strings.ToLower(header.Type), "application/"), t)
	}
	if !typed {
		return nil, errors.New("JWT is of another type")
	}
	jws, err := jose.ParseSignedCompact(text, algorithms)
	if err != nil {
		return nil, errors.New("JWS is malformed or of another algorithm")
	}
	return &statement{jws: jws, payload: jws.UnsafePayloadWithoutVerification()}, nil
}

// verify checks the signature with one of the keys: those of the header's key ID,
// or any if it names none.
func (s *statement) verify(keys []jose.JSONWebKey) error {
	id := s.jws.Signatures[0].Header.KeyID
	tried := 0
	for _, key := range keys {
		if key.Use == "enc" || id != "" && key.KeyID != "" && key.KeyID != id || tried == maxKeys {
			continue
		}
		tried++
		if payload, err := s.jws.Verify(key.Key); err == nil && bytes.Equal(payload, s.payload) {
			return nil
		}
	}
	return errors.New("JWT is signed by none of the known keys")
}

// registered are the claims of RFC 7519 4.1.
type registered struct {
	Issuer    string        `json:"iss"`
	Subject   string        `json:"sub"`
	Audience  audience      `json:"aud"`
	ID        string        `json:"jti"`
	Expiry    *numericClaim `json:"exp"`
	NotBefore *numericClaim `json:"nbf"`
	IssuedAt  *numericClaim `json:"iat"`
}

// madeAt is when a statement was made, or from when on it counts; nil is not known.
func (r *registered) madeAt() *numericClaim {
	if r.IssuedAt != nil {
		return r.IssuedAt
	}
	return r.NotBefore
}

// audience is one receiver or a list of them; single tells which.
type audience struct {
	names  []string
	single bool
}

// UnmarshalJSON reads a string or a list of strings.
func (a *audience) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		a.names, a.single = []string{one}, true
		return nil
	}
	a.single = false
	return json.Unmarshal(data, &a.names)
}

// numericClaim is a time in seconds, perhaps with a fraction.
type numericClaim struct{ time.Time }

// UnmarshalJSON reads a number of seconds between 1970 and the year 10000.
func (n *numericClaim) UnmarshalJSON(data []byte) error {
	var seconds float64
	if err := json.Unmarshal(data, &seconds); err != nil {
		return err
	}
	if seconds < 0 || seconds > 253402300799 {
		return errors.New("time is out of range")
	}
	n.Time = time.UnixMilli(int64(seconds * 1000))
	return nil
}

// current checks the times that are there.
func (r *registered) current(now time.Time) error {
	switch {
	case r.Expiry != nil && !now.Before(r.Expiry.Add(clientSkew)):
		return errors.New("JWT has expired")
	case r.NotBefore != nil && r.NotBefore.After(now.Add(clientSkew)), r.IssuedAt != nil && r.IssuedAt.After(now.Add(clientSkew)):
		return errors.New("JWT is not valid yet")
	}
	return nil
}
