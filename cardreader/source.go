package cardreader

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"

	"github.com/eidbridge/eidbridge/cardreader/pin"
)

// Source is where credentials are found: cards in readers (Cards.Source), a
// PKCS #11 module, a key file. All are selected and signed with in the same way.
type Source interface {
	// List shows every slot, as Cards.List does.
	List(ctx context.Context) ([]Inserted, error)
	// Find returns the one credential that the selection fits, with the errors
	// of Cards.Find.
	Find(ctx context.Context, sel Selection) (*Found, error)
	// Signer returns the key of a credential that this source found. ctx bounds
	// and cancels its signatures, the question to the holder included.
	Signer(ctx context.Context, f *Found, src PINSource) crypto.Signer
}

// Source is c as one of several sources.
func (c *Cards) Source() Source { return cardSource{c} }

type cardSource struct{ *Cards }

// Readers lists the readers without opening a card.
func (s cardSource) Readers(ctx context.Context) ([]Reader, error) { return s.Service.Readers(ctx) }

func (s cardSource) Signer(ctx context.Context, f *Found, src PINSource) crypto.Signer {
	return s.Cards.Signer(ctx, f, src)
}

// Sources are several sources seen as one. A certificate that more than one of
// them shows belongs to the first: a card that has its own driver is not used
// through a module.
type Sources []Source

// List shows the slots of all sources. One source that fails does not hide the
// others: the error is returned only when nothing could be listed.
func (s Sources) List(ctx context.Context) ([]Inserted, error) {
	var all []Inserted
	var failed error
	for _, source := range s {
		slots, err := source.List(ctx)
		all = append(all, slots...)
		if err != nil && failed == nil {
			failed = err
		}
	}
	if len(all) > 0 {
		failed = nil
	}
	return all, errors.Join(failed, ctx.Err())
}

// Find asks every source. The error of the first tells what is missing when none
// has the credential.
func (s Sources) Find(ctx context.Context, sel Selection) (*Found, error) {
	var candidates []*Found
	var failed error
	for _, source := range s {
		found, err := source.Find(ctx, sel)
		var ambiguous *AmbiguousError
		switch {
		case err == nil:
			candidates = append(candidates, found.from(source))
		case errors.As(err, &ambiguous):
			for _, f := range ambiguous.Candidates {
				candidates = append(candidates, f.from(source))
			}
		case failed == nil:
			failed = err
		}
	}
	candidates = distinct(candidates)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case len(candidates) == 1:
		return candidates[0], nil
	case len(candidates) > 1:
		return nil, &AmbiguousError{Candidates: candidates}
	case failed == nil:
		return nil, ErrNoReader
	default:
		return nil, failed
	}
}

// Signer returns the key from the source that found it.
func (s Sources) Signer(ctx context.Context, f *Found, src PINSource) crypto.Signer {
	return f.origin.Signer(ctx, f, src)
}

func (f *Found) from(s Source) *Found {
	f.origin = s
	return f
}

// distinct drops what an earlier source shows already. Two slots of the same
// source stay: their holder chooses.
func distinct(candidates []*Found) []*Found {
	type key struct {
		sum   [sha256.Size]byte
		usage Usage
	}
	first := make(map[key]Source)
	var kept []*Found
	for _, f := range candidates {
		k := key{sha256.Sum256(f.Credential.Certificate.Raw), f.Credential.Usage}
		if earlier, seen := first[k]; seen && earlier != f.origin {
			continue
		}
		first[k] = f.origin
		kept = append(kept, f)
	}
	return kept
}

// Choose finds in slots what Find of a source would.
func Choose(sel Selection, slots []Inserted) (*Found, error) {
	var candidates []*Found
	var unread error
	cards, seen := 0, 0
	for _, slot := range slots {
		if sel.Reader != "" && slot.Reader.Name != sel.Reader {
			continue
		}
		seen++
		if slot.Reader.State == ReaderEmpty {
			continue
		}
		cards++
		if unread == nil {
			unread = slot.Err
		}
		for _, c := range slot.Credentials {
			if sel.fits(c) {
				candidates = append(candidates, &Found{Inserted: slot, Credential: c})
			}
		}
	}
	if len(candidates) == 1 {
		return candidates[0], nil
	}
	return nil, absent(candidates, len(slots), seen, cards, unread)
}

// absent is the error of a selection that fits none or several.
func absent(candidates []*Found, slots, seen, cards int, unread error) error {
	switch {
	case len(candidates) > 1:
		return &AmbiguousError{Candidates: candidates}
	case slots == 0:
		return ErrNoReader
	case seen == 0:
		return ErrReaderGone
	case cards == 0:
		return ErrNoCard
	case unread != nil:
		return unread
	default:
		return ErrNoCredential
	}
}

// UsagesOf tells by its key usage what a certificate's key may be used for, for
// sources that know nothing else of it: content commitment is signatures, digital
// signature is authentication, both are both (RFC 5280 4.2.1.3). Nothing for the
// certificate of an authority.
func UsagesOf(c *x509.Certificate) []Usage {
	if c.IsCA {
		return nil
	}
	var usages []Usage
	if c.KeyUsage&x509.KeyUsageDigitalSignature != 0 {
		usages = append(usages, UsageAuthentication)
	}
	if c.KeyUsage&x509.KeyUsageContentCommitment != 0 {
		usages = append(usages, UsageSignature)
	}
	return usages
}

// Approver is a PINSource that can ask for a yes alone, for a key that takes no
// PIN at the moment of signing because its file was opened with a password.
type Approver interface {
	// Approve shows the request and returns nil for a yes. r.Status is empty.
	Approve(ctx context.Context, r PINRequest) error
}

// Token is a key store outside the card drivers whose keys TokenSigner uses.
type Token interface {
	// PIN is the state of the PIN that releases the credential's key, fresh.
	PIN(ctx context.Context, f *Found) (status PINStatus, atReader bool, err error)
	// Sign makes one signature and never repeats a login, with the values of
	// Card.Sign. p is nil where the PIN is entered elsewhere or not needed.
	Sign(ctx context.Context, f *Found, before PINStatus, p *pin.PIN, hash crypto.Hash, digest []byte) ([]byte, error)
}

// TokenSigner is the key of a Token as a crypto.Signer, with the care of Signer:
// status, question, one login, one signature, own check of the value. A
// credential without PIN needs a source that is an Approver.
func TokenSigner(ctx context.Context, t Token, f *Found, src PINSource) crypto.Signer {
	return &tokenSigner{ctx: ctx, token: t, found: f, source: src}
}

type tokenSigner struct {
	ctx    context.Context
	token  Token
	found  *Found
	source PINSource
}

func (s *tokenSigner) Public() crypto.PublicKey { return s.found.Credential.Certificate.PublicKey }

// Sign implements crypto.Signer with the digests and errors of Signer.Sign.
func (s *tokenSigner) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	c := s.found.Credential
	hash, err := digestHash(digest, opts, c.PSS)
	if err != nil {
		return nil, err
	}
	if weakKey(s.Public()) {
		return nil, fmt.Errorf("%w: key of the certificate is too weak", ErrDigest)
	}
	status, secret, done, err := s.ask()
	if err != nil {
		return nil, err
	}
	defer done()
	defer secret.Wipe()
	signature, err := s.token.Sign(s.ctx, s.found, status, secret, hash, digest)
	switch {
	case err != nil:
		return nil, fmt.Errorf("using the key: %w", err)
	case s.ctx.Err() != nil:
		return nil, s.ctx.Err()
	case !verifies(s.Public(), hash, digest, signature, c.PSS):
		return nil, fmt.Errorf("%w: signature does not belong to the certificate", ErrCardProtocol)
	}
	return signature, nil
}

// ask gets the PIN, or the yes where there is none to type.
func (s *tokenSigner) ask() (status PINStatus, secret *pin.PIN, done func(), err error) {
	done = func() {}
	request := PINRequest{
		Card: s.found.Inserted.Info, Reader: s.found.Inserted.Reader.Name, Credential: s.found.Credential,
	}
	if s.found.Credential.PIN == "" {
		approver, ok := s.source.(Approver)
		if !ok {
			return status, nil, nil, fmt.Errorf("%w: nobody can be asked for a yes", ErrNotOffered)
		}
		err = approver.Approve(s.ctx, request)
		return status, nil, done, err
	}
	status, atReader, err := s.token.PIN(s.ctx, s.found)
	if err == nil {
		err = usable(status)
	}
	if err != nil {
		return status, nil, nil, err
	}
	request.Status = status
	if atReader {
		prompter, ok := s.source.(PadPrompter)
		if !ok {
			return status, nil, nil, fmt.Errorf("%w: nobody can be told to use the reader's keys", ErrNotOffered)
		}
		done, err = prompter.EnterAtReader(s.ctx, request)
		return status, nil, done, err
	}
	secret, err = enter(s.ctx, request, s.source)
	return status, secret, done, err
}
