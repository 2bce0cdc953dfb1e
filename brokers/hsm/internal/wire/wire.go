// Package wire is what the broker and the program that holds a PKCS #11 module say
// to each other: lines of JSON, requests one way, answers the other.
package wire

import (
	"bufio"
	json "encoding/json/v2"
	"errors"
	"fmt"
	"io"
)

// MaxLine bounds a request and an answer, in bytes.
const MaxLine = 256 << 10

// MaxKeys bounds the keys of one token, MaxSessions the sessions.
const (
	MaxKeys     = 32
	MaxSessions = 64
)

// The files of the program on which it is spoken: requests come in at the first,
// answers leave by the second. The standard streams are the module's.
const (
	Requests = 3
	Answers  = 4
)

// Opening is the first request: what to open.
type Opening struct {
	// Module is the module's file, Token the label of the token, Serial its serial
	// number; either of the two may be empty.
	Module string `json:"module"`
	Token  string `json:"token,omitzero"`
	Serial string `json:"serial,omitzero"`
	// PINFile has the PIN; OthersMayRead leaves its group bits alone, which show an
	// access list where systemd hands over a credential.
	PINFile       string `json:"pin_file"`
	OthersMayRead bool   `json:"others_may_read,omitzero"`
	// Sessions are how many signatures may be under way.
	Sessions int   `json:"sessions"`
	Keys     []Key `json:"keys"`
}

// Key names a key by label (CKA_LABEL), ID (CKA_ID) or both.
type Key struct {
	Label string `json:"label,omitzero"`
	ID    []byte `json:"id,omitzero"`
}

// Mechanism is how a value is signed.
type Mechanism string

// The mechanisms. Input is a digest for ECDSA, what PKCS #1 pads for RSA, a digest
// for PSS, whose salt is as long, and the message for EdDSA.
const (
	ECDSA     Mechanism = "ecdsa"
	RSA       Mechanism = "rsa"
	PSSSHA256 Mechanism = "pss-sha256"
	EdDSA     Mechanism = "eddsa"
)

// Request asks for a signature. Open is for the first request alone.
type Request struct {
	ID        uint64    `json:"id"`
	Open      *Opening  `json:"open,omitzero"`
	Key       int       `json:"key,omitzero"`
	Mechanism Mechanism `json:"mechanism,omitzero"`
	Input     []byte    `json:"input,omitzero"`
}

// Answer is that to the request of its ID.
type Answer struct {
	ID    uint64   `json:"id"`
	Error *Failure `json:"error,omitzero"`
	// Public are the public keys, in the order of Opening.Keys, each as a
	// SubjectPublicKeyInfo.
	Public    [][]byte `json:"public,omitzero"`
	Signature []byte   `json:"signature,omitzero"`
}

// Failure is what went wrong.
type Failure struct {
	Kind Kind `json:"kind"`
	// Function and Code are the PKCS #11 function that failed and its CKR value.
	Function string `json:"function,omitzero"`
	Code     uint   `json:"code,omitzero"`
	// Detail says more, in words without secrets.
	Detail string `json:"detail,omitzero"`
	// Key is the index of the key that it is about, for kinds about keys.
	Key int `json:"key,omitzero"`
}

// Kind is what somebody can do about a failure.
type Kind string

// The kinds.
const (
	Module  Kind = "module"   // the module cannot be loaded
	NoToken Kind = "token"    // no such token, or more than one
	PIN     Kind = "pin"      // the PIN was refused
	Spent   Kind = "spent"    // tries of the PIN are missing, so none was made
	PINFile Kind = "pin_file" // the PIN cannot be read
	NoKey   Kind = "key"      // no such key, more than one, or one that cannot be used
	Device  Kind = "device"   // the token or its sessions are gone
	Refused Kind = "refused"  // this key does not sign like that
)

func (f *Failure) Error() string {
	text := f.Detail
	if f.Function != "" {
		text += fmt.Sprintf(" (%s: %#x)", f.Function, f.Code)
	}
	return text
}

// ErrLine is a line that is too long or no JSON.
var ErrLine = errors.New("hsm: a line cannot be read")

// Write writes one line.
func Write(w io.Writer, v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(line) >= MaxLine {
		return ErrLine
	}
	_, err = w.Write(append(line, '\n'))
	return err
}

// Reader makes a reader for Read.
func Reader(r io.Reader) *bufio.Reader { return bufio.NewReaderSize(r, MaxLine) }

// Read reads one line into v; io.EOF at the end.
func Read(r *bufio.Reader, v any) error {
	line, err := r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return ErrLine
	case err != nil:
		return err
	}
	if err := json.Unmarshal(line, v); err != nil {
		return fmt.Errorf("%w: %w", ErrLine, err)
	}
	return nil
}
