package smartid_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"testing"
)

// jar is a browser that follows no redirection.
type jar struct {
	t      *testing.T
	client *http.Client
}

type page struct{ body, location string }

func newJar(t *testing.T) *jar {
	cookies, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &jar{t, &http.Client{Jar: cookies, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func (j *jar) read(response *http.Response, err error) page {
	j.t.Helper()
	if err != nil {
		j.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		j.t.Fatal(err)
	}
	return page{string(body), response.Header.Get("Location")}
}

func (j *jar) get(target string) page { return j.read(j.client.Get(target)) }

func (j *jar) post(target string, form url.Values) page {
	return j.read(j.client.PostForm(target, form))
}

var csrf = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

func (p page) token(t *testing.T) string {
	t.Helper()
	found := csrf.FindStringSubmatch(p.body)
	if found == nil {
		t.Fatalf("no form in %s", p.body)
	}
	return found[1]
}
