package localapi_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/desktop"
	"github.com/eidbridge/eidbridge/desktop/origins"
	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing/pades"
)

func TestPagePairsAndSigns(t *testing.T) {
	b := newBench(t)
	// A page that is not known learns nothing, not even that by CORS.
	if a := b.send(message{method: "GET", path: "/v1/info", header: page(lab, "")}); a.status != 403 ||
		a.code() != "origin_not_allowed" || a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("info before pairing: %d %v %s", a.status, a.header, a.body)
	}

	a := b.send(message{
		method: "POST", path: "/v1/pairings", body: `{"origin_name":"Lab portal","scopes":["sign"]}`,
		header: with(page(lab, ""), "Content-Type", "application/json"),
	})
	var created struct {
		ID, State, Compare_code string
		Expires_at              time.Time
	}
	a.into(t, &created)
	if a.status != http.StatusAccepted || created.State != "pending" || len(created.Compare_code) != 6 ||
		created.Expires_at.Before(time.Now()) || a.header.Get("Access-Control-Allow-Origin") != lab {
		t.Fatalf("%d %v %s", a.status, a.header, a.body)
	}
	a = b.decided(lab, created.ID)
	var approved struct {
		State, Token string
		Scopes       []string
	}
	a.into(t, &approved)
	if approved.State != "approved" || len(approved.Token) != 43 || len(approved.Scopes) != 1 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	asked := b.prompter.pairings[0]
	if asked.Code != created.Compare_code || asked.Origin.String() != lab || asked.Name != "Lab portal" {
		t.Errorf("prompt shows %+v", asked)
	}
	// The token is handed out once (L-12).
	a = b.send(message{method: "GET", path: "/v1/pairings/" + created.ID, header: page(lab, "")})
	if contains(a.body, approved.Token) || !contains(a.body, "approved") {
		t.Errorf("second look: %s", a.body)
	}
	if a := b.send(message{method: "GET", path: "/v1/info", header: page(lab, "")}); a.status != 200 || !contains(a.body, `"api":"1"`) {
		t.Errorf("info after pairing: %d %s", a.status, a.body)
	}

	a = b.send(message{method: "POST", path: "/v1/requests", body: signBody(), header: with(page(lab, approved.Token),
		"Content-Type", "application/json", "Idempotency-Key", "k1")})
	if a.status != http.StatusCreated || !contains(a.body, `"links":{"self":"/v1/requests/`) {
		t.Fatalf("%d %s", a.status, a.body)
	}
	request := id(t, a)
	var done struct {
		State       string
		Certificate []byte
		Chain       []string
		Sign        []struct {
			N                           int
			Signed, Signature_algorithm string
			Signed_digest               struct{ Alg, Value string }
		}
		Audit struct{ Origin, Consent, Agent_version string }
	}
	deadline := time.Now().Add(time.Minute)
	for done.State != "done" && time.Now().Before(deadline) {
		a = b.send(message{method: "GET", path: "/v1/requests/" + request + "?wait=2&seq=1", header: page(lab, approved.Token)})
		a.into(t, &done)
	}
	if done.State != "done" || !bytes.Equal(done.Certificate, b.card.certificate.Raw) || len(done.Sign) != 1 ||
		done.Sign[0].Signature_algorithm != "ECDSA-SHA256" || done.Audit.Origin != lab || done.Audit.Consent != "shown" {
		t.Fatalf("%s", a.body)
	}
	a = b.send(message{method: "GET", path: done.Sign[0].Signed, header: page(lab, approved.Token)})
	if a.status != 200 || a.header.Get("Content-Type") != "application/pdf" || !bytes.HasPrefix(a.body, pdfs.Classic()) {
		t.Fatalf("signed document: %d", a.status)
	}
	report, err := pades.Verify(t.Context(), bytes.NewReader(a.body), int64(len(a.body)), pades.VerifyOptions{})
	if err != nil || !report.Intact() {
		t.Errorf("signed document: %v, %+v", err, report)
	}
	shown := b.prompter.consents[0]
	if shown.Origin.String() != lab || shown.Document.Name != "contract.pdf" || shown.Purpose != "Rental contract" ||
		shown.Reference != "2026/17" || shown.Locale != "nl" || shown.Timeout > time.Minute {
		t.Errorf("consent shows %+v", shown)
	}

	// The pairing can be forgotten, and the token is void then.
	if a := b.send(message{method: "DELETE", path: "/v1/pairings/" + created.ID, header: page(lab, approved.Token)}); a.status != http.StatusNoContent {
		t.Errorf("forget: %d %s", a.status, a.body)
	}
	if a := b.send(message{method: "GET", path: "/v1/requests/" + request, header: page(lab, approved.Token)}); a.status != 403 {
		t.Errorf("after forgetting: %d", a.status)
	}
	if n := len(b.journal.holds(t, 2)); n != 2 {
		t.Errorf("journal has %d entries, want pairing and signature", n)
	}
}

func TestDeniedPairingGivesNoToken(t *testing.T) {
	b := newBench(t)
	b.prompter.err = desktop.ErrDeclined
	a := b.send(message{
		method: "POST", path: "/v1/pairings", body: `{"origin_name":"Bank","scopes":["sign"]}`,
		header: with(page(bank, ""), "Content-Type", "application/json"),
	})
	pairing := id(t, a)
	a = b.decided(bank, pairing)
	if a.status != 200 || !contains(a.body, `"state":"denied"`) || contains(a.body, "token") {
		t.Errorf("%d %s", a.status, a.body)
	}
	if b.store.Approved(b.prompter.pairings[0].Origin) {
		t.Error("origin is approved")
	}
}

func TestOutcomesReachThePage(t *testing.T) {
	for _, row := range []struct {
		name, state, code string
		arrange           func(*bench)
		retry             bool
		triesLeft         any
	}{
		{"declined", "declined", "user_declined", func(b *bench) { b.prompter.err = desktop.ErrDeclined }, true, nil},
		{"timed out", "expired", "user_timeout", func(b *bench) { b.prompter.err = desktop.ErrTimeout }, true, nil},
		{"wrong PIN", "failed", "pin_wrong", func(b *bench) {
			b.card.err = &cardreader.PINError{Reason: cardreader.PINWrong, PIN: "PIN2", TriesLeft: 2}
		}, true, 2.0},
		{"blocked PIN", "failed", "pin_blocked", func(b *bench) {
			b.card.err = &cardreader.PINError{Reason: cardreader.PINBlocked, PIN: "PIN2"}
		}, false, 0.0},
		{"card removed", "failed", "card_removed", func(b *bench) { b.card.err = cardreader.ErrCardRemoved }, true, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t)
			row.arrange(b)
			token := b.token(bank, origins.ScopeSign)
			request := id(t, b.submit(token, "k", signBody()))
			v := b.final(token, request)
			problem, _ := v["error"].(map[string]any)
			if v["state"] != row.state || problem["code"] != row.code || problem["retry"] != row.retry || problem["tries_left"] != row.triesLeft {
				t.Errorf("got %v", v)
			}
			if a := b.send(message{method: "GET", path: "/v1/requests/" + request + "/documents/1/signed", header: page(bank, token)}); a.status != 404 || a.code() != "not_ready" {
				t.Errorf("signed document: %d %s", a.status, a.body)
			}
		})
	}
}

func TestCancelTakesTheQuestionAway(t *testing.T) {
	b := newBench(t)
	b.prompter.hold = make(chan struct{})
	token := b.token(bank, origins.ScopeSign)
	request := id(t, b.submit(token, "k", signBody()))
	if a := b.send(message{method: "DELETE", path: "/v1/requests/" + request, header: page(bank, token)}); a.status != http.StatusNoContent {
		t.Errorf("cancel: %d %s", a.status, a.body)
	}
	if v := b.final(token, request); v["state"] != "cancelled" || v["error"] != nil {
		t.Errorf("got %v", v)
	}
}

// L-41: a page that drops its long poll and stays away takes its question with it.
func TestPageThatGoesAwayCancelsItsRequest(t *testing.T) {
	b := newBench(t)
	b.prompter.hold = make(chan struct{})
	token := b.token(bank, origins.ScopeSign)
	request := id(t, b.submit(token, "k", signBody()))
	conn, err := net.Dial("tcp", b.addr())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET /v1/requests/"+request+"?wait=25&seq=99 HTTP/1.1\r\nHost: "+b.addr()+
		"\r\nOrigin: "+bank+"\r\nAuthorization: Bearer "+token+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	// The journal is looked at, not the API: asking would mean to be there again.
	if entries := b.journal.holds(t, 1); len(entries) != 1 || entries[0].Outcome != desktop.StateCancelled {
		t.Errorf("journal is %+v", entries)
	}
}

func TestIdempotencyKeyMakesOneRequest(t *testing.T) {
	b := newBench(t)
	token := b.token(bank, origins.ScopeSign)
	first := b.submit(token, "same", signBody())
	b.final(token, id(t, first))
	second := b.submit(token, "same", signBody())
	if second.status != http.StatusCreated || id(t, first) != id(t, second) {
		t.Errorf("replay: %d %s", second.status, second.body)
	}
	if n := len(b.prompter.consents); n != 1 {
		t.Errorf("asked %d times", n)
	}
	if a := b.submit(token, "same", signBodyOf(pdfs.Form(), "other.pdf")); a.status != 400 || a.code() != "request_invalid" {
		t.Errorf("other body: %d %s", a.status, a.body)
	}
	// The same key of another origin is another key.
	other := b.token(lab, origins.ScopeSign)
	a := b.send(message{method: "POST", path: "/v1/requests", body: signBody(), header: with(page(lab, other),
		"Content-Type", "application/json", "Idempotency-Key", "same")})
	if a.status != http.StatusCreated || id(t, a) == id(t, first) {
		t.Errorf("other origin: %d %s", a.status, a.body)
	}
}

// L-35: one request an origin, refused with Retry-After.
func TestSecondRequestIsBusy(t *testing.T) {
	b := newBench(t)
	b.prompter.hold = make(chan struct{})
	token := b.token(bank, origins.ScopeSign)
	first := id(t, b.submit(token, "1", signBody()))
	a := b.submit(token, "2", signBody())
	if a.status != http.StatusConflict || a.code() != "busy" || a.header.Get("Retry-After") == "" {
		t.Errorf("%d %v %s", a.status, a.header, a.body)
	}
	close(b.prompter.hold)
	b.final(token, first)
	if a := b.submit(token, "2", signBody()); a.status != http.StatusCreated {
		t.Errorf("refused key is used up: %d %s", a.status, a.body)
	}
}

func TestPairingsAreRationed(t *testing.T) {
	b := newBench(t)
	b.prompter.hold = make(chan struct{})
	pair := func(origin string) answer {
		return b.send(message{
			method: "POST", path: "/v1/pairings", body: `{"origin_name":"x","scopes":["sign"]}`,
			header: with(page(origin, ""), "Content-Type", "application/json"),
		})
	}
	for _, origin := range []string{bank, "https://a.es", "https://b.es"} {
		if a := pair(origin); a.status != http.StatusAccepted {
			t.Fatalf("%s: %d %s", origin, a.status, a.body)
		}
	}
	if a := pair(bank); a.status != http.StatusConflict {
		t.Errorf("second of an origin: %d", a.status)
	}
	if a := pair("https://c.es"); a.status != http.StatusConflict || a.header.Get("Retry-After") == "" {
		t.Errorf("fourth: %d", a.status)
	}
	if n := b.prompter.asked(t); n != 1 {
		t.Errorf("%d questions at once", n)
	}
}

// A page may ask for a mark; the person sees its text with the question, and the
// signature shows.
func TestPageAsksForAMark(t *testing.T) {
	b := newBench(t)
	token := b.token(bank, origins.ScopeSign)
	body := strings.Replace(signBody(), `"level":"B-B"`, `"level":"B-B","visible":{"page":1,"rect":[50,50,250,114],"text":"Agreed by {name}"}`, 1)
	request := id(t, b.submit(token, "mark-1", body))
	if got := b.final(token, request); got["state"] != "done" {
		t.Fatalf("request %v", got)
	}
	if shown := b.prompter.consents[0]; shown.Mark != "Agreed by {name}" {
		t.Errorf("consent %+v", shown)
	}
	signed := b.send(message{method: "GET", path: "/v1/requests/" + request + "/documents/1/signed", header: page(bank, token)})
	if !bytes.Contains(signed.body, []byte("/AP << /N ")) || !bytes.Contains(signed.body, []byte("/FontFile2")) {
		t.Error("the signature does not show")
	}
}
