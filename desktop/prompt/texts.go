package prompt

import (
	"embed"
	json "encoding/json/v2"
	"fmt"
	"path"
	"strings"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/language"
)

//go:embed catalogues/*.json
var catalogues embed.FS

// Texts are the catalogues of the package.
type Texts struct {
	bundle *i18n.Bundle
	// system are the desktop's languages, best first, as BCP 47.
	system []string
	// Phrase is what the person has chosen to know the agent's own windows by
	// (threat C-49): every question for a PIN shows it, and no page can. Empty for
	// none.
	Phrase string
}

// NewTexts reads the catalogues. getenv (os.Getenv outside tests) gives the
// desktop's language: LC_ALL, LC_MESSAGES, LANG as in POSIX.
func NewTexts(getenv func(string) string) (*Texts, error) {
	bundle := i18n.NewBundle(language.English)
	bundle.RegisterUnmarshalFunc("json", func(data []byte, v any) error { return json.Unmarshal(data, v) })
	files, err := catalogues.ReadDir("catalogues")
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if _, err := bundle.LoadMessageFileFS(catalogues, path.Join("catalogues", f.Name())); err != nil {
			return nil, fmt.Errorf("read catalogue: %w", err)
		}
	}
	t := &Texts{bundle: bundle}
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if tag := fromPOSIX(getenv(name)); tag != "" {
			t.system = append(t.system, tag)
		}
	}
	return t, nil
}

// fromPOSIX makes "nl-NL" of "nl_NL.UTF-8@euro".
func fromPOSIX(locale string) string {
	if i := strings.IndexAny(locale, ".@"); i >= 0 {
		locale = locale[:i]
	}
	if locale == "C" || locale == "POSIX" {
		return ""
	}
	return strings.ReplaceAll(locale, "_", "-")
}

// phrases are the texts in one language.
type phrases struct {
	localizer *i18n.Localizer
	personal  string
}

// in chooses the language: the request's, else the desktop's, else English. A
// locale that a page made up falls through.
func (t *Texts) in(locale string) phrases {
	wanted := t.system
	if _, err := language.Parse(locale); err == nil {
		wanted = append([]string{locale}, t.system...)
	}
	return phrases{localizer: i18n.NewLocalizer(t.bundle, wanted...), personal: t.Phrase}
}

// MarkTemplate is what a visible signature says when its signer chose no text, as
// package signing/appearance takes it.
func (t *Texts) MarkTemplate(locale string) string { return t.in(locale).say("mark_template", nil) }

// values fill the places of a text.
type values map[string]any

// say returns a text. A test proves that every catalogue has every text, so the
// identifier in its place is only for a mistake of ours.
func (p phrases) say(id string, v values) string {
	return p.localize(&i18n.LocalizeConfig{MessageID: id, TemplateData: v})
}

// recognised is the line by which a person knows that a question is the agent's.
func (p phrases) recognised() []string {
	if p.personal == "" {
		return nil
	}
	return []string{p.say("phrase", values{"Phrase": Quote(p.personal, maxPhrase)})}
}

// count returns the form of a text that fits n.
func (p phrases) count(id string, n int, v values) string {
	v["PluralCount"] = n
	return p.localize(&i18n.LocalizeConfig{MessageID: id, TemplateData: v, PluralCount: n})
}

func (p phrases) localize(c *i18n.LocalizeConfig) string {
	text, err := p.localizer.Localize(c)
	if err != nil {
		return c.MessageID
	}
	return text
}
