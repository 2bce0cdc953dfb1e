package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"
	"unicode/utf8"
)

// Bounds of a line, in bytes: one attribute's text, and all of it.
const (
	maxText = 512
	maxLine = 8 << 10
)

// Line is one entry as it stands in the file, without its chain value.
type Line struct {
	// Number counts from 1 without a gap, over all files of a chain.
	Number int64 `json:"n"`
	// Time is UTC with milliseconds. It may go back where the clock of the host
	// did; ClockBack then says so.
	Time      time.Time `json:"time"`
	ClockBack bool      `json:"clockBack,omitempty"`
	// Event and the rest are the caller's.
	Event      string            `json:"event"`
	Reason     string            `json:"reason,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`
	// Checkpoint is a signed statement over all lines before this one, as a compact
	// JWS; see Checkpoint.
	Checkpoint string `json:"checkpoint,omitempty"`
}

// chain is the value that ties a line to all before it.
type chain [sha256.Size]byte

// chainSeparator stands between a line and its chain value. The value is last, so
// that what is hashed are the very bytes of the file before it.
const chainSeparator = `,"chain":"`

// appendLine encodes a line with its chain value and the newline.
func appendLine(out []byte, l *Line, before chain) ([]byte, chain, error) {
	body, err := json.Marshal(l)
	if err != nil {
		return nil, chain{}, fmt.Errorf("encoding audit line: %w", err)
	}
	if len(body) > maxLine {
		return nil, chain{}, errLineTooLong
	}
	body = body[:len(body)-1] // the brace comes after the chain value
	value := next(before, body)
	out = append(append(out, body...), chainSeparator...)
	out = base64.RawURLEncoding.AppendEncode(out, value[:])
	return append(out, "\"}\n"...), value, nil
}

var (
	errLineTooLong = fmt.Errorf("audit line of more than %d bytes", maxLine)
	errShape       = errors.New("not a line of an audit log")
	errChanged     = errors.New("an entry was changed, or is missing")
)

// carried is the chain value that the first line of a file brings along from the
// file before.
func carried(l *Line) (value chain, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(l.Attributes["chain"])
	if err != nil || len(raw) != len(value) {
		return value, errors.New("the first entry does not continue an earlier file: the beginning is missing")
	}
	return chain(raw), nil
}

func next(before chain, body []byte) chain {
	h := sha256.New()
	h.Write(before[:])
	h.Write(body)
	return chain(h.Sum(nil))
}

// parseLine is the reverse of appendLine: the line, the bytes that are hashed, and
// the value that stands in it. The line comes without its newline.
func parseLine(text []byte) (l Line, body []byte, value chain, err error) {
	if len(text) > maxLine+128 {
		return l, nil, value, errLineTooLong
	}
	at := bytes.LastIndex(text, []byte(chainSeparator))
	if at < 0 || !bytes.HasSuffix(text, []byte(`"}`)) {
		return l, nil, value, errShape
	}
	body = text[:at]
	encoded := text[at+len(chainSeparator) : len(text)-2]
	raw, err := base64.RawURLEncoding.Strict().DecodeString(string(encoded))
	if err != nil || len(raw) != len(value) {
		return l, nil, value, errShape
	}
	copy(value[:], raw)
	decoder := json.NewDecoder(bytes.NewReader(append(bytes.Clone(body), '}')))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&l); err != nil {
		return l, nil, value, errShape
	}
	return l, body, value, nil
}

// attributes flattens what a caller tells into bounded text. JSON escapes control
// characters; what is no UTF-8 becomes the replacement character.
func attributes(list []slog.Attr) map[string]string {
	if len(list) == 0 {
		return nil
	}
	all := make(map[string]string, len(list))
	for _, a := range list {
		v := a.Value.Resolve()
		if v.Kind() == slog.KindGroup {
			for _, inner := range v.Group() {
				all[clip(a.Key+"."+inner.Key)] = clip(inner.Value.Resolve().String())
			}
			continue
		}
		all[clip(a.Key)] = clip(v.String())
	}
	return all
}

func clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	cut := maxText
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
