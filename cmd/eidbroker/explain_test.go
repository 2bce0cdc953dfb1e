package main

import (
	"path/filepath"
	"strings"
	"testing"
)

const explained = brokenClient + `scopes = ["name", "national_id"]

[[oidc]]
id = "pass"
kind = "generic"
issuer = "https://pass.example"
client_id = "broker"
secret_file = "secret"
country = "XX"
subject_scheme = "xx-pass"
names = { en = "Pass" }
levels = { "urn:gold" = "high" }

[[policy]]
name = "numbers-need-high"
when = '"national_id" in scopes'
min_level = "high"

[[policy]]
name = "night"
when = 'now.getHours("Europe/Madrid") < 6'
deny = "closed"

[[policy]]
name = "trial"
when = 'level >= substantial && country != "ES"'
deny = "foreign"
dry_run = true

[[policy]]
name = "abroad"
when = 'level > low && country == "FR"'
deny = "not_yet"
`

// The rules are told for a login that has not happened.
func TestExplain(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "c.toml")
	write(t, path, explained)
	write(t, filepath.Join(dir, "secret"), "of pass")
	day, night := "2026-11-28T12:00:00Z", "2026-11-28T03:00:00Z"
	for name, c := range map[string]struct {
		args []string
		code int
		want []string
	}{
		"by day":       {[]string{"--client", "a", "--at", day}, 0, []string{"has to reach low", "pass", "offered, up to high"}},
		"by night":     {[]string{"--client", "a", "--at", night}, 0, []string{"rule night applies to the request: deny closed", "told access_denied: rule night: closed"}},
		"with numbers": {[]string{"--client", "a", "--at", day, "--scope", "national_id", "--method", "pass", "--level", "substantial"}, 0, []string{"rule numbers-need-high applies to the request: at least high", "has to reach high", "rule trial applies to the login: deny foreign (dry run: only told)", "substantial is not enough"}},
		"reached":      {[]string{"--client", "a", "--at", day, "--scope", "national_id", "--method", "pass"}, 0, []string{"the portal gets a code, at level high"}},
		"abroad":       {[]string{"--client", "a", "--at", day, "--method", "pass", "--country", "FR"}, 0, []string{"refused by rule abroad: not_yet"}},
		"no such acr":  {[]string{"--client", "a", "--at", day, "--acr", "urn:x", "--essential"}, 0, []string{"unmet_authentication_requirements"}},
		"no scope":     {[]string{"--client", "a", "--scope", "email"}, 0, []string{"invalid_scope"}},
		"no client":    {[]string{"--client", "b"}, 1, []string{"there is no client \"b\""}},
		"no level":     {[]string{"--client", "a", "--level", "top"}, 1, []string{"top"}},
		"no method":    {[]string{"--client", "a", "--at", day, "--method", "other"}, 0, []string{"there is no method other"}},
	} {
		code, out, errs := call(t, append([]string{"explain", "--config", path}, c.args...)...)
		if code != c.code {
			t.Errorf("%s: exit %d, %s", name, code, errs)
		}
		for _, want := range c.want {
			if !strings.Contains(out+errs, want) {
				t.Errorf("%s: no %q in\n%s%s", name, want, out, errs)
			}
		}
	}
}
