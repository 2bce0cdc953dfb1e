package pages_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/pages"
	"github.com/eidbridge/eidbridge/levels"
)

var update = flag.Bool("update", false, "write the golden files anew")

func newPages(t testing.TB) *pages.Pages {
	t.Helper()
	p, err := pages.New("/op")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const hostile = `"><script>alert(1)</script>`

// samples are all pages in one language, with hostile text wherever text is
// not ours.
func samples(p *pages.Pages, lang string) map[string]func(io.Writer) error {
	all := map[string]func(io.Writer) error{
		"choice": func(w io.Writer) error {
			return p.Choice(w, pages.Choice{
				Language: lang, Client: "Ayuntamiento " + hostile, Level: levels.Low, Action: "https://op.example/login/1", Cancel: "https://op.example/login/1/cancel", Token: "t",
				Methods: []pages.Method{
					{Value: "digid/digid-midden", Name: map[string]string{"en": "DigiD Middle", "nl": "DigiD Midden"}, Level: levels.Low},
					{Value: "x/y" + hostile, Name: map[string]string{"en": "Card" + hostile}, Level: levels.High},
				},
			})
		},
		"onward-form": func(w io.Writer) error {
			return p.Onward(w, pages.Onward{Language: lang, Location: "https://idp.example/sso?a=1&b=2", Fields: map[string]string{"SAMLRequest": "PHg+" + hostile, "RelayState": "r"}})
		},
		"onward-link": func(w io.Writer) error {
			return p.Onward(w, pages.Onward{Language: lang, Location: "https://idp.example/sso?a=1&b=2"})
		},
		"onward-back": func(w io.Writer) error {
			return p.Onward(w, pages.Onward{Language: lang, Location: "https://rp.example/cb", Fields: map[string]string{"state": hostile}, Back: true})
		},
		"choice-switch": func(w io.Writer) error {
			return p.Choice(w, pages.Choice{Language: lang, Client: "Portal", Level: levels.High, Notice: pages.OtherPerson, Switch: true, Methods: []pages.Method{{Value: "x/y", Name: map[string]string{"en": "Card"}}}})
		},
		"logout": func(w io.Writer) error {
			return p.Logout(w, pages.Logout{Language: lang, Action: "https://op.example/logout/confirm", Fields: map[string]string{"state": hostile, "token": "t"}})
		},
		"logged-out": func(w io.Writer) error {
			return p.LoggedOut(w, pages.LoggedOut{Language: lang, Location: "https://rp.example/bye?a=1&b=" + "2", Frames: []string{"https://rp.example/logout?iss=x&sid=y"}})
		},
		"logged-out-open": func(w io.Writer) error {
			return p.LoggedOut(w, pages.LoggedOut{Language: lang, Location: "https://rp.example/bye?a=" + hostile, Open: true})
		},
		"logged-out-onward": func(w io.Writer) error {
			return p.LoggedOut(w, pages.LoggedOut{Language: lang, Location: "https://op.example/logout/1", Onward: true, Frames: []string{"https://rp.example/logout?iss=x&sid=y"}})
		},
		"leaving": func(w io.Writer) error {
			return p.Onward(w, pages.Onward{Language: lang, Location: "https://idp.example/slo", Fields: map[string]string{"SAMLRequest": hostile}, Leaving: true})
		},
		"device": func(w io.Writer) error {
			return p.UserCode(w, pages.UserCode{Language: lang, Action: "https://op.example/device", Wrong: true})
		},
		"device-confirm": func(w io.Writer) error {
			return p.UserCode(w, pages.UserCode{
				Language: lang, Action: "https://op.example/device/confirm", Code: "BCDF-GHJK", Token: "t", Client: "TV " + hostile, Place: "192.0.2.1" + hostile, At: time.Unix(0, 0),
			})
		},
		"device-done":   func(w io.Writer) error { return p.UserCode(w, pages.UserCode{Language: lang, Done: true}) },
		"device-denied": func(w io.Writer) error { return p.UserCode(w, pages.UserCode{Language: lang, Denied: true}) },
		"challenge": func(w io.Writer) error {
			return p.Challenge(w, pages.Challenge{Language: lang, Location: "https://op.example/authorize?state=" + hostile, Seed: "AAAAAAAAAAAAAAAA", Bits: 17, Seconds: 9})
		},
		"waiting": func(w io.Writer) error {
			return p.Waiting(w, pages.Waiting{Language: lang, Location: "https://op.example/resume/1"})
		},
	}
	dialog := pages.Dialog{
		Language: lang, Action: "https://op.example/login/1/dialog", Cancel: "https://op.example/login/1/cancel",
		Others: "https://op.example/login/1", Resume: "https://op.example/resume/1", Token: "t", Step: "0a", Origin: "https://op.example",
	}
	until := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	all["dialog-questions"] = func(w io.Writer) error {
		d := dialog
		d.Topic, d.Questions = "mobile_id_ask", &brokers.Questions{Fields: []brokers.Field{
			{Name: "personal_code", Value: hostile, Wrong: true, Numeric: true, MaxLength: 11},
			{Name: "phone_number", Telephone: true, MaxLength: 16},
		}}
		return p.Dialog(w, d)
	}
	for _, topic := range []string{"mobile_id", "smart_id", "smart_id_here"} {
		all["dialog-"+topic] = func(w io.Writer) error {
			d := dialog
			d.Topic, d.QR = topic, "https://op.example/login/1/qr"
			d.Device = &brokers.Device{Code: "0123", QR: "x", Link: "https://app.example/?a=1&b=" + hostile, Here: true, Until: until}
			return p.Dialog(w, d)
		}
	}
	all["dialog-card"] = func(w io.Writer) error {
		d := dialog
		d.Topic, d.Card = "card", &brokers.Card{Nonce: hostile, Agents: []string{"http://127.0.0.1:1", "http://127.0.0.1:2"}, Until: until}
		return p.Dialog(w, d)
	}
	all["choice-out"] = func(w io.Writer) error {
		return p.Choice(w, pages.Choice{
			Language: lang, Client: "Portal", Level: levels.High, Notice: pages.Unavailable, Failed: map[string]string{"en": "Card" + hostile},
			Out: []pages.Disruption{
				{Name: map[string]string{"en": "A" + hostile}, Instead: []map[string]string{{"en": "D" + hostile}}},
				{Name: map[string]string{"en": "B"}, Until: until},
				{Name: map[string]string{"en": "C"}, Planned: true, Until: until, Instead: []map[string]string{{"en": "D"}}},
			},
			Soon: []pages.Maintenance{{Name: map[string]string{"en": "App" + hostile}, From: until, Until: until.Add(time.Hour)}},
			Methods: []pages.Method{
				{Value: "x/a", Name: map[string]string{"en": "A"}, Out: true},
				{Value: "x/b", Name: map[string]string{"en": "B"}, Out: true, Until: until},
				{Value: "x/c", Name: map[string]string{"en": "C"}, Out: true, Planned: true, Until: until},
				{Value: "x/d", Name: map[string]string{"en": "D" + hostile}, Instead: true},
			},
		})
	}
	for _, kind := range pages.Kinds() {
		all["problem-"+string(kind)] = func(w io.Writer) error {
			return p.Problem(w, pages.Problem{Language: lang, Kind: kind, Reference: "ABCDE-12345", Retry: "https://op.example/login/1", Back: "https://op.example/login/1/cancel", Token: "t"})
		}
		all["notice-"+string(kind)] = func(w io.Writer) error {
			return p.Choice(w, pages.Choice{Language: lang, Client: "Portal", Level: levels.High, Notice: kind, Reference: "ABCDE-12345"})
		}
	}
	return all
}

// W-24, W-25, W-30, and what a screen reader needs: in every page and language.
func TestEveryPageIsSoundHTML(t *testing.T) {
	p := newPages(t)
	for _, lang := range p.Languages() {
		for name, render := range samples(p, lang) {
			var out bytes.Buffer
			if err := render(&out); err != nil {
				t.Errorf("%s %s: %v", lang, name, err)
				continue
			}
			text := out.String()
			for _, wrong := range []string{"<no value>", "{{", "alert(1)</script>", " style=", " onclick", "ZgotmplZ"} {
				if strings.Contains(text, wrong) {
					t.Errorf("%s %s has %q: %s", lang, name, wrong, text)
				}
			}
			root, err := html.Parse(strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			checkNode(t, lang+" "+name, lang, root)
			if n := count(root, "h1"); n != 1 {
				t.Errorf("%s %s has %d main headings", lang, name, n)
			}
			if count(root, "title") != 1 || count(root, "main") != 1 {
				t.Errorf("%s %s has no title or main part", lang, name)
			}
		}
	}
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func count(n *html.Node, tag string) int {
	total := 0
	for d := range n.Descendants() {
		if d.Type == html.ElementNode && d.Data == tag {
			total++
		}
	}
	return total
}

func checkNode(t *testing.T, page, lang string, root *html.Node) {
	t.Helper()
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		switch n.Data {
		case "html":
			if attribute(n, "lang") != lang {
				t.Errorf("%s says it is in %q", page, attribute(n, "lang"))
			}
		case "script":
			if !strings.HasPrefix(attribute(n, "src"), "/op/assets/") || n.FirstChild != nil {
				t.Errorf("%s has a script that is not ours", page)
			}
		case "link", "img":
			if to := attribute(n, "href") + attribute(n, "src"); !strings.HasPrefix(to, "/op/assets/") && to != "https://op.example/login/1/qr" {
				t.Errorf("%s loads %s", page, to)
			}
		case "form":
			if attribute(n, "method") != "post" || count(n, "button") == 0 {
				t.Errorf("%s has a form that does not work without scripts", page)
			}
		case "a":
			if attribute(n, "target") != "" {
				t.Errorf("%s opens windows", page)
			}
		}
	}
}

// The choice page, looked at in each language: go test -update writes it anew.
func TestGoldenPages(t *testing.T) {
	p := newPages(t)
	for _, lang := range p.Languages() {
		for _, name := range []string{"choice", "choice-out", "dialog-questions", "dialog-smart_id", "dialog-card", "onward-form", "problem-refused"} {
			var out bytes.Buffer
			if err := samples(p, lang)[name](&out); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", name+"."+lang+".html")
			if *update {
				if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(out.Bytes(), want) {
				t.Errorf("%s differs; got %s", path, out.String())
			}
		}
	}
}

// Every language has every text, with the same places to fill in.
func TestCataloguesAreComplete(t *testing.T) {
	read := func(lang string) map[string]string {
		data, err := os.ReadFile("catalogues/active." + lang + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var texts map[string]string
		if err := json.Unmarshal(data, &texts); err != nil {
			t.Fatal(err)
		}
		return texts
	}
	places := regexp.MustCompile(`{{[^}]*}}`)
	english := read("en")
	for _, lang := range newPages(t).Languages() {
		texts := read(lang)
		for id, text := range english {
			if texts[id] == "" || !slices.Equal(places.FindAllString(text, -1), places.FindAllString(texts[id], -1)) {
				t.Errorf("%s: %s is %q, in English %q", lang, id, texts[id], text)
			}
		}
		for id := range texts {
			if english[id] == "" {
				t.Errorf("%s: %s is in no other language", lang, id)
			}
		}
	}
	for _, kind := range pages.Kinds() {
		if english[string(kind)+"_title"] == "" || english[string(kind)+"_text"] == "" {
			t.Errorf("%s has no text", kind)
		}
	}
	for _, l := range levels.Scale() {
		if english["level_"+l.String()] == "" {
			t.Errorf("level %s has no name", l)
		}
	}
}

// W-32
func TestLanguageComesFromTheList(t *testing.T) {
	p := newPages(t)
	for _, c := range []struct {
		wishes []string
		header string
		want   string
	}{
		{nil, "", "en"},
		{nil, "nl-BE,nl;q=0.9,en;q=0.1", "nl"},
		{nil, "fr-FR,es-MX;q=0.8", "es"},
		{nil, "zh-CN", "en"},
		{nil, strings.Repeat("nl,", 1000), "en"},
		{nil, "et;q=x", "en"},
		{[]string{"et"}, "nl", "et"},
		{[]string{"fr", "nl"}, "es", "nl"},
		{[]string{"../../et", "", "\x00"}, "es", "es"},
		{[]string{"ES"}, "", "es"},
		{[]string{"fr"}, "nl", "nl"},
	} {
		if got := p.Language(c.wishes, c.header); got != c.want {
			t.Errorf("%q, %.20q: got %s, want %s", c.wishes, c.header, got, c.want)
		}
	}
	var out bytes.Buffer
	if err := p.Waiting(&out, pages.Waiting{Language: "../x"}); err != nil || !strings.Contains(out.String(), `lang="en"`) {
		t.Errorf("an unknown language: %v %s", err, out.String())
	}
}

func TestAssets(t *testing.T) {
	assets := newPages(t).Assets()
	for path, status := range map[string]int{
		"/op/assets/style.css": 200, "/op/assets/submit.js": 200, "/op/assets/icon.svg": 200,
		"/op/assets/": 404, "/op/assets/none": 404, "/op/assets/../templates/layout.html": 404, "/style.css": 404,
	} {
		a := httptest.NewRecorder()
		req := httptest.NewRequest(http.MethodGet, "/", nil)
		req.URL.Path = path
		assets.ServeHTTP(a, req)
		if a.Code != status && (status == 200 || a.Code == 200) {
			t.Errorf("%s: %d, want %d", path, a.Code, status)
		}
	}
}

// The picture has the quiet zone and is refused where it cannot be a link.
func TestQR(t *testing.T) {
	var out bytes.Buffer
	if err := pages.QR(&out, "https://app.example/?"+strings.Repeat("a", 200)); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); !strings.HasPrefix(text, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 61 61"`) || !strings.Contains(text, `d="M4 4h7v1h-7z`) {
		t.Errorf("version 9 has 53 modules and the first finder pattern begins after four: %.200s", text)
	}
	if err := pages.QR(&out, strings.Repeat("a", 1025)); err == nil {
		t.Error("one over the bound was drawn")
	}
}
