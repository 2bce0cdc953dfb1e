//go:build cgo

package host

import (
	"errors"
	"fmt"
	"io"
	"sync"

	module "github.com/miekg/pkcs11"

	"github.com/eidbridge/eidbridge/brokers/hsm/internal/wire"
)

// Serve opens what the first request names and signs until in ends. It returns
// after an opening that failed. Who no longer asks gets no answers: what is under way
// is left, since a module may hang. The module is neither finalized nor unloaded: the
// process ends at once, and several modules hang or crash in C_Finalize.
func Serve(in io.Reader, out io.Writer) error {
	lines := wire.Reader(in)
	var first wire.Request
	if err := wire.Read(lines, &first); err != nil {
		return err
	}
	if first.Open == nil {
		return errors.New("hsm: the first request opens nothing")
	}
	t, public, failure := open(first.Open)
	if err := wire.Write(out, wire.Answer{ID: first.ID, Public: public, Error: failure}); err != nil || failure != nil {
		return err
	}
	var writing sync.Mutex
	for {
		var r wire.Request
		if err := wire.Read(lines, &r); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		session := <-t.sessions
		go func() {
			value, failure := t.sign(session, r)
			t.sessions <- session
			writing.Lock()
			defer writing.Unlock()
			_ = wire.Write(out, wire.Answer{ID: r.ID, Signature: value, Error: failure}) // then in ends too
		}()
	}
}

// token is an open token.
type token struct {
	module *module.Ctx
	keys   []module.ObjectHandle
	// sessions are those in which nobody works.
	sessions chan module.SessionHandle
}

func failed(kind wire.Kind, function string, err error) *wire.Failure {
	f := &wire.Failure{Kind: kind, Function: function, Detail: "the module refused"}
	var code module.Error
	if errors.As(err, &code) {
		f.Code = uint(code)
	}
	return f
}

// open loads the module, logs in once and finds the keys.
func open(o *wire.Opening) (*token, [][]byte, *wire.Failure) {
	path, err := checkModule(o.Module)
	if err != nil {
		return nil, nil, &wire.Failure{Kind: wire.Module, Detail: err.Error()}
	}
	m := module.New(path)
	if m == nil {
		return nil, nil, &wire.Failure{Kind: wire.Module, Detail: path + " is no PKCS #11 module, or needs a library that is not there"}
	}
	if err := m.Initialize(); err != nil {
		return nil, nil, failed(wire.Module, "C_Initialize", err)
	}
	slot, info, failure := find(m, o)
	if failure != nil {
		return nil, nil, failure
	}
	t := &token{module: m, sessions: make(chan module.SessionHandle, o.Sessions)}
	for range o.Sessions {
		session, err := m.OpenSession(slot, module.CKF_SERIAL_SESSION)
		if err != nil {
			return nil, nil, failed(wire.Device, "C_OpenSession", err)
		}
		t.sessions <- session
	}
	session := <-t.sessions
	defer func() { t.sessions <- session }()
	if failure := login(m, session, info, o); failure != nil {
		return nil, nil, failure
	}
	var public [][]byte
	for i, k := range o.Keys {
		handle, der, failure := key(m, session, k)
		if failure != nil {
			failure.Key = i
			return nil, nil, failure
		}
		t.keys, public = append(t.keys, handle), append(public, der)
	}
	return t, public, nil
}

// find finds the one token with the label and serial number.
func find(m *module.Ctx, o *wire.Opening) (uint, module.TokenInfo, *wire.Failure) {
	slots, err := m.GetSlotList(true)
	if err != nil {
		return 0, module.TokenInfo{}, failed(wire.Device, "C_GetSlotList", err)
	}
	var at uint
	var found []module.TokenInfo
	for _, slot := range slots {
		info, err := m.GetTokenInfo(slot)
		if err != nil || info.Flags&module.CKF_TOKEN_INITIALIZED == 0 {
			continue // another's, perhaps; ours is missed below
		}
		if (o.Token == "" || info.Label == o.Token) && (o.Serial == "" || info.SerialNumber == o.Serial) {
			at, found = slot, append(found, info)
		}
	}
	if len(found) != 1 {
		return 0, module.TokenInfo{}, &wire.Failure{Kind: wire.NoToken, Detail: fmt.Sprintf("%d of %d tokens have that label and serial number", len(found), len(slots))}
	}
	return at, found[0], nil
}

// login presents the PIN once, to a token that counts no wrong try: a program that
// is started again and again would otherwise block it.
func login(m *module.Ctx, session module.SessionHandle, info module.TokenInfo, o *wire.Opening) *wire.Failure {
	if info.Flags&module.CKF_LOGIN_REQUIRED == 0 {
		return nil
	}
	if info.Flags&(module.CKF_USER_PIN_COUNT_LOW|module.CKF_USER_PIN_FINAL_TRY|module.CKF_USER_PIN_LOCKED) != 0 {
		return &wire.Failure{Kind: wire.Spent, Detail: "enter the right PIN once with a tool of the token's maker, such as pkcs11-tool --login, which ends the count"}
	}
	pin, failure := readPIN(o.PINFile, o.OthersMayRead)
	if failure != nil {
		return failure
	}
	defer clear(pin)
	// The binding takes a string, so that one copy lives as long as this process.
	switch err := m.Login(session, module.CKU_USER, string(pin)); {
	case err == nil, errors.Is(err, module.Error(module.CKR_USER_ALREADY_LOGGED_IN)):
		return nil
	case errors.Is(err, module.Error(module.CKR_PIN_INCORRECT)), errors.Is(err, module.Error(module.CKR_PIN_LOCKED)),
		errors.Is(err, module.Error(module.CKR_PIN_LEN_RANGE)), errors.Is(err, module.Error(module.CKR_PIN_INVALID)),
		errors.Is(err, module.Error(module.CKR_PIN_EXPIRED)):
		return failed(wire.PIN, "C_Login", err)
	default:
		return failed(wire.Device, "C_Login", err)
	}
}

// sign makes one signature.
func (t *token) sign(session module.SessionHandle, r wire.Request) ([]byte, *wire.Failure) {
	mechanism := map[wire.Mechanism]*module.Mechanism{
		wire.ECDSA:     module.NewMechanism(module.CKM_ECDSA, nil),
		wire.RSA:       module.NewMechanism(module.CKM_RSA_PKCS, nil),
		wire.PSSSHA256: module.NewMechanism(module.CKM_RSA_PKCS_PSS, module.NewPSSParams(module.CKM_SHA256, module.CKG_MGF1_SHA256, 32)),
		wire.EdDSA:     module.NewMechanism(ckmEdDSA, nil),
	}[r.Mechanism]
	if mechanism == nil || r.Key < 0 || r.Key >= len(t.keys) || len(r.Input) == 0 {
		return nil, &wire.Failure{Kind: wire.Refused, Detail: "there is no such key or mechanism"}
	}
	if err := t.module.SignInit(session, []*module.Mechanism{mechanism}, t.keys[r.Key]); err != nil {
		return nil, refusedOr("C_SignInit", err)
	}
	value, err := t.module.Sign(session, r.Input)
	if err != nil {
		return nil, refusedOr("C_Sign", err)
	}
	return value, nil
}

// refusedOr tells what this key never does from what a token that is gone says.
func refusedOr(function string, err error) *wire.Failure {
	for _, code := range []uint{
		module.CKR_MECHANISM_INVALID, module.CKR_MECHANISM_PARAM_INVALID, module.CKR_KEY_TYPE_INCONSISTENT,
		module.CKR_KEY_FUNCTION_NOT_PERMITTED, module.CKR_KEY_SIZE_RANGE, module.CKR_DATA_LEN_RANGE, module.CKR_DATA_INVALID,
	} {
		if errors.Is(err, module.Error(code)) {
			return failed(wire.Refused, function, err)
		}
	}
	return failed(wire.Device, function, err)
}
