package provider

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/envelope"
	"github.com/eidbridge/eidbridge/brokers/pages"
)

// language chooses the language of a page: an explicit choice, then what the
// relying party asked for, then the browser's.
func (p *Provider) language(r *http.Request, t *brokers.Transaction) string {
	var wishes []string
	if chosen := r.URL.Query().Get("lang"); chosen != "" {
		wishes = append(wishes, chosen)
	}
	if t != nil {
		wishes = append(wishes, t.Request.UILocales...)
	}
	return p.pages.Language(wishes, r.Header.Get("Accept-Language"))
}

// page sends a rendered page or, if it cannot be rendered, a plain sentence.
func (p *Provider) page(w http.ResponseWriter, status int, render func(io.Writer) error) {
	var body bytes.Buffer
	if err := render(&body); err != nil {
		p.cfg.Log.Error("page was not rendered", "error", err)
		http.Error(w, "something went wrong on our side", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // the reader may be gone
}

// problem ends a request with a page of fixed text and a reference, and one
// audit event with the reason. A transaction that belongs to this browser gets
// the ways on.
func (p *Provider) problem(w http.ResponseWriter, r *http.Request, status int, kind pages.Kind, event, reason string, t *brokers.Transaction, attributes ...slog.Attr) {
	ref := reference()
	p.record(r.Context(), event, reason, append(attributes, slog.String("ref", ref))...)
	p.keepFlight(r, ref, t, event, reason, attributes)
	p.problemPage(w, r, status, kind, ref, t)
}

func (p *Provider) problemPage(w http.ResponseWriter, r *http.Request, status int, kind pages.Kind, ref string, t *brokers.Transaction) {
	view := pages.Problem{Language: p.language(r, t), Kind: kind, Reference: ref}
	if t != nil && !t.State.Final() && p.sameBrowser(r, t) {
		view.Retry = p.url("login", t.ID)
		view.Back, view.Token = p.url("login", t.ID, "cancel"), p.formToken(r, t)
		w.Header().Set("Content-Security-Policy", policy(false, origin(t.Request.RedirectURI)))
	}
	p.page(w, status, func(out io.Writer) error { return p.pages.Problem(out, view) })
}

// fault ends a request that the store failed: the log has the details. It is asked to
// come again, unless what was read is broken and stays so.
func (p *Provider) fault(w http.ResponseWriter, r *http.Request, doing string, err error, t *brokers.Transaction) {
	status, kind := http.StatusServiceUnavailable, pages.Internal
	switch {
	case errors.Is(err, brokers.ErrConflict):
		// Somebody took the step first: a second tab, a second click.
		status, kind = http.StatusConflict, pages.Finished
	case errors.Is(err, envelope.ErrSeal), errors.Is(err, errPairwise):
		status = http.StatusInternalServerError
	default:
		w.Header().Set("Retry-After", "2")
	}
	p.problem(w, r, status, kind, "request.failed", doing, t, slog.String("error", err.Error()))
}

// broken ends a request with an error of our own.
func (p *Provider) broken(w http.ResponseWriter, r *http.Request, doing string, err error, t *brokers.Transaction) {
	p.problem(w, r, http.StatusInternalServerError, pages.Internal, "request.failed", doing, t, slog.String("error", err.Error()))
}

// ours loads the transaction of the path for the browser that began it. Anybody
// else sees the same page as for one that does not exist.
func (p *Provider) ours(w http.ResponseWriter, r *http.Request) (*brokers.Transaction, bool) {
	t, err := p.cfg.Store.Transaction(r.Context(), r.PathValue("id"), p.cfg.Now())
	switch {
	case errors.Is(err, brokers.ErrNotFound):
		p.problem(w, r, http.StatusBadRequest, pages.Unknown, "login.refused", "unknown_login", nil)
	case err != nil:
		p.fault(w, r, "loading login", err, nil)
	case !p.sameBrowser(r, t):
		p.problem(w, r, http.StatusBadRequest, pages.Unknown, "login.refused", "foreign_browser", nil, slog.String("login", t.ID))
	default:
		return t, true
	}
	return nil, false
}
