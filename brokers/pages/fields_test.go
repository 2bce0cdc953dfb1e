package pages_test

import (
	"bytes"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/pages"
)

// W-31: every field that people fill in tells password managers and browsers what it
// is, and no script keeps anybody from pasting.
func TestFieldsSayWhatTheyAre(t *testing.T) {
	p, err := pages.New("")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	questions := &brokers.Questions{Topic: "mobile_id", Fields: []brokers.Field{
		{Name: "personal_code", Numeric: true, MaxLength: 11}, {Name: "phone_number", Telephone: true, MaxLength: 16},
	}}
	for _, err := range []error{
		p.Dialog(&out, pages.Dialog{Language: "en", Topic: "mobile_id", Questions: questions}),
		p.UserCode(&out, pages.UserCode{Language: "en"}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{"personal_code": "off", "phone_number": "tel", "user_code": "one-time-code"}
	seen := []string{}
	for _, input := range regexp.MustCompile(`<input [^>]*>`).FindAllString(out.String(), -1) {
		if strings.Contains(input, `type="hidden"`) {
			continue
		}
		name := regexp.MustCompile(` name="([^"]*)"`).FindStringSubmatch(input)
		if name == nil || !strings.Contains(input, ` autocomplete="`+want[name[1]]+`"`) || strings.Contains(input, "onpaste") {
			t.Errorf("W-31 %s", input)
			continue
		}
		seen = append(seen, name[1])
	}
	slices.Sort(seen)
	if !slices.Equal(seen, []string{"personal_code", "phone_number", "user_code"}) {
		t.Errorf("fields: %v", seen)
	}
	scripts, err := fs.Glob(os.DirFS("assets"), "*.js")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("scripts: %v %v", scripts, err)
	}
	for _, name := range scripts {
		text, err := os.ReadFile("assets/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "paste") || strings.Contains(string(text), "contextmenu") {
			t.Errorf("W-31 %s looks at pasting", name)
		}
	}
}
