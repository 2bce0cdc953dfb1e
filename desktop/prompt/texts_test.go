package prompt

import (
	"crypto/sha256"
	json "encoding/json/v2"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/pin"
	"github.com/eidbridge/eidbridge/desktop"
	"github.com/eidbridge/eidbridge/desktop/origins"
	"github.com/eidbridge/eidbridge/signing/pades"
)

func languages() []string { return []string{"en", "es", "et", "nl"} }

func catalogue(t *testing.T, language string) map[string]any {
	t.Helper()
	data, err := catalogues.ReadFile("catalogues/" + language + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCataloguesHaveTheSameTextsWithTheSamePlaces(t *testing.T) {
	english := catalogue(t, "en")
	for _, language := range languages() {
		other := catalogue(t, language)
		if got, want := slices.Sorted(maps.Keys(other)), slices.Sorted(maps.Keys(english)); !slices.Equal(got, want) {
			t.Errorf("%s: texts are %v, want %v", language, got, want)
		}
		for id, text := range english {
			if got, want := places(other[id]), places(text); !slices.Equal(got, want) {
				t.Errorf("%s: %s has places %v, want %v", language, id, got, want)
			}
		}
	}
}

func places(text any) []string {
	if forms, ok := text.(map[string]any); ok {
		text = forms["other"]
	}
	s, _ := text.(string)
	var found []string
	for piece := range strings.SplitSeq(s, "{{.") {
		if name, _, ok := strings.Cut(piece, "}}"); ok {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// The longest question there can be fits one Assuan line in every language, and
// keeps what matters: origin, code, tries.
func TestLongestQuestionFitsOneLine(t *testing.T) {
	texts, err := NewTexts(func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("€%", 3000)
	texts.Phrase = long
	o, err := origins.Parse("https://" + strings.Repeat(strings.Repeat("a", 60)+".", 4) + "es:65535")
	if err != nil {
		t.Fatal(err)
	}
	c := desktop.Consent{
		Origin: o, Document: desktop.Description{Name: long, MediaType: long, Size: 1 << 40, SHA256: sha256.Sum256(nil), Scan: everyRisk()},
		Purpose: long, Reference: long, Mark: long,
		Holder: desktop.Holder{Name: long, Number: long, Issuer: long, NotAfter: time.Now(), Qualified: true},
		PIN:    "PIN2", TriesLeft: 255,
	}
	q := desktop.PairingQuestion{Origin: o, Name: long, Code: "K7M2PX", Scopes: []origins.Scope{
		origins.ScopeStatus, origins.ScopeAuthenticate, origins.ScopeCertificates, origins.ScopeSign,
	}}
	limit := room("SETDESC")
	for _, language := range languages() {
		words := texts.in(language)
		for name, text := range map[string]string{
			"consent": words.consentText(c, limit), "last try": words.lastTryText(c, limit), "pairing": words.pairingText(q, limit),
		} {
			if n := len(escape(text)); n > limit {
				t.Errorf("%s: %s takes %d bytes, limit %d", language, name, n, limit)
			}
			if name != "last try" && !strings.Contains(text, "es:65535") {
				t.Errorf("%s: %s lost the end of the origin: %s", language, name, text)
			}
		}
		local := c
		local.Reader, local.Origin = long, o
		if text := words.atReaderText(local, limit); len(escape(text)) > limit || !strings.Contains(text, "PIN2") {
			t.Errorf("%s: at reader takes %d bytes: %s", language, len(escape(text)), text)
		}
		for _, page := range words.batchTexts(batch(c, long), limit, false) {
			if n := len(escape(page)); n > limit {
				t.Errorf("%s: a page of a batch takes %d bytes, limit %d", language, n, limit)
			}
		}
		for _, text := range managementTexts(words, long, limit) {
			if n := len(escape(text)); n > limit || strings.Contains(text, "<no value>") || strings.Contains(text, "_") {
				t.Errorf("%s: takes %d bytes, limit %d, or lacks something: %s", language, n, limit, text)
			}
		}
		if text := words.consentText(c, limit); !strings.Contains(text, "PIN2: ") || !strings.Contains(text, "255") {
			t.Errorf("%s: tries left are missing: %s", language, text)
		}
		if text := words.pairingText(q, limit); !strings.Contains(text, "K7M2PX") {
			t.Errorf("%s: code is missing: %s", language, text)
		}
	}
}

// managementTexts are all questions besides requests, with the longest names.
func managementTexts(words phrases, long string, limit int) []string {
	var texts []string
	for _, kind := range []desktop.Secret{
		desktop.SecretPassword, desktop.SecretDocument, desktop.SecretAccessNumber, desktop.SecretPersonalData,
		desktop.SecretChecked, desktop.SecretNew, desktop.SecretRepeated,
	} {
		for _, operation := range []cardreader.PINOperation{cardreader.PINChange, cardreader.PINUnblock, cardreader.PINActivate} {
			q := desktop.SecretQuestion{Kind: kind, Operation: operation, Name: long, Target: long, Status: cardreader.PINStatus{
				ID: long, TriesLeft: 255, MinLength: 4, MaxLength: 12, Class: pin.Digits,
			}}
			texts = append(texts, words.secretText(q, limit), words.secretLabel(q))
			q.Status.Class = pin.Printable
			texts = append(texts, words.secretText(q, limit))
		}
	}
	for _, q := range []desktop.Confirmation{
		{Kind: desktop.ConfirmLastTry},
		{Kind: desktop.ConfirmLastTry, Final: true},
		{Kind: desktop.ConfirmPersonalData},
		{Kind: desktop.ConfirmSave},
	} {
		q.Name, q.PIN = long, long
		text, yes := words.confirmationText(q, limit)
		texts = append(texts, text, words.say(yes, nil))
	}
	return texts
}

// everyRisk is a scan that found everything there is to find.
func everyRisk() *pades.Scan {
	s := new(pades.Scan)
	for _, r := range pades.Risks() {
		s.Findings = append(s.Findings, pades.ScanFinding{Kind: r, Count: 1000, Active: r.Active()})
	}
	return s
}

// TestConsentNamesWhatADocumentDoes (P-53): every kind of risk has a word in every
// language and stands in the question, unless the pinentry has no room for it: then
// the gravest do, and an ellipsis for the rest, which eidagent scan lists.
func TestConsentNamesWhatADocumentDoes(t *testing.T) {
	texts, err := NewTexts(func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	for _, language := range languages() {
		words := texts.in(language)
		for _, r := range pades.Risks() {
			word := words.say("risk_"+string(r), nil)
			if strings.HasPrefix(word, "risk_") {
				t.Errorf("%s: %s has no word", language, r)
			}
			c := desktop.Consent{Document: desktop.Description{Scan: &pades.Scan{Complete: true, Findings: []pades.ScanFinding{{Kind: r, Active: r.Active()}}}}}
			if text := words.consentText(c, 1000); !strings.Contains(text, word) {
				t.Errorf("%s: the question does not name %s: %s", language, r, text)
			}
			c.Document.Scan = everyRisk()
			if text := words.consentText(c, 10_000); !strings.Contains(text, word) {
				t.Errorf("%s: among all of them the question does not name %s: %s", language, r, text)
			}
			c.Document.Scan = &pades.Scan{Complete: true, Findings: []pades.ScanFinding{{Kind: r, Active: r.Active()}}}
			c.Documents = []desktop.Description{c.Document, {Scan: &pades.Scan{Complete: true}}}
			if text := strings.Join(words.batchTexts(c, 1000, false), ""); !strings.Contains(text, word) {
				t.Errorf("%s: the list does not name %s: %s", language, r, text)
			}
		}
		all := words.riskTexts(desktop.Description{Scan: everyRisk()}, maxRisks)
		if len(all) != 2 || !strings.Contains(all[0], "…") || !strings.Contains(all[0], words.say("risk_launch", nil)) {
			t.Errorf("%s: %q", language, all)
		}
	}
}

func TestLanguageIsTheRequestsThenTheDesktops(t *testing.T) {
	for _, row := range []struct{ locale, lang, want string }{
		{"es", "nl_NL.UTF-8", "Firmar"},
		{"es-MX", "nl_NL.UTF-8", "Firmar"},
		{"", "nl_NL.UTF-8", "Ondertekenen"},
		{"", "et_EE", "Allkirjasta"},
		{"xx-not a locale", "et_EE", "Allkirjasta"},
		{"", "C.UTF-8", "Sign"},
		{"", "POSIX", "Sign"},
		{"", "", "Sign"},
		{"fi", "et_EE", "Allkirjasta"},
	} {
		texts, err := NewTexts(func(name string) string {
			if name == "LANG" {
				return row.lang
			}
			return ""
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := texts.in(row.locale).say("sign", nil); got != row.want {
			t.Errorf("locale %q, LANG %q: %q, want %q", row.locale, row.lang, got, row.want)
		}
	}
}

func TestTriesHaveASingular(t *testing.T) {
	texts, err := NewTexts(func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		language string
		tries    int
		want     string
	}{
		{"en", 1, "PIN2: 1 try left."},
		{"en", 2, "PIN2: 2 tries left."},
		{"es", 1, "PIN2: queda 1 intento."},
		{"es", 3, "PIN2: quedan 3 intentos."},
		{"et", 1, "PIN2: järel on 1 katse."},
		{"et", 3, "PIN2: järel on 3 katset."},
		{"nl", 1, "PIN2: nog 1 poging."},
		{"nl", 3, "PIN2: nog 3 pogingen."},
	} {
		if got := texts.in(row.language).count("tries", row.tries, values{"PIN": "PIN2"}); got != row.want {
			t.Errorf("%s %d: %q, want %q", row.language, row.tries, got, row.want)
		}
	}
}

// L-37: nothing foreign looks like our own words or steers the display.
func TestQuote(t *testing.T) {
	for _, row := range []struct{ name, in, want string }{
		{"plain", "contract 2026 – õigus.pdf", "contract 2026 – õigus.pdf"},
		{"line end", "a\nYou win", `a\u{a}You win`},
		{"direction override", "invoice\u202efdp.exe", `invoice\u{202e}fdp.exe`},
		{"isolates", "a\u2066b\u2069", `a\u{2066}b\u{2069}`},
		{"zero width", "pay\u200bpal", `pay\u{200b}pal`},
		{"no-break space", "a\u00a0b", `a\u{a0}b`},
		{"markup", "<b>OK</b>&", `\u{3c}b\u{3e}OK\u{3c}/b\u{3e}\u{26}`},
		{"backslash", `\u{a}`, `\u{5c}u{a}`},
		{"no UTF-8", "a\xff", `a\xff`},
		{"many marks", "e\u0301\u0301\u0301\u0301", "e\u0301\u0301"},
		{"cut", strings.Repeat("a", 31), strings.Repeat("a", 29) + "…"},
		{"just fits", strings.Repeat("a", 30), strings.Repeat("a", 30)},
		{"empty", "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			limit := 60
			if strings.HasPrefix(row.in, "aaa") {
				limit = 30
			}
			if got := Quote(row.in, limit); got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

func FuzzQuote(f *testing.F) {
	for _, s := range []string{"contract.pdf", "a\u202eb", "<x>", "\xff\xfe", strings.Repeat("é", 99), "e\u0301\u0301\u0301"} {
		f.Add(s, 30)
	}
	f.Fuzz(func(t *testing.T, s string, limit int) {
		if limit < 1 || limit > 200 {
			return
		}
		got := Quote(s, limit)
		if !utf8.ValidString(got) || utf8.RuneCountInString(got) > limit {
			t.Fatalf("Quote(%q, %d) = %q", s, limit, got)
		}
		for _, r := range got {
			if !unicode.IsPrint(r) || strings.ContainsRune("<>&\n", r) {
				t.Fatalf("Quote(%q, %d) lets %U through", s, limit, r)
			}
		}
	})
}

func FuzzAssuanAnswer(f *testing.F) {
	for _, s := range []string{"OK\n", "D 12%2545\nOK\n", "S x\n# y\nERR 83886179 cancelled\n", "D 1\r\nOK\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		a := &assuan{conn: duplex{strings.NewReader(string(answer)), discard{}}}
		secret, err := a.getPIN()
		if (err == nil) == (secret == nil) {
			t.Fatalf("getPIN returned %v, %v", secret, err)
		}
		secret.Wipe()
		if a.buffer != [maxLine + 2]byte{} {
			t.Fatal("answer stays in the buffer")
		}
	})
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// Threat C-49: a page can draw a window like the agent's, but does not know the
// phrase that the person chose.
func TestEveryQuestionForAPINShowsThePersonsPhrase(t *testing.T) {
	texts, err := NewTexts(func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	const phrase = "blue whale under the stairs"
	limit := room("SETDESC")
	for _, language := range languages() {
		for name, question := range map[string]func(phrases) string{
			"consent":   func(p phrases) string { return p.consentText(desktop.Consent{PIN: "PIN2"}, limit) },
			"at reader": func(p phrases) string { return p.atReaderText(desktop.Consent{PIN: "PIN2"}, limit) },
			"batch": func(p phrases) string {
				return p.batchTexts(desktop.Consent{PIN: "PIN2", Documents: make([]desktop.Description, 2)}, limit, false)[0]
			},
			"present value": func(p phrases) string {
				return p.secretText(desktop.SecretQuestion{Kind: desktop.SecretChecked}, limit)
			},
			"personal data": func(p phrases) string {
				return p.secretText(desktop.SecretQuestion{Kind: desktop.SecretPersonalData}, limit)
			},
			"change at reader": func(p phrases) string { return p.changeAtReaderText(desktop.SecretQuestion{}, limit) },
		} {
			texts.Phrase = ""
			without := question(texts.in(language))
			texts.Phrase = phrase
			with := question(texts.in(language))
			first, rest, _ := strings.Cut(with, "\n")
			if !strings.Contains(first, phrase) || rest != without {
				t.Errorf("%s: %s: %q", language, name, with)
			}
		}
	}
}
