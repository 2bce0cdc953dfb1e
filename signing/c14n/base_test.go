package c14n

import "testing"

// Canonical XML 1.1 appendix A.
func TestRemoveDotsEqualsAppendixA(t *testing.T) {
	for path, want := range map[string]string{
		"no/.././/pseudo-netpath/seg/file.ext":        "pseudo-netpath/seg/file.ext",
		"no/..//.///pseudo-netpath/seg/file.ext":      "pseudo-netpath/seg/file.ext",
		"yes/no//..//.///pseudo-netpath/seg/file.ext": "yes/pseudo-netpath/seg/file.ext",
		"no/../yes":                            "yes",
		"no/../yes/":                           "yes/",
		"no/../yes/no/..":                      "yes/",
		"../../no/../..":                       "../../../",
		"no/../..":                             "../",
		"no/..":                                "",
		"no/../":                               "",
		"/a/b/c/./../../g":                     "/a/g",
		"mid/content=5/../6":                   "mid/6",
		"../../..":                             "../../../",
		"no/../../":                            "../",
		"..yes/..no/..no/..no/../../../..yes":  "..yes/..yes",
		"..yes/..no/..no/..no/../../../..yes/": "..yes/..yes/",
		"../..":                                "../../",
		"../../../":                            "../../../",
		".":                                    "",
		"./":                                   "",
		"./.":                                  "",
		"//no/..":                              "/",
		"../../no/..":                          "../../",
		"../../no/../":                         "../../",
		"yes/no/../":                           "yes/",
		"yes/no/no/../..":                      "yes/",
		"yes/no/no/no/../../..":                "yes/",
		"yes/no/../yes/no/no/../..":            "yes/yes/",
		"yes/no/no/no/../../../yes":            "yes/yes",
		"yes/no/no/no/../../../yes/":           "yes/yes/",
		"/no/../":                              "/",
		"/yes/no/../":                          "/yes/",
		"/yes/no/no/../..":                     "/yes/",
		"/yes/no/no/no/../../..":               "/yes/",
		"../../..no/..":                        "../../",
		"../../..no/../":                       "../../",
		"..yes/..no/../":                       "..yes/",
		"..yes/..no/..no/../..":                "..yes/",
		"..yes/..no/..no/..no/../../..":        "..yes/",
		"..yes/..no/../..yes/..no/..no/../..":  "..yes/..yes/",
		"/..no/../":                            "/",
		"/..yes/..no/../":                      "/..yes/",
		"/..yes/..no/..no/../..":               "/..yes/",
		"/..yes/..no/..no/..no/../../..":       "/..yes/",
		"/":                                    "/",
		"/.":                                   "/",
		"/./":                                  "/",
		"/./.":                                 "/",
		"/././":                                "/",
		"/..":                                  "/",
		"/../..":                               "/",
		"/../../..":                            "/",
		"//..":                                 "/",
		"//..//..":                             "/",
		"//..//..//..":                         "/",
		"/./..":                                "/",
		"/./.././..":                           "/",
		"/./.././.././..":                      "/",
		"..":                                   "../",
		"../":                                  "../",
	} {
		if got := removeDots(path); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

func TestJoinReferences(t *testing.T) {
	for _, c := range []struct{ base, relative, want string }{
		// Canonical XML 1.1 section 2.4.
		{"abc/", "../", ""},
		{"../", "../", "../../"},
		{"..", "..", "../../"},
		{"..", "x", "../x"},
		{"..", "../x", "../../x"},
		// Section 3.8.
		{"something/else", "bar/foo", "something/bar/foo"},
		{"http://www.example.com/something/else", "../bar/", "http://www.example.com/bar/"},
		// RFC 3986 section 5.4.1.
		{"http://a/b/c/d;p?q", "g:h", "g:h"},
		{"http://a/b/c/d;p?q", "g", "http://a/b/c/g"},
		{"http://a/b/c/d;p?q", "./g", "http://a/b/c/g"},
		{"http://a/b/c/d;p?q", "g/", "http://a/b/c/g/"},
		{"http://a/b/c/d;p?q", "/g", "http://a/g"},
		{"http://a/b/c/d;p?q", "//g", "http://g"},
		{"http://a/b/c/d;p?q", "?y", "http://a/b/c/d;p?y"},
		{"http://a/b/c/d;p?q", "g?y", "http://a/b/c/g?y"},
		{"http://a/b/c/d;p?q", "", "http://a/b/c/d;p?q"},
		{"http://a/b/c/d;p?q", "../../../g", "http://a/g"},
		{"http://a", "g", "http://a/g"},
		// The fragment is dropped.
		{"a/", "b#c", "a/b"},
		{"a/b", "#c", "a/b"},
	} {
		if got := joinReferences(c.base, c.relative); got != c.want {
			t.Errorf("%q and %q: got %q, want %q", c.base, c.relative, got, c.want)
		}
	}
}
