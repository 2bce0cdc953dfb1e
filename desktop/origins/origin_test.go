package origins_test

import (
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/desktop/origins"
)

func mustParse(t testing.TB, s string) origins.Origin {
	t.Helper()
	o, err := origins.Parse(s)
	if err != nil {
		t.Fatalf("Parse(%q): %v", s, err)
	}
	return o
}

func TestParseTakesWhatBrowsersWrite(t *testing.T) {
	for _, s := range []string{
		"https://bank.es", "https://bank.es:8443", "https://xn--espaa-rta.es", "http://localhost:8180",
		"http://127.0.0.1:8180", "http://[::1]:8180", "https://10.0.0.1", "https://a_b.example.com", "http://localhost",
	} {
		if got := mustParse(t, s).String(); got != s {
			t.Errorf("Parse(%q).String() = %q", s, got)
		}
	}
}

// L-05: nothing that only looks like an origin, or like another one.
func TestParseRefusesTricks(t *testing.T) {
	for _, s := range []string{
		"", "null", "file://", "file:///etc/passwd", "chrome-extension://abcdef", "moz-extension://abcdef",
		"ws://bank.es", "https://BANK.es", "HTTPS://bank.es", "https://bank.es/", "https://bank.es:443",
		"http://bank.es:80", "https://bank.es.", "https://bank.es:0443", "https://bank.es:", "https://bank.es:0",
		"https://bank.es:65536", "https://bank.es:-1", "https://user@bank.es", "https://bank.es/path", "https://bank.es?x",
		"https://bank.es?", "https://bank.es#x", "https://españa.es", "https://bank..es", "https://-bank.es",
		"https://bank%2ees", "https://bank es", " https://bank.es", "https://bank.es https://evil.es", "https:bank.es",
		"https:///bank.es", "https://2130706433", "https://127.1", "https://0x7f.1", "https://[::ffff:127.0.0.1]",
		"https://[0:0:0:0:0:0:0:1]", "https://[fe80::1%25eth0]", "https://" + strings.Repeat("a", 64) + ".es",
		"https://" + strings.Repeat("a.", 200) + "es", "https://bank.es\x00", "https://bank.es\n", "javascript:alert(1)",
	} {
		if o, err := origins.Parse(s); err == nil {
			t.Errorf("Parse(%q) = %v", s, o)
		}
	}
}

func TestOriginsAreExactTuples(t *testing.T) {
	bank := mustParse(t, "https://bank.es")
	for _, s := range []string{"https://bank.es.evil.com", "https://sub.bank.es", "https://bank.es:444", "http://bank.es", "https://evilbank.es"} {
		if mustParse(t, s) == bank {
			t.Errorf("%s is taken for %s", s, bank)
		}
	}
	if mustParse(t, "https://bank.es") != bank {
		t.Error("an origin differs from itself")
	}
}

func TestParseSettingRepairsWhatPeopleType(t *testing.T) {
	for in, want := range map[string]string{
		"https://Bank.es/": "https://bank.es", " http://localhost:8180 ": "http://localhost:8180", "https://bank.es:443": "https://bank.es",
	} {
		o, err := origins.ParseSetting(in)
		if err != nil || o.String() != want {
			t.Errorf("ParseSetting(%q) = %v, %v; want %s", in, o, err, want)
		}
	}
	if _, err := origins.ParseSetting("https://bank.es/path"); err == nil {
		t.Error("a path is taken")
	}
}

func TestRulesTakeHTTPSAndExactDeveloperOrigins(t *testing.T) {
	rules := origins.Rules{Developer: []origins.Origin{mustParse(t, "http://localhost:8180")}}
	for s, want := range map[string]bool{
		"https://bank.es": true, "http://bank.es": false, "http://localhost:8180": true, "http://localhost:8181": false,
		"http://127.0.0.1:8180": false,
	} {
		if got := rules.Acceptable(mustParse(t, s)); got != want {
			t.Errorf("Acceptable(%s) = %v", s, got)
		}
	}
	if rules.Acceptable(origins.Origin{}) {
		t.Error("no origin is acceptable")
	}
}

func FuzzOriginMatch(f *testing.F) {
	for _, s := range []string{"https://bank.es", "https://bank.es:8443", "null", "http://[::1]:80", "https://user@bank.es"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		o, err := origins.Parse(s)
		if err != nil {
			return
		}
		if o.String() != s {
			t.Fatalf("Parse(%q) is %q", s, o)
		}
		again, err := origins.Parse(o.String())
		if err != nil || again != o {
			t.Fatalf("Parse(%q) again is %v, %v", s, again, err)
		}
	})
}
