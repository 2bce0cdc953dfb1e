package localapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json/jsontext"
	json "encoding/json/v2"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/eidbridge/eidbridge/desktop"
	"github.com/eidbridge/eidbridge/desktop/origins"
	"github.com/eidbridge/eidbridge/signing"
)

// wish is the request object. Members that are known but not served yet are
// named, so that they are refused for what they are.
type wish struct {
	Kind         string         `json:"kind"`
	ExpiresIn    int            `json:"expires_in"`
	Locale       string         `json:"locale"`
	Credential   wishCredential `json:"credential"`
	Authenticate *wishLogin     `json:"authenticate"`
	Sign         *wishSign      `json:"sign"`
	Display      jsontext.Value `json:"display"`
}

type wishLogin struct {
	Nonce  string `json:"nonce"`
	Format string `json:"format"`
}

type wishCredential struct {
	Usage             string   `json:"usage"`
	IssuerCountry     []string `json:"issuer_country"`
	Qualified         *bool    `json:"qualified"`
	CertificateSHA256 *string  `json:"certificate_sha256"`
}

type wishSign struct {
	Documents []wishDocument `json:"documents"`
	Output    wishOutput     `json:"output"`
}

type wishDocument struct {
	N         int         `json:"n"`
	Name      string      `json:"name"`
	MediaType string      `json:"media_type"`
	Size      *int64      `json:"size"`
	Digest    *wishDigest `json:"digest"`
	Content   string      `json:"content"`
	Data      string      `json:"data"`
}

type wishDigest struct {
	Alg   string `json:"alg"`
	Value string `json:"value"`
}

type wishOutput struct {
	Format    string         `json:"format"`
	Level     string         `json:"level"`
	Packaging string         `json:"packaging"`
	Visible   jsontext.Value `json:"visible"`
}

// wishDisplay is the only place where unknown members are passed over
// (agent-protocols 9.6).
type wishDisplay struct {
	Purpose   string `json:"purpose"`
	Reference string `json:"reference"`
}

// given tells whether an optional member is there; null is not.
func given(v jsontext.Value) bool { return len(v) > 0 && v.Kind() != 'n' }

// display reads what is to be shown.
func (v *wish) display() (wishDisplay, error) {
	var shown wishDisplay
	if given(v.Display) {
		if err := json.Unmarshal(v.Display, &shown); err != nil {
			return wishDisplay{}, invalid("display is not the object that is expected.")
		}
	}
	if len(shown.Purpose) > maxPurpose || len(shown.Reference) > maxReference {
		return wishDisplay{}, invalid("display is too long.")
	}
	return shown, nil
}

func (d *Door) createRequest(w http.ResponseWriter, r *http.Request, from caller) error {
	key := r.Header.Get("Idempotency-Key")
	if len(r.Header.Values("Idempotency-Key")) != 1 || !validKey(key) {
		return invalid("Idempotency-Key is missing or not valid.")
	}
	var asked wish
	body, err := readJSON(w, r, &asked)
	if err != nil {
		return err
	}
	if err := d.allowed(from, desktop.Kind(asked.Kind)); err != nil {
		return err
	}
	request, err := asked.request()
	if err != nil {
		return err
	}
	request.AppVersion = "eidagent/" + d.Version
	request.Door, request.Origin = desktop.DoorLocalAPI, from.origin
	request.CardWait = cardWait
	snapshot, err := d.keys.once(from.origin.String()+" "+key, sha256.Sum256(body),
		// The request outlives the message that brought it.
		func() (desktop.Snapshot, error) { return d.Service.Submit(d.base, request) },
		d.Service.Snapshot)
	if err != nil {
		return err
	}
	writeJSON(w, "application/json", http.StatusCreated, struct {
		ID    string            `json:"id"`
		State desktop.State     `json:"state"`
		Seq   int               `json:"seq"`
		Links map[string]string `json:"links"`
	}{snapshot.ID, snapshot.State, snapshot.Seq, map[string]string{"self": pathRequests + "/" + snapshot.ID}})
	return nil
}

// allowed tells whether the caller's token has the scope of a kind.
func (d *Door) allowed(from caller, kind desktop.Kind) error {
	scope := origins.ScopeSign
	if kind == desktop.KindAuthenticate {
		scope = origins.ScopeAuthenticate
	}
	if d.check(from, scope) != nil {
		return newProblem(codeScopeMissing, "")
	}
	return nil
}

func validKey(key string) bool {
	if key == "" || len(key) > maxKey {
		return false
	}
	for _, c := range []byte(key) {
		if c < 0x21 || c > 0x7e {
			return false
		}
	}
	return true
}

// request translates the page's wish; what is not served is refused by name and
// not dropped.
func (v *wish) request() (desktop.Request, error) {
	unsupported := newProblem(desktop.CodeFormatUnsupported, "")
	switch {
	case v.Kind == "authenticate":
		return v.login()
	case v.Kind == "certificate":
		return desktop.Request{}, unsupported
	case v.Kind != "sign" || v.Sign == nil:
		return desktop.Request{}, invalid("kind is not known or its object is missing.")
	case v.Authenticate != nil:
		return desktop.Request{}, invalid("authenticate does not belong to kind sign.")
	case v.ExpiresIn < 0 || v.ExpiresIn > int(desktop.MaxExpiry.Seconds()):
		return desktop.Request{}, invalid("expires_in is out of range.")
	case len(v.Locale) > 35: // RFC 5646 section 4.4.1
		return desktop.Request{}, invalid("locale is too long.")
	case len(v.Sign.Documents) != 1:
		return desktop.Request{}, unsupported
	}
	// The signature key signs documents, whatever a page would like.
	if u := v.Credential.Usage; u != "" && u != "sign" {
		return desktop.Request{}, unsupported
	}
	if len(v.Credential.IssuerCountry) > maxCountries {
		return desktop.Request{}, invalid("issuer_country is too long.")
	}
	o := v.Sign.Output
	if o.Format != string(signing.PAdES) || o.Level != string(signing.BaselineB) ||
		o.Packaging != "" && o.Packaging != "enveloped" {
		return desktop.Request{}, unsupported
	}
	visible, err := o.visible()
	if err != nil {
		return desktop.Request{}, err
	}
	shown, err := v.display()
	if err != nil {
		return desktop.Request{}, err
	}
	data, err := v.Sign.Documents[0].bytes()
	if err != nil {
		return desktop.Request{}, err
	}
	request := desktop.Request{
		Kind:      desktop.KindSign,
		Documents: []desktop.Document{desktop.PDFBytes(v.Sign.Documents[0].Name, data)},
		Output:    desktop.Output{Format: signing.PAdES, Baseline: signing.BaselineB, Visible: visible},
		Locale:    v.Locale, Purpose: shown.Purpose, Reference: shown.Reference,
		ExpiresIn:  time.Duration(v.ExpiresIn) * time.Second,
		Credential: desktop.Wanted{IssuerCountries: v.Credential.IssuerCountry, Qualified: v.Credential.Qualified},
	}
	if s := v.Credential.CertificateSHA256; s != nil {
		sum, err := decode(*s)
		if err != nil || len(sum) != sha256.Size {
			return desktop.Request{}, invalid("certificate_sha256 is not a digest in base64url.")
		}
		request.Credential.CertificateSHA256 = hexOf(sum)
	}
	return request, nil
}

// login translates the wish for a login. The service checks the nonce.
func (v *wish) login() (desktop.Request, error) {
	shown, err := v.display()
	switch {
	case err != nil:
		return desktop.Request{}, err
	case v.Authenticate == nil || v.Sign != nil:
		return desktop.Request{}, invalid("kind authenticate needs the object authenticate alone.")
	case !desktop.ValidNonce(v.Authenticate.Nonce):
		return desktop.Request{}, invalid("nonce is too short, too long or not printable.")
	case v.Authenticate.Format != desktop.FormatWebEID:
		return desktop.Request{}, newProblem(desktop.CodeFormatUnsupported, "")
	case v.ExpiresIn < 0 || v.ExpiresIn > int(desktop.MaxExpiry.Seconds()):
		return desktop.Request{}, invalid("expires_in is out of range.")
	case len(v.Locale) > 35: // RFC 5646 section 4.4.1
		return desktop.Request{}, invalid("locale is too long.")
	case v.Credential.Usage != "" && v.Credential.Usage != "authenticate":
		// The signature key logs in nowhere, whatever a page would like.
		return desktop.Request{}, newProblem(desktop.CodeFormatUnsupported, "")
	case len(v.Credential.IssuerCountry) > maxCountries:
		return desktop.Request{}, invalid("issuer_country is too long.")
	case v.Credential.Qualified != nil || v.Credential.CertificateSHA256 != nil:
		return desktop.Request{}, invalid("a login is narrowed by issuer_country alone.")
	}
	return desktop.Request{
		Kind: desktop.KindAuthenticate, Nonce: v.Authenticate.Nonce, Locale: v.Locale, Purpose: shown.Purpose, Reference: shown.Reference,
		ExpiresIn:  time.Duration(v.ExpiresIn) * time.Second,
		Credential: desktop.Wanted{IssuerCountries: v.Credential.IssuerCountry},
	}, nil
}

// bytes returns the document after comparing it with what the page says of it.
func (v *wishDocument) bytes() ([]byte, error) {
	switch {
	case v.N != 1:
		return nil, invalid("n counts from 1.")
	case v.Name == "" || len(v.Name) > maxName:
		return nil, invalid("name is missing or too long.")
	case v.MediaType != desktop.MediaTypePDF:
		return nil, newProblem(desktop.CodeFormatUnsupported, "")
	case v.Content == "upload", v.Content == "none":
		// A digest alone is never signed as a PDF (threats L-30).
		return nil, newProblem(desktop.CodeFormatUnsupported, "")
	case v.Content != "inline" || v.Data == "":
		return nil, invalid("content is not known or data is missing.")
	}
	data, err := decode(v.Data)
	if err != nil {
		return nil, invalid("data is not base64url.")
	}
	if v.Size != nil && *v.Size != int64(len(data)) {
		return nil, newProblem(codeDigestMismatch, "")
	}
	if v.Digest != nil {
		if v.Digest.Alg != "SHA-256" {
			return nil, invalid("digest.alg must be SHA-256.")
		}
		want, err := decode(v.Digest.Value)
		if err != nil || len(want) != sha256.Size {
			return nil, invalid("digest.value is not a digest in base64url.")
		}
		if sum := sha256.Sum256(data); subtle.ConstantTimeCompare(sum[:], want) != 1 {
			return nil, newProblem(codeDigestMismatch, "")
		}
	}
	// ISO 32000-2 7.5.2 and Annex C: the header is within the first 1024 bytes.
	if !bytes.Contains(data[:min(len(data), 1024)], []byte("%PDF-")) {
		return nil, newProblem(desktop.CodeFormatUnsupported, "The document is not a PDF.")
	}
	return data, nil
}

// decode reads base64url (RFC 4648 section 5), padded or not, in its one form.
func decode(s string) ([]byte, error) {
	return base64.RawURLEncoding.Strict().DecodeString(strings.TrimRight(s, "="))
}

// own finds a request of this origin. Another's does not exist.
func (d *Door) own(id string, from caller) (desktop.Snapshot, error) {
	s, err := d.Service.Snapshot(id)
	if err != nil || s.Door != desktop.DoorLocalAPI || s.Origin != from.origin {
		return desktop.Snapshot{}, newProblem(codeNotFound, "")
	}
	return s, nil
}

func (d *Door) showRequest(w http.ResponseWriter, r *http.Request, from caller) error {
	wait, seq, err := waiting(r)
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	snapshot, err := d.own(id, from)
	if err != nil {
		return err
	}
	d.absent.came(id)
	if wait > 0 {
		if seq < 0 {
			seq = snapshot.Seq
		}
		ctx, cancel := context.WithTimeout(r.Context(), wait)
		defer cancel()
		snapshot, err = d.Service.Wait(ctx, id, seq)
		if r.Context().Err() != nil && !snapshot.State.Final() {
			//nolint:contextcheck // the wait for the page outlives its message
			d.absent.left(d.base, id, func() { _ = d.Service.Cancel(id) })
			return nil
		}
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
	writeJSON(w, "application/json", http.StatusOK, d.view(snapshot))
	return nil
}

func (d *Door) cancelRequest(w http.ResponseWriter, r *http.Request, from caller) error {
	snapshot, err := d.own(r.PathValue("id"), from)
	if err != nil {
		return err
	}
	if err := d.Service.Cancel(snapshot.ID); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (d *Door) signedDocument(w http.ResponseWriter, r *http.Request, from caller) error {
	snapshot, err := d.own(r.PathValue("id"), from)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(r.PathValue("n"))
	if err != nil || n != 1 {
		return newProblem(codeNotFound, "")
	}
	if snapshot.State != desktop.StateDone {
		return newProblem(codeNotReady, "")
	}
	data := snapshot.Signed[n-1].Data
	w.Header().Set("Content-Type", desktop.MediaTypePDF)
	w.Header().Set("Content-Disposition", "attachment")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data)
	return nil
}

// keys remember which Idempotency-Key made which request.
type keys struct {
	mu    sync.Mutex
	used  map[string]use
	order []string
}

type use struct {
	body [sha256.Size]byte
	id   string
}

// once submits for the first use of a key and shows the same request for every
// further one. A key with another body is an error of the page. A refused
// submission uses nothing up.
func (k *keys) once(
	key string, body [sha256.Size]byte,
	submit func() (desktop.Snapshot, error), show func(id string) (desktop.Snapshot, error),
) (desktop.Snapshot, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if before, ok := k.used[key]; ok {
		if before.body != body {
			return desktop.Snapshot{}, invalid("Idempotency-Key was used with another body.")
		}
		s, err := show(before.id)
		if errors.Is(err, desktop.ErrUnknownRequest) {
			return desktop.Snapshot{}, invalid("Idempotency-Key was used and its request is gone.")
		}
		return s, err
	}
	s, err := submit()
	if err != nil {
		return desktop.Snapshot{}, err
	}
	if len(k.order) >= maxKeys {
		delete(k.used, k.order[0])
		k.order = k.order[1:]
	}
	k.used[key] = use{body: body, id: s.ID}
	k.order = append(k.order, key)
	return s, nil
}
