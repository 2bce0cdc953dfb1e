package saml

import (
	"bytes"
	"compress/flate"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

// ReadArtifact reads an answer by the HTTP-Artifact binding (SAML Bindings
// 3.6.3): a GET with SAMLart and RelayState, each once. Without RelayState it is
// "".
func ReadArtifact(r *http.Request) (a Artifact, relayState string, err error) {
	values, err := queryOf(r)
	if err != nil {
		return Artifact{}, "", err
	}
	text, err := single(values, "SAMLart")
	if err != nil {
		return Artifact{}, "", err
	}
	if a, err = ParseArtifact(text); err != nil {
		return Artifact{}, "", err
	}
	relayState, err = optionalRelayState(values)
	return a, relayState, err
}

// ReadRelayState reads only the RelayState of a callback, whose message nobody
// has looked at yet, from the query of a GET or the form of a POST.
func ReadRelayState(r *http.Request) (string, error) {
	var values url.Values
	var err error
	if r.Method == http.MethodPost {
		values, err = formOf(r)
	} else {
		values, err = queryOf(r)
	}
	if err != nil {
		return "", err
	}
	state, err := optionalRelayState(values)
	if err == nil && state == "" {
		return "", reject(ReasonRelayState, "no RelayState")
	}
	return state, err
}

// SameRelayState compares in constant time what came back with what was sent; no state
// equals nothing.
func SameRelayState(got, want string) bool {
	return got != "" && subtle.ConstantTimeCompare([]byte(got), []byte(want)) == 1
}

// ReadPostedRelayState is ReadRelayState where answers come by forms alone: a GET is a
// *brokers.MethodError.
func ReadPostedRelayState(r *http.Request) (string, error) {
	if _, err := formOf(r); err != nil {
		return "", err
	}
	return ReadRelayState(r)
}

// ReadPOST reads an answer by the HTTP-POST binding (SAML Bindings 3.5): the
// message as XML, and the RelayState.
func ReadPOST(r *http.Request) (message []byte, relayState string, err error) {
	return ReadForm(r, "SAMLResponse")
}

// ReadForm is ReadPOST for a message in a field of another name, such as
// SAMLRequest.
func ReadForm(r *http.Request, field string) (message []byte, relayState string, err error) {
	values, err := formOf(r)
	if err != nil {
		return nil, "", err
	}
	text, err := single(values, field)
	if err != nil {
		return nil, "", err
	}
	if message, err = decodeBase64(text); err != nil {
		return nil, "", reject(ReasonEncoding, "%s is not Base64", field)
	}
	if relayState, err = optionalRelayState(values); err != nil {
		return nil, "", err
	}
	return message, relayState, nil
}

// ReadRedirect verifies and inflates a message of the HTTP-Redirect binding.
// parameter is SAMLRequest or SAMLResponse. The signature is over the octets of
// the query as they came (SAML Bindings 3.4.4.1), so nothing may stand in the
// query that it does not cover (threat X-89).
func ReadRedirect(rawQuery, parameter string, certificates []*x509.Certificate, now time.Time) (message []byte, relayState string, err error) {
	raw, err := splitQuery(rawQuery, parameter, "RelayState", "SigAlg", "Signature")
	if err != nil {
		return nil, "", err
	}
	signed := parameter + "=" + raw[parameter]
	if state, present := raw["RelayState"]; present {
		signed += "&RelayState=" + state
	}
	signed += "&SigAlg=" + raw["SigAlg"]
	values := make(map[string]string, len(raw))
	for name, value := range raw {
		if values[name], err = url.QueryUnescape(value); err != nil {
			return nil, "", reject(ReasonEncoding, "query is not URL-encoded")
		}
	}
	if values[parameter] == "" || values["Signature"] == "" {
		return nil, "", reject(ReasonSignatureMissing, "query without message or signature")
	}
	method, ok := findSignatureMethod(values["SigAlg"], Leniency{})
	if !ok {
		return nil, "", reject(ReasonSignatureAlgorithm, "signature method is not on the list")
	}
	value, err := decodeBase64(values["Signature"])
	if err != nil {
		return nil, "", reject(ReasonEncoding, "signature is not Base64")
	}
	v := verifier{certificates: certificates, now: now}
	if err := v.tryKeys(method, []byte(signed), value); err != nil {
		return nil, "", err
	}
	deflated, err := decodeBase64(values[parameter])
	if err != nil {
		return nil, "", reject(ReasonEncoding, "message is not Base64")
	}
	message, err = inflate(deflated, MessageLimits().Bytes)
	return message, values["RelayState"], err
}

// splitQuery cuts a query into its raw values and refuses doubled and unknown
// names.
func splitQuery(rawQuery string, names ...string) (map[string]string, error) {
	// Base64 in URL encoding of a message at its limit stays below this.
	if len(rawQuery) > 2*MessageLimits().Bytes {
		return nil, reject(ReasonTooLarge, "query of more than %d bytes", 2*MessageLimits().Bytes)
	}
	raw := make(map[string]string, len(names))
	for piece := range strings.SplitSeq(rawQuery, "&") {
		name, value, _ := strings.Cut(piece, "=")
		known := false
		for _, n := range names {
			known = known || n == name
		}
		if _, twice := raw[name]; twice || !known {
			return nil, reject(ReasonBinding, "doubled or unknown parameter")
		}
		raw[name] = value
	}
	return raw, nil
}

// inflate stops at the limit, whatever the ratio (threat X-90).
func inflate(deflated []byte, limit int) ([]byte, error) {
	r := flate.NewReader(bytes.NewReader(deflated))
	message, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	switch {
	case len(message) > limit:
		return nil, reject(ReasonTooLarge, "message inflates to more than %d bytes", limit)
	case err != nil:
		return nil, reject(ReasonEncoding, "message is not deflated")
	}
	return message, nil
}

func queryOf(r *http.Request) (url.Values, error) {
	if r.Method != http.MethodGet {
		return nil, reject(ReasonBinding, "%w", &brokers.MethodError{Allow: http.MethodGet})
	}
	if len(r.URL.RawQuery) > maxQuery {
		return nil, reject(ReasonTooLarge, "query of more than %d bytes", maxQuery)
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, reject(ReasonBinding, "query is malformed")
	}
	return values, nil
}

// formOf reads a posted form once; later calls find it in the request.
func formOf(r *http.Request) (url.Values, error) {
	if r.Method != http.MethodPost {
		return nil, reject(ReasonBinding, "%w", &brokers.MethodError{Allow: http.MethodPost})
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, reject(ReasonBinding, "%w", brokers.ErrContentType)
	}
	if r.URL.RawQuery != "" {
		// Parameters in both places are read differently by different readers.
		return nil, reject(ReasonBinding, "query beside a form")
	}
	if r.PostForm == nil {
		r.Body = http.MaxBytesReader(nil, r.Body, int64(2*MessageLimits().Bytes))
		if err := r.ParseForm(); err != nil {
			var tooLarge *http.MaxBytesError
			if errors.As(err, &tooLarge) {
				return nil, reject(ReasonTooLarge, "form: %w", err)
			}
			return nil, reject(ReasonBinding, "form is malformed")
		}
	}
	return r.PostForm, nil
}

func single(values url.Values, name string) (string, error) {
	if got := values[name]; len(got) == 1 && got[0] != "" {
		return got[0], nil
	}
	return "", reject(ReasonBinding, "%s is not there exactly once", name)
}

func optionalRelayState(values url.Values) (string, error) {
	got := values["RelayState"]
	switch {
	case len(got) == 0:
		return "", nil
	case len(got) > 1:
		return "", reject(ReasonBinding, "RelayState is not there exactly once")
	case len(got[0]) > maxRelayState:
		return "", reject(ReasonRelayState, "RelayState of more than %d bytes", maxRelayState)
	}
	return got[0], nil
}
