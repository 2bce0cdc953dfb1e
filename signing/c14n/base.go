package c14n

import "strings"

// reference is a URI reference in parts, RFC 3986 section 3. The fragment is
// left out: joinReferences drops it.
type reference struct {
	scheme, authority, path, query string
	hasScheme, hasAuthority        bool
	hasQuery                       bool
}

// parseReference splits a reference as RFC 3986 appendix B does. It refuses
// nothing: xml:base values are whatever the document says.
func parseReference(s string) reference {
	var r reference
	s, _, _ = strings.Cut(s, "#")
	s, r.query, r.hasQuery = strings.Cut(s, "?")
	if colon := strings.IndexByte(s, ':'); colon > 0 && !strings.Contains(s[:colon], "/") {
		r.scheme, r.hasScheme, s = s[:colon], true, s[colon+1:]
	}
	if rest, ok := strings.CutPrefix(s, "//"); ok {
		r.hasAuthority = true
		if slash := strings.IndexByte(rest, '/'); slash >= 0 {
			r.authority, s = rest[:slash], rest[slash:]
		} else {
			r.authority, s = rest, ""
		}
	}
	r.path = s
	return r
}

func (r reference) String() string {
	var b strings.Builder
	if r.hasScheme {
		b.WriteString(r.scheme + ":")
	}
	if r.hasAuthority {
		b.WriteString("//" + r.authority)
	}
	b.WriteString(r.path)
	if r.hasQuery {
		b.WriteString("?" + r.query)
	}
	return b.String()
}

// joinReferences is the function join-URI-References of Canonical XML 1.1
// section 2.4: resolution by RFC 3986 section 5.2 in which the base may itself
// be relative, a base path that ends in ".." means the folder "../", the
// fragment is dropped, and dot segments are removed by removeDots.
func joinReferences(base, relative string) string {
	b, r := parseReference(base), parseReference(relative)
	if b.path == ".." || strings.HasSuffix(b.path, "/..") {
		b.path += "/"
	}
	switch {
	case r.hasScheme:
		r.path = removeDots(r.path)
		return r.String()
	case r.hasAuthority:
		r.path = removeDots(r.path)
	case r.path == "":
		r.path = b.path
		if !r.hasQuery {
			r.query, r.hasQuery = b.query, b.hasQuery
		}
		r.authority, r.hasAuthority = b.authority, b.hasAuthority
	default:
		if !strings.HasPrefix(r.path, "/") {
			folder := b.path[:strings.LastIndexByte(b.path, '/')+1]
			if b.hasAuthority && b.path == "" {
				folder = "/"
			}
			r.path = folder + r.path
		}
		r.path = removeDots(r.path)
		r.authority, r.hasAuthority = b.authority, b.hasAuthority
	}
	r.scheme, r.hasScheme = b.scheme, b.hasScheme
	return r.String()
}

// removeDots removes dot segments as RFC 3986 section 5.2.4 does, but keeps
// the ".." with which a relative path begins, makes one slash of several, and
// ends a path that ended in a dot segment with a slash (Canonical XML 1.1
// section 2.4 and appendix A).
func removeDots(path string) string {
	var kept []string
	absolute := strings.HasPrefix(path, "/")
	folder := false
	for segment := range strings.SplitSeq(path, "/") {
		folder = true
		switch segment {
		case "", ".":
		case "..":
			if n := len(kept); n > 0 && kept[n-1] != ".." {
				kept = kept[:n-1]
			} else if !absolute {
				kept = append(kept, segment)
			}
		default:
			kept = append(kept, segment)
			folder = false
		}
	}
	out := strings.Join(kept, "/")
	if absolute {
		out = "/" + out
	}
	if folder && len(kept) > 0 {
		out += "/"
	}
	return out
}
