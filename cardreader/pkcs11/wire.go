package pkcs11

import (
	"bytes"
	json "encoding/json/v2"
	"errors"
	"fmt"
	"io"
)

// Operations of a request.
const (
	opList = "list"
	opSign = "sign"
)

// request is one line of JSON; PINLength bytes follow it, so that the PIN passes
// through no encoder.
type request struct {
	Op   string `json:"op"`
	Path string `json:"path"`
	// The rest is for opSign: the slot, and what its token and certificate were
	// when the holder chose them.
	Slot        uint   `json:"slot,omitzero"`
	Serial      string `json:"serial,omitzero"`
	Label       string `json:"label,omitzero"`
	KeyID       []byte `json:"key_id,omitzero"`
	Certificate []byte `json:"certificate,omitzero"`
	// Input is what the mechanism signs: a DigestInfo for RSA, a digest for EC.
	Input     []byte `json:"input,omitzero"`
	EC        bool   `json:"ec,omitzero"`
	AtReader  bool   `json:"at_reader,omitzero"`
	FinalTry  bool   `json:"final_try,omitzero"` // the holder agreed to it
	PINLength int    `json:"pin_length,omitzero"`
}

// answer is one line of JSON after answerMark. Other output is the module's.
type answer struct {
	Error     *failure `json:"error,omitzero"`
	Tokens    []token  `json:"tokens,omitzero"`
	Signature []byte   `json:"signature,omitzero"`
	// Flags of the token after a login failed.
	Flags uint `json:"flags,omitzero"`
}

// failure is an error of the module: the function and what it returned.
type failure struct {
	Function string `json:"function"`
	Code     uint   `json:"code,omitzero"`
	// Kind is one of the kinds below, empty for a return value of the module.
	Kind string `json:"kind,omitzero"`
}

// Kinds of failures that are not return values.
const (
	kindLoad    = "load"    // the module cannot be loaded, or is none
	kindChanged = "changed" // another token, certificate or no key
	kindSpent   = "spent"   // a try went that the holder does not know of
	kindPanic   = "panic"
	kindCgo     = "cgo"
)

// token is what one slot shows without a login.
type token struct {
	Slot         uint          `json:"slot"`
	Reader       string        `json:"reader"`
	Label        string        `json:"label"`
	Model        string        `json:"model"`
	Serial       string        `json:"serial"`
	Flags        uint          `json:"flags"`
	MinPIN       uint          `json:"min_pin"`
	MaxPIN       uint          `json:"max_pin"`
	Certificates []certificate `json:"certificates"`
	Failure      *failure      `json:"failure,omitzero"`
}

type certificate struct {
	ID  []byte `json:"id"`
	DER []byte `json:"der"`
}

const answerMark = "eidbridge-pkcs11 "

var errAnswer = errors.New("module's process gave no answer")

func writeAnswer(w io.Writer, a answer) error {
	line, err := json.Marshal(a)
	if err != nil {
		return err
	}
	// A module may have written something without ending its line.
	_, err = fmt.Fprintf(w, "\n%s%s\n", answerMark, line)
	return err
}

func parseAnswer(output []byte) (answer, error) {
	for line := range bytes.Lines(output) {
		if rest, ok := bytes.CutPrefix(line, []byte(answerMark)); ok {
			var a answer
			if err := json.Unmarshal(rest, &a); err != nil {
				return answer{}, fmt.Errorf("%w that can be read: %w", errAnswer, err)
			}
			return a, nil
		}
	}
	return answer{}, errAnswer
}
