package forwardauth

import (
	"net/url"
	"testing"
)

// A visitor comes back to where they wanted to go, whether the proxy escapes that or not,
// and never to another site.
func TestTarget(t *testing.T) {
	for _, row := range []struct{ query, want string }{
		{"to=/x", "/x"},
		{"to=/search?q=a&page=2", "/search?q=a&page=2"},
		{"to=/a%20b?to=/c&d=%26", "/a%20b?to=/c&d=%26"},
		{"to=%2Fsearch%3Fq%3Da%26page%3D2", "/search?q=a&page=2"},
		{"to=%2Fa%2520b", "/a%20b"},
		{"lang=et&to=/x", "/x"},
		{"", "/"},
		{"to=", "/"},
		{"to=//evil.example/", "/"},
		{"to=%2F%2Fevil.example", "/"},
		{"to=/\\evil.example", "/"},
		{"to=/%5Cevil.example", "/%5Cevil.example"}, // a path of the site, whoever reads it
		{"to=https://evil.example/", "/"},
		{"to=/_eidbridge/start", "/"},
		{"to=/%zz", "/"},
	} {
		if got := target(&url.URL{RawQuery: row.query}); got != row.want {
			t.Errorf("%s: %s, want %s", row.query, got, row.want)
		}
	}
}
