package oidcup

import (
	"encoding/base64"
	"encoding/json/jsontext"
	json "encoding/json/v2"
	"errors"
	"slices"
	"strings"
	"time"
)

// Names that a JWT may have in one spelling only: other decoders, go-oidc's among
// them, take "Sub" for "sub" (O-27).
func reserved() []string {
	return []string{
		"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "nonce", "acr", "amr", "azp", "at_hash", "c_hash", "auth_time", "state",
		"alg", "kid", "typ", "cty", "enc", "crit", "b64", "jwk", "jku", "x5u", "x5c",
	}
}

// strictObject reads a JSON object without repeated members and without look-alike
// names.
func strictObject(raw []byte) (map[string]jsontext.Value, error) {
	var object map[string]jsontext.Value
	if err := json.Unmarshal(raw, &object); err != nil { // refuses duplicates and invalid UTF-8
		return nil, errors.New("token is not made of JSON objects")
	}
	names := reserved()
	for name := range object {
		if lower := strings.ToLower(name); lower != name && slices.Contains(names, lower) {
			return nil, errors.New("token has a member in another spelling")
		}
	}
	return object, nil
}

// compact splits a compact JWS and looks at header and payload before anybody
// believes them.
func compact(token string) (payload []byte, err error) {
	parts := strings.Split(token, ".")
	if len(token) > maxIDToken || len(parts) != 3 {
		return nil, errors.New("token is too long or no compact JWS")
	}
	header, err := base64.RawURLEncoding.Strict().DecodeString(parts[0])
	if err != nil {
		return nil, errors.New("token is not base64url")
	}
	if payload, err = base64.RawURLEncoding.Strict().DecodeString(parts[1]); err != nil {
		return nil, errors.New("token is not base64url")
	}
	head, err := strictObject(header)
	if err != nil {
		return nil, err
	}
	if _, ok := head["crit"]; ok {
		return nil, errors.New("token has a critical header")
	}
	if _, ok := head["b64"]; ok {
		return nil, errors.New("token has a payload of another form")
	}
	// A token of another kind says so (O-28).
	if kind, ok := head["typ"]; ok && !slices.Contains([]string{`"JWT"`, `"jwt"`, `"application/jwt"`}, string(kind)) {
		return nil, errors.New("token is of another kind")
	}
	_, err = strictObject(payload)
	return payload, err
}

// seconds is a numeric date without a fraction beyond what a float can hold.
type seconds struct{ time.Time }

// UnmarshalJSON reads a number of seconds between 1970 and the year 10000.
func (s *seconds) UnmarshalJSON(data []byte) error {
	var n float64
	if err := json.Unmarshal(data, &n); err != nil {
		return err
	}
	if n < 0 || n > 253402300799 {
		return errors.New("time is out of range")
	}
	s.Time = time.UnixMilli(int64(n * 1000))
	return nil
}

// list is one text or several.
type list []string

// UnmarshalJSON reads a string or an array of strings.
func (l *list) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*l = list{one}
		return nil
	}
	var several []string
	if err := json.Unmarshal(data, &several); err != nil {
		return err
	}
	*l = several
	return nil
}
