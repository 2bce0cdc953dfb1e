package provider

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// parameters are a request's parameters, each present once; of several resources one
// text is made (resourceSeparator).
type parameters map[string]string

// errTooLarge is a body over its bound.
var errTooLarge = errors.New("request is too large")

// readParameters reads the query of a GET or the form of a POST, whichever the
// method says and never both, and refuses what could be read in two ways
// (RFC 6749 3.1).
func readParameters(w http.ResponseWriter, r *http.Request, most int64) (parameters, error) {
	if r.Method != http.MethodPost {
		return parseParameters(r.URL.RawQuery, most)
	}
	if r.URL.RawQuery != "" {
		return nil, errors.New("parameters in query and body")
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, errors.New("body is not a form")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	if err != nil {
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			return nil, errTooLarge
		}
		return nil, fmt.Errorf("reading body: %w", err)
	}
	return parseParameters(string(body), most)
}

func parseParameters(encoded string, most int64) (parameters, error) {
	if int64(len(encoded)) > most {
		return nil, errTooLarge
	}
	values, err := url.ParseQuery(encoded)
	if err != nil {
		return nil, errors.New("malformed parameters")
	}
	p := parameters{}
	for name, list := range values {
		if name == resourceParameter && len(list) > 1 && !slices.ContainsFunc(list, notText) {
			if list = slices.DeleteFunc(list, isEmpty); len(list) > 0 {
				p[name] = strings.Join(list, resourceSeparator)
			}
			continue
		}
		if len(list) != 1 {
			return nil, errors.New("repeated parameter")
		}
		if !isText(name) || !isText(list[0]) {
			return nil, errors.New("control character or invalid UTF-8 in a parameter")
		}
		if list[0] != "" { // RFC 6749 3.1: empty is the same as absent
			p[name] = list[0]
		}
	}
	return p, nil
}

// isText refuses control characters, among them those that could split a header
// or a log line.
func isText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' || r == 0x7f || r == '\u0085' || r == '\u2028' || r == '\u2029'
	})
}

func notText(s string) bool { return !isText(s) }

func isEmpty(s string) bool { return s == "" }

// list splits a space-separated parameter.
func (p parameters) list(name string) ([]string, error) {
	entries := strings.Fields(p[name])
	if len(entries) > maxListed {
		return nil, fmt.Errorf("%s has more than %d entries", name, maxListed)
	}
	return entries, nil
}

// checkJSON refuses what JSON decoders disagree about: members that repeat or
// differ in case only, and deep nesting.
func checkJSON(data []byte, depth int) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := checkValue(dec, depth); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("text after the JSON value")
	}
	return nil
}

func checkValue(dec *json.Decoder, depth int) error {
	token, err := dec.Token()
	if err != nil {
		return errors.New("malformed JSON")
	}
	open, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	if depth == 0 {
		return errors.New("JSON is nested too deeply")
	}
	seen := map[string]bool{}
	for dec.More() {
		if open == '{' {
			name, err := dec.Token()
			if err != nil {
				return errors.New("malformed JSON")
			}
			folded := strings.ToLower(name.(string))
			if seen[folded] {
				return errors.New("repeated JSON member")
			}
			seen[folded] = true
		}
		if err := checkValue(dec, depth-1); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return errors.New("malformed JSON")
	}
	return nil
}
