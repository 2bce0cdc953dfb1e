package pkcs11

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"encoding/hex"
	json "encoding/json/v2"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/pin"
	"github.com/eidbridge/eidbridge/signing/brainpool"
)

// Module is a source of credentials. Its methods may be called from several
// goroutines; requests take turns, since two processes would disturb each other
// at one card.
type Module struct {
	// Path is the module's file, absolute. It is loaded in the process of Host
	// and only when something is asked of it.
	Path string
	// Host makes the command that runs Serve on its standard streams: this
	// program again, with an argument for it. It is called once a request.
	Host func(ctx context.Context) (*exec.Cmd, error)

	turn  sync.Mutex
	mu    sync.Mutex
	known []token // of the last List
}

// List implements cardreader.Source: one slot for each token that is present.
func (m *Module) List(ctx context.Context) ([]cardreader.Inserted, error) {
	a, err := m.call(ctx, request{Op: opList}, nil, listTimeout)
	if err != nil {
		return nil, err
	}
	if a.Error != nil {
		return nil, meaning(a, "")
	}
	if len(a.Tokens) > maxSlots {
		return nil, fmt.Errorf("%w: more than %d tokens", cardreader.ErrCardProtocol, maxSlots)
	}
	slots := make([]cardreader.Inserted, 0, len(a.Tokens))
	for _, t := range a.Tokens {
		slots = append(slots, t.inserted())
	}
	m.mu.Lock()
	m.known = a.Tokens
	m.mu.Unlock()
	return slots, nil
}

// Find implements cardreader.Source.
func (m *Module) Find(ctx context.Context, sel cardreader.Selection) (*cardreader.Found, error) {
	slots, err := m.List(ctx)
	if err != nil {
		return nil, err
	}
	if len(slots) == 0 {
		return nil, cardreader.ErrNoCard
	}
	return cardreader.Choose(sel, slots)
}

// Signer implements cardreader.Source. Every signature is a login of its own.
func (m *Module) Signer(ctx context.Context, f *cardreader.Found, src cardreader.PINSource) crypto.Signer {
	return cardreader.TokenSigner(ctx, (*keys)(m), f, src)
}

// pinName is the last word in brackets of a label, as OpenSC names the PIN of each
// slot: "NAME (PIN2)".
func (t token) pinName() string {
	open := strings.LastIndexByte(t.Label, '(')
	if open < 0 || !strings.HasSuffix(t.Label, ")") {
		return "PIN"
	}
	name := t.Label[open+1 : len(t.Label)-1]
	if name == "" || len(name) > 8 || strings.ContainsFunc(name, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z')
	}) {
		return "PIN"
	}
	return name
}

func (t token) status() cardreader.PINStatus {
	s := cardreader.PINStatus{
		ID: t.pinName(), TriesLeft: triesLeft(t.Flags), TriesMax: -1,
		MinLength: max(1, int(min(t.MinPIN, pin.MaxLength))), MaxLength: int(min(t.MaxPIN, pin.MaxLength)),
		Class: pin.Printable, MustChange: t.Flags&flagPINToChange != 0,
	}
	if s.MaxLength < s.MinLength {
		s.MaxLength = pin.MaxLength
	}
	return s
}

func (t token) inserted() cardreader.Inserted {
	slot := cardreader.Inserted{
		Reader: cardreader.Reader{Name: t.Reader, State: cardreader.ReaderPresent},
		Info:   cardreader.Info{Family: strings.TrimSpace("PKCS #11 " + t.Model), DocumentNumber: t.Serial},
	}
	if t.Failure != nil {
		slot.Err = meaning(answer{Error: t.Failure}, t.pinName())
		return slot
	}
	if t.Flags&flagLoginRequired != 0 {
		slot.PINs = []cardreader.PINStatus{t.status()}
	}
	for _, c := range t.Certificates {
		parsed, err := brainpool.ParseCertificate(c.DER)
		if err != nil {
			slot.Err = fmt.Errorf("%w: certificate: %w", cardreader.ErrCardProtocol, err)
			continue
		}
		for _, usage := range cardreader.UsagesOf(parsed) {
			credential := cardreader.Credential{ID: t.keyName(c.ID, usage), Usage: usage, Certificate: parsed}
			if t.Flags&flagLoginRequired != 0 {
				credential.PIN = t.pinName()
			}
			slot.Credentials = append(slot.Credentials, credential)
		}
	}
	return slot
}

// keyName is the ID of a credential: slot, CKA_ID, usage.
func (t token) keyName(id []byte, usage cardreader.Usage) string {
	return strconv.FormatUint(uint64(t.Slot), 10) + "/" + hex.EncodeToString(id) + "/" + string(usage)
}

// keys is a module as a cardreader.Token.
type keys Module

var errUnknown = fmt.Errorf("%w: the credential is not of this module", cardreader.ErrNoCredential)

// of finds the token and CKA_ID of a credential in what was listed.
func (k *keys) of(f *cardreader.Found) (token, []byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, t := range k.known {
		for _, c := range t.Certificates {
			if t.keyName(c.ID, f.Credential.Usage) == f.Credential.ID && bytes.Equal(c.DER, f.Credential.Certificate.Raw) {
				return t, c.ID, nil
			}
		}
	}
	return token{}, nil, errUnknown
}

// PIN implements cardreader.Token with the token's flags read anew.
func (k *keys) PIN(ctx context.Context, f *cardreader.Found) (cardreader.PINStatus, bool, error) {
	before, _, err := k.of(f)
	if err != nil {
		return cardreader.PINStatus{}, false, err
	}
	if _, err := (*Module)(k).List(ctx); err != nil {
		return cardreader.PINStatus{}, false, err
	}
	now, _, err := k.of(f)
	if err != nil || now.Serial != before.Serial {
		return cardreader.PINStatus{}, false, cardreader.ErrCardChanged
	}
	return now.status(), now.Flags&flagPINPad != 0, nil
}

// Sign implements cardreader.Token: C_Login once, and once more with the same PIN
// where the key asks for a login of its own (CKA_ALWAYS_AUTHENTICATE).
func (k *keys) Sign(ctx context.Context, f *cardreader.Found, before cardreader.PINStatus, p *pin.PIN, hash crypto.Hash, digest []byte) ([]byte, error) {
	t, id, err := k.of(f)
	if err != nil {
		return nil, err
	}
	r := request{
		Op: opSign, Slot: t.Slot, Serial: t.Serial, Label: t.Label, KeyID: id,
		Certificate: f.Credential.Certificate.Raw, FinalTry: before.TriesLeft == 1,
		AtReader: p == nil && f.Credential.PIN != "",
	}
	timeout := signTimeout
	if r.AtReader {
		timeout = padTimeout
	}
	key, isEC := f.Credential.Certificate.PublicKey.(*ecdsa.PublicKey)
	if r.EC = isEC; isEC {
		// A module takes no more than the curve's order has bytes (FIPS 186-5 6.4.1).
		r.Input = digest[:min(len(digest), (key.Params().N.BitLen()+7)/8)]
	} else if r.Input, err = digestInfo(hash, digest); err != nil {
		return nil, err
	}
	a, err := (*Module)(k).call(ctx, r, p, timeout)
	if err != nil {
		return nil, err
	}
	switch {
	case a.Error != nil:
		return nil, meaning(a, before.ID)
	case len(a.Signature) == 0 || len(a.Signature) > maxSignature:
		return nil, fmt.Errorf("%w: signature of %d bytes", cardreader.ErrCardProtocol, len(a.Signature))
	case isEC:
		return joinECDSA(a.Signature)
	default:
		return a.Signature, nil
	}
}

// call runs one request in a process of its own.
func (m *Module) call(ctx context.Context, r request, p *pin.PIN, timeout time.Duration) (answer, error) {
	path, err := checkPath(m.Path)
	if err != nil {
		return answer{}, err
	}
	m.turn.Lock()
	defer m.turn.Unlock()
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	command, err := m.Host(limited)
	if err != nil {
		return answer{}, fmt.Errorf("module's process: %w", err)
	}
	command.WaitDelay = endPatience
	r.Path = path
	output, err := exchange(command, r, p)
	var unstarted *startError
	switch {
	case ctx.Err() != nil:
		return answer{}, ctx.Err()
	case limited.Err() != nil:
		return answer{}, fmt.Errorf("%w: the module took longer than %v", cardreader.ErrCardMute, timeout)
	case errors.As(err, &unstarted):
		return answer{}, fmt.Errorf("module's process: %w", err)
	}
	a, parseErr := parseAnswer(output)
	if parseErr != nil {
		// It crashed, or was killed for want of memory.
		return answer{}, fmt.Errorf("%w: the module broke off: %w", cardreader.ErrCardProtocol, errors.Join(err, parseErr))
	}
	return a, nil
}

// exchange starts the process, writes the request with the PIN behind it, and
// returns what was printed.
func exchange(command *exec.Cmd, r request, p *pin.PIN) ([]byte, error) {
	in, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	var output bounded
	command.Stdout = &output
	if p != nil {
		r.PINLength = p.Len()
	}
	line, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, &startError{err}
	}
	_, writeErr := in.Write(append(line, '\n'))
	if writeErr == nil && p != nil {
		writeErr = p.Use(func(secret []byte) error {
			_, err := in.Write(secret)
			return err
		})
	}
	in.Close()
	// Wait goes on when a program that the module started keeps the pipe open.
	waitErr := command.Wait()
	return output.data, errors.Join(writeErr, waitErr)
}

// startError is a process that could not be started.
type startError struct{ error }

func (e *startError) Unwrap() error { return e.error }

// bounded keeps maxAnswer bytes and then refuses, which closes the pipe.
type bounded struct{ data []byte }

func (b *bounded) Write(p []byte) (int, error) {
	if len(b.data)+len(p) > maxAnswer {
		return 0, fmt.Errorf("more than %d bytes of output", maxAnswer)
	}
	b.data = append(b.data, p...)
	return len(p), nil
}

// trimmed is a text field of a module: padded with blanks, bounded, UTF-8.
func trimmed(s string) string {
	s = strings.ToValidUTF8(strings.TrimRight(s, " \x00"), "?")
	for len(s) > maxText {
		runes := []rune(s)
		s = string(slices.Delete(runes, len(runes)-1, len(runes)))
	}
	return s
}
