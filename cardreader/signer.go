package cardreader

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"

	"github.com/eidbridge/eidbridge/cardreader/pin"
)

// ErrDigest is a digest that the key is not asked to sign: hash and length do
// not belong together, or the hash is none that a national card signs.
var ErrDigest = errors.New("digest cannot be signed")

// PINSource asks the holder for a PIN: a window, a terminal, a file descriptor.
type PINSource interface {
	// PIN returns what was entered, or an error when the holder refused. It is
	// called without any card connection held, at most once a signature, and
	// never for a blocked PIN. With one try left (r.Status.TriesLeft == 1) it
	// must get an explicit yes first. The caller wipes the PIN.
	PIN(ctx context.Context, r PINRequest) (*pin.PIN, error)
}

// PINRequest is what an entry is asked for.
type PINRequest struct {
	Card       Info
	Reader     string
	Credential Credential
	Status     PINStatus
}

// Signer is a key on a card as a crypto.Signer. Each Sign is one operation of
// the holder's: one PIN entry, one VERIFY, one signature, in this order:
//
//	connect, same card? tries left?      PINBlocked, PINMustChange
//	disconnect, ask for the PIN          the source's error
//	check length and characters          PINFormat
//	connect, same card? tries unchanged? ErrCardChanged, ErrCardBusy
//	VERIFY, signature                    PINWrong, PINBlocked
//	disconnect with reset, wipe the PIN
//	verify the value                     ErrCardProtocol
//
// Nothing after VERIFY is ever repeated.
type Signer struct {
	// A crypto.Signer has no context parameter, so the operation's own is kept.
	ctx    context.Context
	cards  *Cards
	found  *Found
	source PINSource
}

// Signer returns the key of a credential. ctx bounds and cancels its signatures,
// the time at the PIN prompt included.
func (c *Cards) Signer(ctx context.Context, f *Found, src PINSource) *Signer {
	return &Signer{ctx: ctx, cards: c, found: f, source: src}
}

// Public is the key of the certificate.
func (s *Signer) Public() crypto.PublicKey { return s.found.Credential.Certificate.PublicKey }

// Sign signs a digest of SHA-256, SHA-384 or SHA-512: ECDSA as ASN.1 DER, RSA as
// PKCS #1 v1.5. The randomness is the card's own; the argument is not used.
// Errors are those of this package and the PIN source's; a PIN that was not
// taken is a *PINError.
func (s *Signer) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	hash, err := digestHash(digest, opts)
	if err != nil {
		return nil, err
	}
	status, err := s.status()
	if err != nil {
		return nil, err
	}
	secret, err := s.enter(status)
	if err != nil {
		return nil, err
	}
	defer secret.Wipe()

	signature, err := s.sign(status, secret, hash, digest)
	if err != nil {
		return nil, err
	}
	if err := s.ctx.Err(); err != nil {
		// Cancelled while the card was at work: the value is not handed out.
		return nil, err
	}
	if !verifies(s.Public(), hash, digest, signature) {
		return nil, fmt.Errorf("%w: signature does not belong to the certificate", ErrCardProtocol)
	}
	return signature, nil
}

func digestHash(digest []byte, opts crypto.SignerOpts) (crypto.Hash, error) {
	if opts == nil {
		return 0, fmt.Errorf("%w: no hash named", ErrDigest)
	}
	if _, pss := opts.(*rsa.PSSOptions); pss {
		return 0, fmt.Errorf("%w: RSA-PSS", ErrDigest)
	}
	hash := opts.HashFunc()
	switch hash {
	case crypto.SHA256, crypto.SHA384, crypto.SHA512:
	default:
		return 0, fmt.Errorf("%w: hash %v", ErrDigest, hash)
	}
	if len(digest) != hash.Size() {
		return 0, fmt.Errorf("%w: %d bytes for %v", ErrDigest, len(digest), hash)
	}
	return hash, nil
}

// status reads the PIN's counter before anybody is asked for anything. The
// connection is closed again when it returns.
func (s *Signer) status() (PINStatus, error) {
	var status PINStatus
	err := s.cards.withCard(s.ctx, s.found.Inserted.Reader.Name, s.found.driver,
		func(ctx context.Context, card Card) (err error) {
			if err = s.sameDocument(ctx, card); err != nil {
				return err
			}
			status, err = pinStatus(ctx, card, s.found.Credential.PIN)
			return err
		})
	if err != nil {
		return PINStatus{}, gone(err)
	}
	return status, usable(status)
}

func usable(status PINStatus) error {
	switch {
	case status.TriesLeft == 0:
		return &PINError{Reason: PINBlocked, PIN: status.ID, TriesLeft: 0}
	case status.MustChange:
		return &PINError{Reason: PINMustChange, PIN: status.ID, TriesLeft: status.TriesLeft}
	default:
		return nil
	}
}

// enter asks the holder and checks what a card would refuse anyway.
func (s *Signer) enter(status PINStatus) (*pin.PIN, error) {
	secret, err := s.source.PIN(s.ctx, PINRequest{
		Card:       s.found.Inserted.Info,
		Reader:     s.found.Inserted.Reader.Name,
		Credential: s.found.Credential,
		Status:     status,
	})
	if err == nil && secret == nil {
		err = pin.ErrWiped
	}
	if err == nil {
		err = s.ctx.Err()
	}
	if err == nil {
		err = status.Rule().Check(secret)
	}
	if err != nil {
		secret.Wipe()
		if errors.Is(err, pin.ErrFormat) {
			return nil, &PINError{Reason: PINFormat, PIN: status.ID, TriesLeft: status.TriesLeft}
		}
		return nil, fmt.Errorf("entering %s: %w", status.ID, err)
	}
	return secret, nil
}

// sign is the second connection: make sure of the card, then use the PIN once.
func (s *Signer) sign(before PINStatus, secret *pin.PIN, hash crypto.Hash, digest []byte) ([]byte, error) {
	conn, card, err := s.reopen(before)
	if errors.Is(err, ErrCardReset) {
		conn, card, err = s.reopen(before) // no PIN was sent yet
	}
	if err != nil {
		return nil, gone(err)
	}
	// The reset takes the verified PIN from whoever comes next.
	defer func() { _ = conn.Close(true) }()
	operation, cancel := context.WithTimeout(s.ctx, operationTimeout)
	defer cancel()
	signature, err := card.Sign(operation, s.found.Credential, secret, hash, digest)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", gone(outcome(s.ctx, operation, err)))
	}
	return signature, nil
}

// reopen connects and checks that card, certificate and counter are those that
// the holder saw. The connection is open only when err is nil.
func (s *Signer) reopen(before PINStatus) (_ Connection, _ Card, err error) {
	conn, err := s.cards.connect(s.ctx, s.found.Inserted.Reader.Name)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			_ = conn.Close(false)
		}
	}()
	operation, cancel := context.WithTimeout(s.ctx, operationTimeout)
	defer cancel()
	card, err := open(operation, conn, s.found.driver)
	if err == nil {
		err = s.same(operation, card, before)
	}
	if err != nil {
		return nil, nil, outcome(s.ctx, operation, err)
	}
	return conn, card, nil
}

func (s *Signer) same(ctx context.Context, card Card, before PINStatus) error {
	if err := s.sameDocument(ctx, card); err != nil {
		return err
	}
	credential, err := credential(ctx, card, s.found.Credential.ID)
	if err != nil {
		return fmt.Errorf("reading the certificate again: %w", err)
	}
	if !bytes.Equal(credential.Certificate.Raw, s.found.Credential.Certificate.Raw) {
		return ErrCardChanged
	}
	status, err := pinStatus(ctx, card, before.ID)
	if err != nil {
		return err
	}
	if err := usable(status); err != nil {
		return err
	}
	if status.TriesLeft < before.TriesLeft {
		// Else a try could be the last one without the holder's knowing it.
		return fmt.Errorf("%w: it used up a try of %s meanwhile", ErrCardBusy, before.ID)
	}
	return nil
}

func (s *Signer) sameDocument(ctx context.Context, card Card) error {
	info, err := card.Info(ctx)
	if err != nil {
		return fmt.Errorf("reading the document number: %w", err)
	}
	if info != s.found.Inserted.Info {
		return ErrCardChanged
	}
	return nil
}

func pinStatus(ctx context.Context, card Card, id string) (PINStatus, error) {
	if selective, ok := card.(Selective); ok {
		status, err := selective.PIN(ctx, id)
		if err != nil {
			return PINStatus{}, fmt.Errorf("reading the counter of %s: %w", id, err)
		}
		return status, nil
	}
	all, err := card.PINs(ctx)
	if err != nil {
		return PINStatus{}, fmt.Errorf("reading the PIN counters: %w", err)
	}
	for _, status := range all {
		if status.ID == id {
			return status, nil
		}
	}
	return PINStatus{}, fmt.Errorf("%w: card does not know %s", ErrCardProtocol, id)
}

func credential(ctx context.Context, card Card, id string) (Credential, error) {
	if selective, ok := card.(Selective); ok {
		return selective.Credential(ctx, id)
	}
	all, err := card.Credentials(ctx)
	for _, c := range all {
		if c.ID == id {
			return c, nil
		}
	}
	if err == nil {
		err = ErrCardChanged
	}
	return Credential{}, err
}

// gone makes an empty slot a removed card: the card was there when the holder
// chose it.
func gone(err error) error {
	if errors.Is(err, ErrNoCard) {
		return ErrCardRemoved
	}
	return err
}

// verifies checks the card's work with the key that everybody else will use.
func verifies(key crypto.PublicKey, hash crypto.Hash, digest, signature []byte) bool {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(key, digest, signature)
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(key, hash, digest, signature) == nil
	default:
		return false
	}
}
