package apdu

import (
	"errors"
	"fmt"
)

// ErrProtocol is an answer that breaks ISO/IEC 7816-4 whatever the command was:
// too short, too long, or a chain without end.
var ErrProtocol = errors.New("malformed response APDU")

// Response is a response APDU.
type Response struct {
	Data []byte
	SW   StatusWord
}

// ParseResponse splits an answer into data and status word. The data is a part
// of raw. The error is ErrProtocol.
func ParseResponse(raw []byte) (Response, error) {
	if len(raw) < 2 || len(raw) > MaxResponse {
		return Response{}, fmt.Errorf("%w: %d bytes", ErrProtocol, len(raw))
	}
	n := len(raw) - 2
	return Response{Data: raw[:n:n], SW: StatusWord(raw[n])<<8 | StatusWord(raw[n+1])}, nil
}

// StatusWord is SW1-SW2 (ISO/IEC 7816-4 5.6).
type StatusWord uint16

// Status words that callers decide on. Texts for more of them are in String.
const (
	SWSuccess               StatusWord = 0x9000
	SWWrongLength           StatusWord = 0x6700
	SWSecurityNotSatisfied  StatusWord = 0x6982
	SWBlocked               StatusWord = 0x6983
	SWReferenceDataUnusable StatusWord = 0x6984
	SWConditionsOfUse       StatusWord = 0x6985
	SWWrongData             StatusWord = 0x6A80
	SWFileNotFound          StatusWord = 0x6A82
	SWReferenceNotFound     StatusWord = 0x6A88
	SWOutsideFile           StatusWord = 0x6B00
)

// OK is true for 9000 alone. A warning is not a success: no command of the
// supported cards needs one, and a lying card could hide behind it.
func (sw StatusWord) OK() bool { return sw == SWSuccess }

// More tells how many bytes wait for GET RESPONSE (61xx); 256 for 6100.
func (sw StatusWord) More() (n int, ok bool) {
	return expected(int(sw&0xFF), MaxShortNe), sw>>8 == 0x61
}

// Exact tells the Le that the card wants instead of the one given (6Cxx).
func (sw StatusWord) Exact() (n int, ok bool) {
	return expected(int(sw&0xFF), MaxShortNe), sw>>8 == 0x6C
}

// Tries reads the counter of 63Cx, 0 to 15.
func (sw StatusWord) Tries() (n int, ok bool) {
	return int(sw & 0xF), sw&0xFFF0 == 0x63C0
}

// String is the hexadecimal value with the meaning that ISO/IEC 7816-4 table 6
// gives it, or that of its first byte.
func (sw StatusWord) String() string {
	return fmt.Sprintf("%04X %s", uint16(sw), sw.text())
}

func (sw StatusWord) text() string {
	if n, ok := sw.Tries(); ok {
		return fmt.Sprintf("verification failed, %d tries left", n)
	}
	switch sw {
	case SWSuccess:
		return "success"
	case 0x6281:
		return "data may be corrupted"
	case 0x6282:
		return "end of file before Le bytes"
	case 0x6283:
		return "file deactivated"
	case 0x6300:
		return "verification failed"
	case 0x6400:
		return "execution error, or no PIN entered in time"
	case 0x6401:
		return "entry cancelled at the reader"
	case 0x6581:
		return "memory failure"
	case SWWrongLength:
		return "wrong length"
	case 0x6881:
		return "logical channel not supported"
	case 0x6882:
		return "secure messaging not supported"
	case 0x6981:
		return "command does not fit the file"
	case SWSecurityNotSatisfied:
		return "security status not satisfied"
	case SWBlocked:
		return "authentication method blocked"
	case SWReferenceDataUnusable:
		return "reference data not usable"
	case SWConditionsOfUse:
		return "conditions of use not satisfied"
	case 0x6986:
		return "command not allowed"
	case 0x6987:
		return "secure messaging object missing"
	case 0x6988:
		return "secure messaging object incorrect"
	case SWWrongData:
		return "incorrect data field"
	case 0x6A81:
		return "function not supported"
	case SWFileNotFound:
		return "file or application not found"
	case 0x6A83:
		return "record not found"
	case 0x6A86:
		return "incorrect P1 P2"
	case SWReferenceNotFound:
		return "referenced data not found"
	case SWOutsideFile:
		return "offset outside the file"
	case 0x6D00:
		return "instruction not supported"
	case 0x6E00:
		return "class not supported"
	case 0x6F00:
		return "no precise diagnosis"
	}
	return sw.group()
}

func (sw StatusWord) group() string {
	switch sw >> 8 {
	case 0x61:
		return "more data available"
	case 0x62, 0x63:
		return "warning"
	case 0x64, 0x65, 0x66:
		return "execution error"
	case 0x67, 0x68, 0x69, 0x6A, 0x6B, 0x6C, 0x6D, 0x6E, 0x6F:
		return "checking error"
	default:
		return "status unknown"
	}
}

// StatusError is a command that the card answered with something else than
// 9000. It holds no data of command or answer.
type StatusError struct {
	CLA, INS, P1, P2 byte
	SW               StatusWord
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("command %02X%02X%02X%02X: %s", e.CLA, e.INS, e.P1, e.P2, e.SW)
}
