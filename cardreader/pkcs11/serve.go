//go:build cgo

package pkcs11

import (
	"bufio"
	"bytes"
	json "encoding/json/v2"
	"errors"
	"fmt"
	"io"
	"runtime"

	module "github.com/miekg/pkcs11"

	"github.com/eidbridge/eidbridge/cardreader/pin"
)

// Serve answers the one request on in to out and returns; the program then ends.
// It is what the command of Module.Host runs.
func Serve(in io.Reader, out io.Writer) error {
	// Some modules keep state for each thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := limitMemory(); err != nil {
		return fmt.Errorf("limiting memory: %w", err)
	}
	lines := bufio.NewReaderSize(in, maxRequest)
	line, err := lines.ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("reading the request: %w", err)
	}
	var r request
	if err := json.Unmarshal(line, &r); err != nil {
		return fmt.Errorf("reading the request: %w", err)
	}
	secret, err := readPIN(lines, r.PINLength)
	if err != nil {
		return err
	}
	defer secret.Wipe()
	return writeAnswer(out, answerTo(r, secret))
}

func readPIN(in io.Reader, length int) (*pin.PIN, error) {
	if length == 0 {
		return nil, nil
	}
	if length < 0 || length > pin.MaxLength {
		return nil, pin.ErrLength
	}
	secret := make([]byte, length)
	if _, err := io.ReadFull(in, secret); err != nil {
		clear(secret)
		return nil, fmt.Errorf("reading the PIN: %w", err)
	}
	return pin.New(secret)
}

// failed is a failure on its way through Go code.
type failed struct{ failure }

func (f *failed) Error() string { return f.Function + ": " + f.Kind }

func fail(function string, err error) error {
	var code module.Error
	if errors.As(err, &code) {
		return &failed{failure{Function: function, Code: uint(code)}}
	}
	return &failed{failure{Function: function, Kind: kindPanic}}
}

// answerTo loads the module, does what is asked, and unloads it. A panic of the
// binding over nonsense from the module is an answer too.
func answerTo(r request, secret *pin.PIN) (a answer) {
	defer func() {
		if recover() != nil {
			a = answer{Error: &failure{Kind: kindPanic}}
		}
	}()
	m := module.New(r.Path)
	if m == nil {
		return answer{Error: &failure{Kind: kindLoad}}
	}
	err := m.Initialize()
	if err == nil {
		switch r.Op {
		case opList:
			a.Tokens, err = list(m)
		case opSign:
			s := signature{module: m, request: r, secret: secret}
			a.Signature, err = s.make()
			a.Flags = s.flags
		default:
			err = &failed{failure{Function: r.Op, Kind: kindPanic}}
		}
	} else {
		err = fail("C_Initialize", err)
	}
	var f *failed
	if errors.As(err, &f) {
		return answer{Error: &f.failure, Flags: a.Flags}
	}
	// The module is neither finalized nor unloaded: the process ends at once, and
	// several modules hang or crash in C_Finalize.
	return a
}

func list(m *module.Ctx) ([]token, error) {
	slots, err := m.GetSlotList(true)
	if err != nil {
		return nil, fail("C_GetSlotList", err)
	}
	var tokens []token
	for _, slot := range slots[:min(len(slots), maxSlots)] {
		t, ok, err := describe(m, slot)
		if err != nil {
			var f *failed
			if !errors.As(err, &f) {
				return nil, err
			}
			t.Failure = &f.failure
		}
		if ok {
			tokens = append(tokens, t)
		}
	}
	return tokens, nil
}

// describe reads what a token shows without a login; ok is false for an empty or
// uninitialized one.
func describe(m *module.Ctx, slot uint) (t token, ok bool, err error) {
	t.Slot = slot
	reader, err := m.GetSlotInfo(slot)
	if err != nil {
		return t, true, fail("C_GetSlotInfo", err)
	}
	t.Reader = trimmed(reader.SlotDescription)
	info, err := m.GetTokenInfo(slot)
	if err != nil {
		if errors.Is(err, module.Error(ckrTokenNotPresent)) {
			return t, false, nil
		}
		return t, true, fail("C_GetTokenInfo", err)
	}
	if info.Flags&module.CKF_TOKEN_INITIALIZED == 0 {
		return t, false, nil
	}
	t.Label, t.Model, t.Serial = trimmed(info.Label), trimmed(info.Model), trimmed(info.SerialNumber)
	t.Flags, t.MinPIN, t.MaxPIN = info.Flags, info.MinPinLen, info.MaxPinLen
	session, err := m.OpenSession(slot, module.CKF_SERIAL_SESSION)
	if err != nil {
		return t, true, fail("C_OpenSession", err)
	}
	defer func() { _ = m.CloseSession(session) }()
	t.Certificates, err = certificates(m, session, nil)
	return t, true, err
}

// certificates finds those with a key ID, all or the ones of id.
func certificates(m *module.Ctx, session module.SessionHandle, id []byte) ([]certificate, error) {
	wanted := []*module.Attribute{
		module.NewAttribute(module.CKA_CLASS, module.CKO_CERTIFICATE),
		module.NewAttribute(module.CKA_CERTIFICATE_TYPE, module.CKC_X_509),
	}
	if id != nil {
		wanted = append(wanted, module.NewAttribute(module.CKA_ID, id))
	}
	handles, err := find(m, session, wanted, maxCertificates)
	if err != nil {
		return nil, err
	}
	var found []certificate
	for _, handle := range handles {
		attributes, err := m.GetAttributeValue(session, handle, []*module.Attribute{
			module.NewAttribute(module.CKA_ID, nil), module.NewAttribute(module.CKA_VALUE, nil),
		})
		if err != nil {
			return nil, fail("C_GetAttributeValue", err)
		}
		if len(attributes) != 2 {
			return nil, &failed{failure{Function: "C_GetAttributeValue", Kind: kindPanic}}
		}
		c := certificate{ID: attributes[0].Value, DER: attributes[1].Value}
		if len(c.ID) == 0 || len(c.ID) > maxKeyID || len(c.DER) > maxCertificate {
			continue
		}
		found = append(found, c)
	}
	return found, nil
}

func find(m *module.Ctx, session module.SessionHandle, wanted []*module.Attribute, limit int) ([]module.ObjectHandle, error) {
	if err := m.FindObjectsInit(session, wanted); err != nil {
		return nil, fail("C_FindObjectsInit", err)
	}
	handles, _, err := m.FindObjects(session, limit)
	if endErr := m.FindObjectsFinal(session); err == nil {
		err = endErr
	}
	if err != nil {
		return nil, fail("C_FindObjects", err)
	}
	return handles[:min(len(handles), limit)], nil
}

// signature is one signature: a session, a login, the key, the value.
type signature struct {
	module  *module.Ctx
	request request
	secret  *pin.PIN
	// flags of the token after a login that failed.
	flags uint
}

func (s *signature) make() ([]byte, error) {
	info, err := s.module.GetTokenInfo(s.request.Slot)
	if err != nil {
		return nil, fail("C_GetTokenInfo", err)
	}
	switch {
	case trimmed(info.SerialNumber) != s.request.Serial, trimmed(info.Label) != s.request.Label:
		return nil, &failed{failure{Kind: kindChanged}}
	case info.Flags&flagPINLocked != 0:
		return nil, &failed{failure{Function: "C_GetTokenInfo", Code: ckrPINLocked}}
	case info.Flags&flagPINFinalTry != 0 && !s.request.FinalTry:
		return nil, &failed{failure{Kind: kindSpent}}
	}
	session, err := s.module.OpenSession(s.request.Slot, module.CKF_SERIAL_SESSION)
	if err != nil {
		return nil, fail("C_OpenSession", err)
	}
	defer func() {
		_ = s.module.Logout(session)
		_ = s.module.CloseSession(session)
	}()
	if err := s.sameCertificate(session); err != nil {
		return nil, err
	}
	if info.Flags&flagLoginRequired != 0 {
		if err := s.login(session, module.CKU_USER); err != nil {
			return nil, err
		}
	}
	key, always, err := s.key(session)
	if err != nil {
		return nil, err
	}
	mechanism := module.NewMechanism(module.CKM_RSA_PKCS, nil)
	if s.request.EC {
		mechanism = module.NewMechanism(module.CKM_ECDSA, nil)
	}
	if err := s.module.SignInit(session, []*module.Mechanism{mechanism}, key); err != nil {
		return nil, fail("C_SignInit", err)
	}
	if always {
		if err := s.login(session, module.CKU_CONTEXT_SPECIFIC); err != nil {
			return nil, err
		}
	}
	value, err := s.module.Sign(session, s.request.Input)
	if err != nil {
		return nil, fail("C_Sign", err)
	}
	return value, nil
}

func (s *signature) sameCertificate(session module.SessionHandle) error {
	found, err := certificates(s.module, session, s.request.KeyID)
	if err != nil {
		return err
	}
	for _, c := range found {
		if bytes.Equal(c.DER, s.request.Certificate) {
			return nil
		}
	}
	return &failed{failure{Kind: kindChanged}}
}

// login presents the PIN once. The binding takes a string, so this copy lives
// until the process ends, which is after this request.
func (s *signature) login(session module.SessionHandle, user uint) error {
	text := ""
	if s.secret != nil {
		if err := s.secret.Use(func(b []byte) error { text = string(b); return nil }); err != nil {
			return fail("C_Login", err)
		}
	} else if !s.request.AtReader {
		return &failed{failure{Function: "C_Login", Code: ckrPINLenRange}}
	}
	err := s.module.Login(session, user, text)
	if err == nil {
		return nil
	}
	if info, infoErr := s.module.GetTokenInfo(s.request.Slot); infoErr == nil {
		s.flags = info.Flags
	}
	return fail("C_Login", err)
}

// key finds the private key with the certificate's ID; always tells that each use
// wants a login of its own.
func (s *signature) key(session module.SessionHandle) (key module.ObjectHandle, always bool, err error) {
	handles, err := find(s.module, session, []*module.Attribute{
		module.NewAttribute(module.CKA_CLASS, module.CKO_PRIVATE_KEY), module.NewAttribute(module.CKA_ID, s.request.KeyID),
	}, 2)
	if err != nil {
		return 0, false, err
	}
	if len(handles) != 1 {
		return 0, false, &failed{failure{Kind: kindChanged}}
	}
	// A module that does not know the attribute has no such keys.
	attributes, err := s.module.GetAttributeValue(session, handles[0], []*module.Attribute{
		module.NewAttribute(module.CKA_ALWAYS_AUTHENTICATE, nil),
	})
	if err == nil && len(attributes) == 1 {
		always = len(attributes[0].Value) > 0 && attributes[0].Value[0] != 0
	}
	return handles[0], always, nil
}
