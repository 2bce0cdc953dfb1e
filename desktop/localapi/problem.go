package localapi

import (
	json "encoding/json/v2"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/desktop"
)

// The codes of refused messages; those of ended requests are desktop.Code.
const (
	codeOriginNotAllowed desktop.Code = "origin_not_allowed"
	codeScopeMissing     desktop.Code = "scope_missing"
	codeHostMismatch     desktop.Code = "host_mismatch"
	codeTokenInvalid     desktop.Code = "token_invalid"
	codeRequestInvalid   desktop.Code = "request_invalid"
	codeDigestMismatch   desktop.Code = "digest_mismatch"
	codeBusy             desktop.Code = "busy"
	codeNotFound         desktop.Code = "not_found"
	codeMethodNotAllowed desktop.Code = "method_not_allowed"
	codeMediaType        desktop.Code = "media_type_unsupported"
	codeNotReady         desktop.Code = "not_ready"
)

// problemBase is where problems.md is published.
const problemBase = "https://github.com/eidbridge/eidbridge/blob/main/desktop/localapi/problems.md#"

// problem is an error answer (RFC 9457), and the error of an ended request.
type problem struct {
	Type   string       `json:"type"`
	Code   desktop.Code `json:"code"`
	Title  string       `json:"title"`
	Status int          `json:"status,omitzero"`
	// Detail is a fixed sentence: nothing of the message is echoed.
	Detail string `json:"detail,omitzero"`
	// Retry tells whether the same message may work later.
	Retry     bool `json:"retry"`
	TriesLeft *int `json:"tries_left,omitzero"`

	after time.Duration // Retry-After
}

// row is what is fixed for a code.
type row struct {
	status int
	retry  bool
	title  string
}

// table has every code. The status is that of a refused message; ended requests
// are answered with 200.
func table() map[desktop.Code]row {
	return map[desktop.Code]row{
		codeOriginNotAllowed: {http.StatusForbidden, false, "This origin may not talk to the agent."},
		codeScopeMissing:     {http.StatusForbidden, false, "The token does not allow this."},
		codeHostMismatch:     {http.StatusMisdirectedRequest, false, "The Host is not the agent's."},
		codeTokenInvalid:     {http.StatusUnauthorized, false, "The token is missing or not valid."},
		codeRequestInvalid:   {http.StatusBadRequest, false, "The request is not valid."},
		codeDigestMismatch:   {http.StatusBadRequest, false, "Digest or size do not match the document."},
		codeBusy:             {http.StatusConflict, true, "The agent is busy with other questions."},
		codeNotFound:         {http.StatusNotFound, false, "There is nothing here."},
		codeMethodNotAllowed: {http.StatusMethodNotAllowed, false, "The method is not allowed here."},
		codeMediaType:        {http.StatusUnsupportedMediaType, false, "The body must be application/json."},
		codeNotReady:         {http.StatusNotFound, true, "There is no signed document yet."},

		desktop.CodeDocumentTooLarge:   {http.StatusRequestEntityTooLarge, false, "The document is too large."},
		desktop.CodeDocumentUnsafe:     {http.StatusUnprocessableEntity, false, "The document acts by itself or can be read in two ways, so it is not signed for a page."},
		desktop.CodeFormatUnsupported:  {http.StatusUnprocessableEntity, false, "This kind of document or signature is not supported."},
		desktop.CodeUserDeclined:       {http.StatusOK, true, "The person declined."},
		desktop.CodeUserTimeout:        {http.StatusOK, true, "The person did not answer in time."},
		desktop.CodeNoReader:           {http.StatusOK, true, "No smart-card reader can be reached."},
		desktop.CodeNoCard:             {http.StatusOK, true, "No card is inserted."},
		desktop.CodeCardUnsupported:    {http.StatusOK, false, "The card cannot be used."},
		desktop.CodeCardRemoved:        {http.StatusOK, true, "The card was removed."},
		desktop.CodeNoCertificate:      {http.StatusOK, false, "No certificate fits the request."},
		desktop.CodeCertificateExpired: {http.StatusOK, false, "The certificate is not valid at this time."},
		desktop.CodePINWrong:           {http.StatusOK, true, "The PIN was wrong."},
		desktop.CodePINBlocked:         {http.StatusOK, false, "The PIN is blocked."},
		desktop.CodePINMustChange:      {http.StatusOK, false, "The PIN must be changed before its first use."},
		desktop.CodeSigningFailed:      {http.StatusOK, true, "The signature could not be made."},
		desktop.CodeInternal:           {http.StatusInternalServerError, true, "The agent had a problem."},
	}
}

// newProblem makes the problem of a code; detail may be empty.
func newProblem(code desktop.Code, detail string) *problem {
	r, ok := table()[code]
	if !ok {
		code = desktop.CodeInternal
		r = table()[code]
	}
	return &problem{
		Type: problemBase + string(code), Code: code, Title: r.title, Status: r.status, Retry: r.retry, Detail: detail,
	}
}

func invalid(detail string) *problem { return newProblem(codeRequestInvalid, detail) }

func busy(after time.Duration) *problem {
	p := newProblem(codeBusy, "")
	p.after = after
	return p
}

// Error makes a problem an error, so that handlers return it.
func (p *problem) Error() string { return string(p.Code) }

// problemOf is the answer to an error of the service.
func problemOf(err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if b, ok := errors.AsType[*desktop.BusyError](err); ok {
		return busy(b.RetryAfter)
	}
	switch {
	case errors.Is(err, desktop.ErrUnknownRequest):
		return newProblem(codeNotFound, "")
	case errors.Is(err, desktop.ErrInvalid):
		return newProblem(desktop.CodeFormatUnsupported, "")
	case errors.Is(err, desktop.ErrTooLarge):
		return newProblem(desktop.CodeDocumentTooLarge, "")
	}
	return newProblem(desktop.CodeInternal, "")
}

// outcome is the problem of an ended request, nil where the state says it all.
func outcome(s desktop.Snapshot) *problem {
	if s.Code == "" {
		return nil
	}
	p := newProblem(s.Code, "")
	p.Status = 0
	if e, ok := errors.AsType[*cardreader.PINError](s.Err); ok && e.TriesLeft >= 0 {
		p.TriesLeft = &e.TriesLeft
	}
	return p
}

func (p *problem) write(w http.ResponseWriter) {
	if p.after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((p.after+time.Second-1)/time.Second)))
	}
	writeJSON(w, "application/problem+json", p.Status, p)
}

func writeJSON(w http.ResponseWriter, mediaType string, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // JSON with its own media type and nosniff, no markup
}
