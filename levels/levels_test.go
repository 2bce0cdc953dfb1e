package levels_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/eidbridge/eidbridge/levels"
)

func scale() []levels.Level { return levels.Scale() }

func comparisons() []levels.Comparison {
	return []levels.Comparison{levels.Exact, levels.Minimum, levels.Better, levels.Maximum}
}

// The heart of the package: every row under every two ceilings, compared in
// every way with every one or two requested levels, never yields more than the
// row or any ceiling allows (broker.md 8.5 rule 1; O-60, X-86).
func TestNothingEverRaises(t *testing.T) {
	m := levels.Default()
	bounds := append(scale(), -1, 7, 15, 100)
	for _, scheme := range m.Schemes() {
		for _, row := range m.Rows(scheme) {
			for _, first := range bounds {
				for _, second := range bounds {
					a, err := m.Assess(scheme, row.Value, levels.Ceiling{Source: "upstream", Max: first}, levels.Ceiling{Source: "method", Max: second})
					if err != nil {
						t.Fatal(err)
					}
					if want := max(min(row.Level, first, second), levels.None); a.Level != want {
						t.Fatalf("%s under %d and %d is %d, want %d", row.Rule, first, second, a.Level, want)
					}
					if a.Notified && (!row.Notified || a.Level != row.Level) {
						t.Errorf("%s under %d and %d claims to be notified at %s", row.Rule, first, second, a.Level)
					}
					if lower := a.Lower(levels.Ceiling{Source: "session", Max: levels.Low}); lower.Level > a.Level {
						t.Errorf("%s: lowering raised %s to %s", row.Rule, a.Level, lower.Level)
					}
					checkAnswers(t, a.Level)
				}
			}
			for _, vocabulary := range m.Vocabularies() {
				checkTranslation(t, m, row.Level, vocabulary)
			}
		}
	}
}

// checkAnswers tries all requirements and comparisons against one level.
func checkAnswers(t *testing.T, actual levels.Level) {
	t.Helper()
	for _, one := range scale() {
		for _, two := range scale() {
			requested := []levels.Level{one, two}
			for _, comparison := range comparisons() {
				if levels.Satisfies(comparison, actual, requested) != wantSatisfied(comparison, actual, one, two) {
					t.Fatalf("%s %s %v: wrong verdict", actual, comparison, requested)
				}
			}
			for _, r := range []levels.Requirement{{Floor: one}, {Floor: one, Answers: []levels.Level{two}}, {Floor: levels.Low, Answers: requested}} {
				answer, ok := r.Answer(actual)
				if answer > actual || ok && (answer < r.Floor || answer == levels.None) {
					t.Fatalf("%+v answers %s to %s", r, answer, actual)
				}
				if ok && len(r.Answers) > 0 && !slices.Contains(r.Answers, answer) {
					t.Fatalf("%+v answers %s, which nobody asked for", r, answer)
				}
				if _, reachable := r.Answer(r.Least()); r.Least() <= levels.High && !reachable {
					t.Fatalf("%+v is not met by its own least level %s", r, r.Least())
				}
				if ok && actual < r.Least() {
					t.Fatalf("%+v is met by %s, less than its least %s", r, actual, r.Least())
				}
			}
		}
	}
}

// wantSatisfied is the definition of broker.md 8.5 rule 5, written out.
func wantSatisfied(c levels.Comparison, actual, one, two levels.Level) bool {
	if actual == levels.None {
		return false
	}
	switch c {
	case levels.Exact:
		return actual == one || actual == two
	case levels.Minimum:
		return actual >= one || actual >= two
	case levels.Better:
		return actual > one && actual > two
	case levels.Maximum:
		return actual <= one && actual <= two
	}
	return false
}

func checkTranslation(t *testing.T, m *levels.Mapping, l levels.Level, vocabulary string) {
	t.Helper()
	word, err := m.Translate(l, vocabulary)
	if err != nil {
		if !errors.Is(err, levels.ErrNoClass) {
			t.Fatal(err)
		}
		return
	}
	back, err := m.Understand(vocabulary, word)
	if err != nil || back > l {
		t.Errorf("%s in %s is %q, which means %s (%v)", l, vocabulary, word, back, err)
	}
}

func TestSatisfiesNothingWithoutARequest(t *testing.T) {
	for _, c := range append(comparisons(), "unheard of") {
		if levels.Satisfies(c, levels.High, nil) {
			t.Errorf("%s is satisfied by an empty request", c)
		}
	}
	if levels.Satisfies("unheard of", levels.High, scale()) {
		t.Error("an unknown comparison is satisfied")
	}
}

// The table of broker.md 8.3, row by row.
// The table of broker.md 8.4, both ways: each word means its level, and each level is
// said by the first word of its cell or, where the cell is empty, by the best word
// below it, or not at all. Words of Belgium and of the United States are left out:
// the reference does not confirm what they mean.
// Equal-looking labels of different countries are not comparable (broker.md 8.4).
func TestLevelsAreWrittenAndReadAlike(t *testing.T) {
	for _, l := range scale() {
		text, err := json.Marshal(l)
		var back levels.Level
		if err != nil || json.Unmarshal(text, &back) != nil || back != l {
			t.Errorf("%s became %s, then %s (%v)", l, text, back, err)
		}
		if parsed, err := levels.ParseURI(l.URI()); err != nil || parsed != l {
			t.Errorf("%s has URI %s, which reads as %s (%v)", l, l.URI(), parsed, err)
		}
	}
	half := levels.Level(15)
	if half.URI() != levels.Low.URI() || half.String() != "level(15)" {
		t.Errorf("a half-step is named %s, %s", half.URI(), half)
	}
	if _, err := half.MarshalText(); err == nil {
		t.Error("a half-step was written, though it cannot be read")
	}
	if levels.Level(-3).URI() != levels.None.URI() || levels.Level(99).URI() != levels.High.URI() {
		t.Error("levels off the scale have wrong URIs")
	}
	for _, wrong := range []string{"", "Low", "low ", "10", "http://eidas.europa.eu/LoA/low"} {
		if l, err := levels.Parse(wrong); !errors.Is(err, levels.ErrUnknownLevel) || l != levels.None {
			t.Errorf("%q reads as %s, %v", wrong, l, err)
		}
	}
	for _, word := range []string{"exact", "minimum", "better", "maximum"} {
		if c, err := levels.ParseComparison(word); err != nil || string(c) != word {
			t.Errorf("%s: %v", word, err)
		}
	}
	if _, err := levels.ParseComparison("Minimum"); err == nil {
		t.Error("a comparison in another case was read")
	}
}

// Every row of the table is checked above, with nothing left out, and has a source.
// NIST splits what a level of ours joins: the words of one question never answer
// the other (broker.md 8.4, note 1).
// Whatever is read as a URI is written as the same one.
func FuzzParseURI(f *testing.F) {
	for _, l := range levels.Scale() {
		f.Add(l.URI())
	}
	f.Add("http://eidas.europa.eu/LoA/NotNotified/high")
	f.Add("HTTP://EIDAS.EUROPA.EU/LOA/HIGH")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := levels.ParseURI(text)
		if err != nil {
			if l != levels.None {
				t.Errorf("%q is an error and still %s", text, l)
			}
			return
		}
		if l.URI() != text {
			t.Errorf("%q was read as %s, which is written %q", text, l, l.URI())
		}
	})
}

// No text that is not in a scheme's rows is ever worth anything.
