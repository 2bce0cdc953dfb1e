package levels_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/levels"
)

// reference is what the schemes' documents say of each of their classes.
type reference struct {
	scheme, value string
	level         levels.Level
	notified      bool
	journal       string
}

const saml, eidas = "urn:oasis:names:tc:SAML:2.0:ac:classes:", "http://eidas.europa.eu/LoA/"

func references() []reference {
	return []reference{
		{"digid", saml + "PasswordProtectedTransport", levels.BelowLow, false, ""},
		{"digid", saml + "MobileTwoFactorContract", levels.Low, false, ""},
		{"digid", saml + "Smartcard", levels.Substantial, true, "OJ 2020/C 276/02"},
		{"digid", saml + "SmartcardPKI", levels.High, true, "OJ 2020/C 276/02"},
		{"digid4", "http://eID.logius.nl/LoA/basic", levels.BelowLow, false, ""},
		{"digid4", "http://eid.logius.nl/LoA/basic", levels.BelowLow, false, ""},
		{"digid4", eidas + "low", levels.Low, false, ""},
		{"digid4", eidas + "substantial", levels.Substantial, true, "OJ 2020/C 276/02"},
		{"digid4", eidas + "high", levels.High, true, "OJ 2020/C 276/02"},
		{"clave", eidas + "low", levels.Low, false, ""},
		{"clave", eidas + "substantial", levels.Substantial, false, ""},
		{"clave", eidas + "high", levels.High, false, ""},
		{"eidas", eidas + "low", levels.Low, true, ""},
		{"eidas", eidas + "substantial", levels.Substantial, true, ""},
		{"eidas", eidas + "high", levels.High, true, ""},
		{"eidas", eidas + "NotNotified/low", levels.None, false, ""},
		{"eidas", eidas + "NotNotified/substantial", levels.None, false, ""},
		{"eidas", eidas + "NotNotified/high", levels.None, false, ""},
		{"tara", "low", levels.Low, false, ""},
		{"tara", "substantial", levels.Substantial, false, ""},
		{"tara", "high", levels.High, false, ""},
		{"ee-card", "idcard", levels.High, true, "OJ 2018/C 401/08"},
		{"es-card", "dnie", levels.High, true, "OJ 2018/C 401/08"},
		{"es-card", "fnmt", levels.Substantial, false, ""},
		{"card", "other", levels.Substantial, false, ""},
		{"franceconnect", "eidas1", levels.Low, false, ""},
		{"franceconnect", "eidas2", levels.Substantial, false, ""},
		{"franceconnect", "eidas3", levels.High, false, ""},
		{"spid", "https://www.spid.gov.it/SpidL1", levels.Low, true, ""},
		{"spid", "https://www.spid.gov.it/SpidL2", levels.Substantial, true, ""},
		{"spid", "https://www.spid.gov.it/SpidL3", levels.High, true, ""},
		{"cie", "https://www.spid.gov.it/SpidL3", levels.High, true, ""},
		{"eherkenning", "urn:etoegang:core:assurance-class:loa1", levels.BelowLow, false, ""},
		{"eherkenning", "urn:etoegang:core:assurance-class:loa2", levels.Low, false, ""},
		{"eherkenning", "urn:etoegang:core:assurance-class:loa2plus", levels.Low, false, ""},
		{"eherkenning", "urn:etoegang:core:assurance-class:loa3", levels.Substantial, true, ""},
		{"eherkenning", "urn:etoegang:core:assurance-class:loa4", levels.High, true, ""},
		{"mobile-id", "mobile-id", levels.High, true, "OJ 2018/C 401/08"},
		{"smart-id", "QUALIFIED", levels.High, false, ""},
		{"smart-id", "ADVANCED", levels.Low, false, ""},
	}
}

func TestMappingIsTheReferenceTable(t *testing.T) {
	m := levels.Default()
	covered := map[string]bool{}
	for _, c := range references() {
		a, err := m.Assess(c.scheme, c.value)
		if err != nil {
			t.Errorf("%s %s: %v", c.scheme, c.value, err)
			continue
		}
		if a.Level != c.level || a.Notified != c.notified || a.OfficialJournal != c.journal {
			t.Errorf("%s %s: got %s, notified %t %q", c.scheme, c.value, a.Level, a.Notified, a.OfficialJournal)
		}
		covered[c.scheme+" "+c.value] = true
		if a.Scheme != c.scheme || a.Value != c.value || a.Rule == "" || a.PolicyVersion != m.Version() {
			t.Errorf("receipt is incomplete: %+v", a)
		}
	}
	for _, scheme := range m.Schemes() {
		for _, row := range m.Rows(scheme) {
			if !covered[scheme+" "+row.Value] {
				t.Errorf("%s %s is not in the reference table", scheme, row.Value)
			}
		}
	}
	if a, _ := m.Assess("digid", saml+"MobileTwoFactorContract"); !slices.Equal(a.AMR, []string{"mfa"}) {
		t.Errorf("DigiD Midden has amr %v; whether app or text message is not known", a.AMR)
	}
}

func TestAssessRefusesUnknownClasses(t *testing.T) {
	m := levels.Default()
	for _, c := range []struct{ scheme, value string }{
		{"digid", ""},
		{"digid", "urn:oasis:names:tc:SAML:2.0:ac:classes:Password"},
		{"digid", "urn:oasis:names:tc:SAML:2.0:ac:classes:smartcardpki"},
		{"digid", "urn:oasis:names:tc:SAML:2.0:ac:classes:SmartcardPKI "},
		{"digid4", "http://eIDAS.europa.eu/LoA/high"},
		{"digid4", "http://e\u0130d.logius.nl/LoA/basic"},
		{"eidas", "http://eidas.europa.eu/LoA/High"},
		{"eidas", "http://eidas.europa.eu/LoA/"},
		{"eidas", "http://eidas.europa.eu/LoA/high/"},
		{"eidas", "http://eidas.europa.eu/loa/notnotified/high"},
		{"clave", "http://eidas.europa.eu/LoA/NotNotified/high"},
		{"tara", "HIGH"},
	} {
		_, err := m.Assess(c.scheme, c.value)
		var unknown *levels.UnknownClassError
		if !errors.As(err, &unknown) || unknown.Scheme != c.scheme || unknown.Value != c.value {
			t.Errorf("%s %q: got %v, want an UnknownClassError", c.scheme, c.value, err)
		}
	}
	if _, err := m.Assess("nobody", "x"); !errors.Is(err, levels.ErrUnknownScheme) {
		t.Errorf("got %v, want %v", err, levels.ErrUnknownScheme)
	}
	_, err := m.Assess("tara", strings.Repeat("x", 1000)+"\n")
	if len(err.Error()) > 300 || strings.Contains(err.Error(), "\n") {
		t.Errorf("an attacker's value fills the error: %q", err)
	}
}

func TestClassIsTheSmallestThatSuffices(t *testing.T) {
	m := levels.Default()
	for _, c := range []struct {
		scheme string
		least  levels.Level
		rule   string
	}{
		{"digid", levels.None, "digid.basis"},
		{"digid", levels.BelowLow, "digid.basis"},
		{"digid", levels.Low, "digid.midden"},
		{"digid", 15, "digid.substantieel"},
		{"digid", levels.High, "digid.hoog"},
		{"clave", levels.BelowLow, "clave.bajo"},
		{"eidas", levels.None, "eidas.low"},
		{"smart-id", levels.Substantial, "smart-id.qualified"},
	} {
		value, rule, err := m.Class(c.scheme, c.least)
		if err != nil || rule != c.rule {
			t.Errorf("%s at least %s: got %s, %v; want %s", c.scheme, c.least, rule, err, c.rule)
		}
		if a, err := m.Assess(c.scheme, value); err != nil || a.Level < c.least {
			t.Errorf("%s: the class asked for gives %s", c.scheme, a.Level)
		}
	}
	if _, _, err := m.Class("digid", levels.High+1); !errors.Is(err, levels.ErrNoClass) {
		t.Errorf("got %v, want %v", err, levels.ErrNoClass)
	}
	if _, _, err := m.Class("nobody", levels.Low); !errors.Is(err, levels.ErrUnknownScheme) {
		t.Errorf("got %v, want %v", err, levels.ErrUnknownScheme)
	}
}

func TestVocabulariesAreTheReferenceTable(t *testing.T) {
	m := levels.Default()
	of := func(prefix string, words ...string) [][]string {
		cells := make([][]string, len(words))
		for i, w := range words {
			for _, word := range strings.Fields(w) {
				cells[i] = append(cells[i], prefix+word)
			}
		}
		return cells
	}
	const saml = "urn:oasis:names:tc:SAML:2.0:ac:classes:"
	table := map[string][][]string{ // below low, low, substantial, high
		"eidas":         of("http://eidas.europa.eu/LoA/", "", "low", "substantial", "high"),
		"broker":        {{"urn:broker:loa:basic"}, {"http://eidas.europa.eu/LoA/low"}, {"http://eidas.europa.eu/LoA/substantial"}, {"http://eidas.europa.eu/LoA/high"}},
		"words":         of("", "basic", "low", "substantial", "high"),
		"tara":          of("", "", "low", "substantial", "high"),
		"franceconnect": of("", "", "eidas1", "eidas2", "eidas3"),
		"spid":          of("https://www.spid.gov.it/Spid", "", "L1", "L2", "L3"),
		"digid":         of(saml, "PasswordProtectedTransport", "MobileTwoFactorContract", "Smartcard", "SmartcardPKI"),
		"eherkenning":   of("urn:etoegang:core:assurance-class:", "loa1", "loa2 loa2plus", "loa3", "loa4"),
		"iso29115":      of("LoA", "1", "2", "3", "4"),
		"stork":         of("", "1", "2", "3", "4"),
		"bundid":        of("STORK-QAA-Level-", "", "1", "3", "4"),
		"idporten":      of("", "", "", "idporten-loa-substantial Level3", "idporten-loa-high Level4"),
		"ftn":           of("http://ftn.ficora.fi/2017/", "", "", "loa2", "loa3"),
		"sweden":        of("http://id.elegnamnden.se/loa/1.0/", "loa1", "loa2", "loa3", "loa4"),
		"nist-ial":      of("IAL", "1", "", "2", "3"),
		"nist-aal":      of("AAL", "1", "", "2", "3"),
	}
	if got := m.Vocabularies(); len(got) != len(table) {
		t.Errorf("vocabularies are %v", got)
	}
	for vocabulary, cells := range table {
		words, said := 0, ""
		for i, level := range []levels.Level{levels.BelowLow, levels.Low, levels.Substantial, levels.High} {
			for _, word := range cells[i] {
				words++
				if l, err := m.Understand(vocabulary, word); err != nil || l != level {
					t.Errorf("%s %s means %s (%v), want %s", vocabulary, word, l, err, level)
				}
			}
			if len(cells[i]) > 0 {
				said = cells[i][0]
			}
			if word, err := m.Translate(level, vocabulary); word != said || (said == "") != errors.Is(err, levels.ErrNoClass) {
				t.Errorf("%s in %s is %q (%v), want %q", level, vocabulary, word, err, said)
			}
		}
		if n := len(m.Words(vocabulary)); n != words {
			t.Errorf("%s has %d words, want %d", vocabulary, n, words)
		}
	}
}

func TestTranslateGoesByVocabularyNotByNumber(t *testing.T) {
	m := levels.Default()
	for _, c := range []struct {
		vocabulary, word string
		level            levels.Level
	}{
		{"bundid", "STORK-QAA-Level-1", levels.Low},
		{"stork", "1", levels.BelowLow},
		{"spid", "https://www.spid.gov.it/SpidL2", levels.Substantial},
		{"franceconnect", "eidas2", levels.Substantial},
		{"iso29115", "LoA2", levels.Low},
		{"ftn", "http://ftn.ficora.fi/2017/loa2", levels.Substantial},
		{"sweden", "http://id.elegnamnden.se/loa/1.0/loa2", levels.Low},
		{"idporten", "Level4", levels.High},
		{"eherkenning", "urn:etoegang:core:assurance-class:loa2plus", levels.Low},
		{"broker", "urn:broker:loa:basic", levels.BelowLow},
		{"words", "basic", levels.BelowLow},
		{"nist-ial", "IAL2", levels.Substantial},
		{"nist-aal", "AAL3", levels.High},
	} {
		if l, err := m.Understand(c.vocabulary, c.word); err != nil || l != c.level {
			t.Errorf("%s %s means %s (%v), want %s", c.vocabulary, c.word, l, err, c.level)
		}
	}
	for _, c := range []struct {
		vocabulary string
		level      levels.Level
		word       string
	}{
		{"ftn", levels.Low, ""}, // cannot be said
		{"eidas", levels.BelowLow, ""},
		{"eidas", levels.None, ""},
		{"words", levels.None, ""},
		{"eherkenning", levels.Low, "urn:etoegang:core:assurance-class:loa2"},
		{"tara", 25, "substantial"},
		{"nist-ial", levels.Low, "IAL1"},
	} {
		if word, err := m.Translate(c.level, c.vocabulary); word != c.word || (c.word == "") != errors.Is(err, levels.ErrNoClass) {
			t.Errorf("%s in %s is %q (%v), want %q", c.level, c.vocabulary, word, err, c.word)
		}
	}
	if _, err := m.Translate(levels.Low, "klingon"); !errors.Is(err, levels.ErrUnknownScheme) {
		t.Errorf("got %v", err)
	}
	if _, err := m.Understand("klingon", "x"); !errors.Is(err, levels.ErrUnknownScheme) {
		t.Errorf("got %v", err)
	}
	var unknown *levels.UnknownClassError
	if _, err := m.Understand("words", "LOW"); !errors.As(err, &unknown) {
		t.Errorf("got %v", err)
	}
}

func TestLoadRefusesAmbiguousMappings(t *testing.T) {
	const row = `{"rule":"r","value":"v","level":"low","notified":false,"source":"s"}`
	scheme := func(rows string) string {
		return `{"version":"1","schemes":[{"id":"x","name":"X","rows":[` + rows + `]}],"vocabularies":[]}`
	}
	for name, text := range map[string]string{
		"no version":             `{"schemes":[],"vocabularies":[]}`,
		"unknown member":         `{"version":"1","schemes":[],"vocabularies":[],"extra":1}`,
		"text after the end":     `{"version":"1","schemes":[],"vocabularies":[]} {}`,
		"not JSON":               `version: 1`,
		"unknown level":          scheme(strings.Replace(row, "low", "lower", 1)),
		"row without source":     scheme(strings.Replace(row, `"s"`, `""`, 1)),
		"row without value":      scheme(strings.Replace(row, `"v"`, `""`, 1)),
		"value twice":            scheme(row + "," + strings.Replace(row, `"r"`, `"q"`, 1)),
		"rule twice":             scheme(row + "," + strings.Replace(row, `"v"`, `"w"`, 1)),
		"value twice by folding": scheme(strings.Replace(row, `"v"`, `"V","fold":true`, 1) + "," + strings.Replace(row, `"r"`, `"q"`, 1)),
		"notified below low":     scheme(strings.Replace(strings.Replace(row, "low", "basic", 1), "false", "true", 1)),
		"worth more than claim":  scheme(strings.Replace(row, `"low"`, `"high","claimed":"low"`, 1)),
		"scheme twice":           `{"version":"1","schemes":[{"id":"x","rows":[` + row + `]},{"id":"x","rows":[]}],"vocabularies":[]}`,
		"unnamed scheme":         `{"version":"1","schemes":[{"id":"","rows":[]}],"vocabularies":[]}`,
		"word twice":             `{"version":"1","schemes":[],"vocabularies":[{"id":"v","source":"s","words":[{"value":"a","level":"low"},{"value":"a","level":"high"}]}]}`,
		"vocabulary sourceless":  `{"version":"1","schemes":[],"vocabularies":[{"id":"v","words":[]}]}`,
		"one over the bound":     strings.Repeat(" ", 1<<20+1),
	} {
		if _, err := levels.Load([]byte(text)); err == nil {
			t.Errorf("%s: loaded", name)
		}
	}
	if _, err := levels.Load([]byte(scheme(row))); err != nil {
		t.Errorf("a good mapping: %v", err)
	}
}

func TestEveryRowHasASource(t *testing.T) {
	m := levels.Default()
	for _, scheme := range m.Schemes() {
		for _, row := range m.Rows(scheme) {
			if len(row.Source) < 10 {
				t.Errorf("%s has source %q", row.Rule, row.Source)
			}
		}
	}
}

func TestNISTVocabulariesDoNotMix(t *testing.T) {
	m := levels.Default()
	for _, word := range m.Words("nist-ial") {
		if _, err := m.Understand("nist-aal", word.Value); err == nil {
			t.Errorf("%s answers a question about authenticators", word.Value)
		}
	}
}

func TestWithAddsOneScheme(t *testing.T) {
	m := levels.Default()
	own := levels.Row{Rule: "own.gold", Value: "gold", Level: levels.Substantial, Source: "operator's configuration"}
	with, err := m.With("own", []levels.Row{own})
	if err != nil {
		t.Fatal(err)
	}
	if a, err := with.Assess("own", "gold"); err != nil || a.Level != levels.Substantial {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := with.Assess("tara", "high"); err != nil || a.Level != levels.High {
		t.Errorf("the others: %+v, %v", a, err)
	}
	if _, err := m.Assess("own", "gold"); !errors.Is(err, levels.ErrUnknownScheme) {
		t.Errorf("the mapping itself has changed: %v", err)
	}
	notified := own
	notified.Notified = true
	for name, wrong := range map[string]func() (*levels.Mapping, error){
		"scheme that is there":     func() (*levels.Mapping, error) { return m.With("tara", []levels.Row{own}) },
		"no rows":                  func() (*levels.Mapping, error) { return m.With("own", nil) },
		"value twice":              func() (*levels.Mapping, error) { return m.With("own", []levels.Row{own, own}) },
		"no source":                func() (*levels.Mapping, error) { return m.With("own", []levels.Row{{Rule: "r", Value: "v"}}) },
		"notified by the operator": func() (*levels.Mapping, error) { return m.With("own", []levels.Row{notified}) },
	} {
		if _, err := wrong(); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestMappingCannotBeChangedFromOutside(t *testing.T) {
	m := levels.Default()
	m.Rows("digid")[0].Level = levels.High
	m.Words("words")[0].Level = levels.High
	a, err := m.Assess("digid", m.Rows("digid")[0].Value)
	if err != nil || a.Level != levels.BelowLow || m.Words("words")[0].Level != levels.BelowLow {
		t.Error("a copy changed the mapping")
	}
	a.AMR[0] = "changed"
	if b, _ := m.Assess("digid", a.Value); b.AMR[0] != "pwd" {
		t.Error("a receipt changed the mapping")
	}
}

func FuzzAssess(f *testing.F) {
	m := levels.Default()
	for _, scheme := range m.Schemes() {
		for _, row := range m.Rows(scheme) {
			f.Add(scheme, row.Value)
		}
	}
	f.Fuzz(func(t *testing.T, scheme, value string) {
		a, err := m.Assess(scheme, value)
		if err != nil {
			if a.Level != levels.None {
				t.Errorf("an error came with level %s", a.Level)
			}
			return
		}
		for _, row := range m.Rows(scheme) {
			if strings.EqualFold(row.Value, value) && row.Rule == a.Rule && a.Level <= row.Level {
				return
			}
		}
		t.Errorf("%s %q was worth %s by %s", scheme, value, a.Level, a.Rule)
	})
}
