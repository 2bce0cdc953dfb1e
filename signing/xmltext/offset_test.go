package xmltext_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// checkOffsets reads a source to its end or first error and checks that the
// tokens follow each other without gaps, look like what they are, and, if there
// was no error, cover the source.
func checkOffsets(t *testing.T, source []byte, o xmltext.Options) error {
	t.Helper()
	r := xmltext.NewReader(bytes.NewReader(source), o)
	end, depth := int64(0), 0
	for {
		token, err := r.Next()
		if errors.Is(err, io.EOF) {
			if end != int64(len(source)) || depth != 0 {
				t.Errorf("tokens end at %d of %d, depth %d", end, len(source), depth)
			}
			return nil
		}
		if err != nil {
			var e *xmltext.Error
			if !errors.As(err, &e) || e.Offset < end || e.Offset > int64(len(source)) {
				t.Errorf("after %d: error %v", end, err)
			}
			return err
		}
		if token.Start != end || token.End < token.Start {
			t.Fatalf("%v from %d to %d after %d", token.Kind, token.Start, token.End, end)
		}
		end = token.End
		switch token.Kind {
		case xmltext.StartElement:
			depth++
		case xmltext.EndElement:
			depth--
		}
		if !utf8.Valid(token.Data) {
			t.Fatalf("%v at %d: data is not UTF-8: %q", token.Kind, token.Start, token.Data)
		}
		if r.Encoding() == "UTF-8" {
			checkBytes(t, token, source[token.Start:token.End])
		}
	}
}

// checkBytes checks that a token's bytes are those of its kind.
func checkBytes(t *testing.T, token *xmltext.Token, b []byte) {
	t.Helper()
	if token.Kind == xmltext.EndElement && len(b) == 0 {
		return
	}
	begin, end := "", ""
	switch token.Kind {
	case xmltext.StartElement:
		begin, end = "<"+string(token.Name.Qualified), ">"
	case xmltext.EndElement:
		begin, end = "</"+string(token.Name.Qualified), ">"
	case xmltext.Comment:
		begin, end = "<!--", "-->"
	case xmltext.ProcessingInstruction:
		begin, end = "<?"+string(token.Target), "?>"
	case xmltext.Doctype:
		begin, end = "<!DOCTYPE", ">"
	case xmltext.Text:
		if bytes.IndexByte(b, '<') >= 0 {
			t.Errorf("text with markup: %q", b)
		}
	}
	if !bytes.HasPrefix(b, []byte(begin)) || !bytes.HasSuffix(b, []byte(end)) || len(b) < len(begin)+len(end) {
		t.Errorf("%v has the bytes %q", token.Kind, b)
	}
}

// samples are small documents, and with long ones that span several fillings
// of the buffer.
func samples(long string) []string {
	return []string{
		"<a/>", "\ufeff<a/>", "\ufeff<?xml version='1.0'?>\n<a b='1'>x<!--c--><?p d?></a>\n",
		"<?xml version='1.0' encoding='ISO-8859-1'?><a b='\xe9'>\xfc&#233;</a>",
		"<a>" + long + "</a>", "<a>" + strings.Repeat("é]", len(long)/2) + "</a>", "<a><![CDATA[" + long + "]]]></a>",
		"<a b='" + long + "'/>", "<!--" + long + "--><a/>", "<a>" + strings.Repeat("\r", len(long)) + "</a>",
		"<a xmlns='u:1' xmlns:p='u:2'><p:b p:c=\"&lt;\">&amp;</p:b></a>",
		"<!DOCTYPE a [<!ATTLIST a b CDATA 'x'><!ENTITY e 'y'>]><a>&e;</a>",
		string(utf16Bytes("<?xml version='1.0' encoding='UTF-16'?><é>\U0001F600€x</é>")),
		string(utf16Bytes("<a>" + long + "é\U0001F600</a>")),
	}
}

func TestTokensCoverTheSource(t *testing.T) {
	for _, s := range append(samples("x\r\n"), samples(strings.Repeat("0123456789abcde\r\n", 5000))...) {
		if err := checkOffsets(t, []byte(s), xmltext.Options{Subset: &xmltext.Subset{}}); err != nil {
			t.Errorf("%.60q: %v", s, err)
		}
	}
}

// TestLengthChangesNothing: whatever a caller believes about the length of a source, the
// tokens are the same.
func TestLengthChangesNothing(t *testing.T) {
	read := func(source string, length int64) string {
		r := xmltext.NewReader(strings.NewReader(source), xmltext.Options{Length: length, Subset: &xmltext.Subset{}})
		var all strings.Builder
		for {
			token, err := r.Next()
			if err != nil {
				return all.String() + err.Error()
			}
			if token.Kind != xmltext.Text && token.Kind != xmltext.CDATA { // comes in pieces
				fmt.Fprintf(&all, "%v %d %d ", token.Kind, token.Start, token.End)
			}
			fmt.Fprintf(&all, "%s%s", token.Name.Qualified, token.Data)
		}
	}
	for _, source := range samples(strings.Repeat("x\r\n", 30_000)) {
		want := read(source, 0)
		for _, length := range []int64{-1, 1, int64(len(source)) - 1, int64(len(source)), 1 << 40} {
			if got := read(source, length); got != want {
				t.Errorf("%.40q with length %d differs", source, length)
			}
		}
	}
}

func TestEncodingNamesTheEncoding(t *testing.T) {
	for source, want := range map[string]string{
		"<a/>": "UTF-8", "\ufeff<a/>": "UTF-8", string(utf16Bytes("<a/>")): "UTF-16BE",
		"<?xml version='1.0' encoding='iso-8859-1'?><a/>": "ISO-8859-1",
		"<?xml version='1.0' encoding='us-ascii'?><a/>":   "US-ASCII",
	} {
		r := xmltext.NewReader(strings.NewReader(source), xmltext.Options{})
		if _, err := drain(r); err != nil {
			t.Error(err)
		}
		if r.Encoding() != want {
			t.Errorf("%q: got %s, want %s", source, r.Encoding(), want)
		}
	}
}

func TestInScopeFollowsTheElements(t *testing.T) {
	r := xmltext.NewReader(strings.NewReader("<a xmlns='u:1' xmlns:p='u:2'><b xmlns='' xmlns:q='u:3'/></a>"),
		xmltext.Options{Namespaces: []xmltext.Namespace{{Prefix: []byte("o"), URI: []byte("u:0")}, {Prefix: []byte("p"), URI: []byte("u:9")}}})
	want := []string{"o=u:0 p=u:2 =u:1", "o=u:0 p=u:2 q=u:3", "o=u:0 p=u:2 q=u:3", "o=u:0 p=u:2 =u:1"}
	for _, w := range want {
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
		found := map[string]bool{}
		for n := range r.InScope() {
			found[string(n.Prefix)+"="+string(n.URI)] = true
			if got := r.Lookup(n.Slot); string(got.URI) != string(n.URI) {
				t.Errorf("slot %d stands for %s, not %s", n.Slot, got.URI, n.URI)
			}
		}
		for _, one := range strings.Fields(w) {
			if !found[one] {
				t.Errorf("%s is not in scope: %v", one, found)
			}
			delete(found, one)
		}
		if len(found) > 0 {
			t.Errorf("also in scope: %v", found)
		}
	}
}

func TestOpenNamesTheElements(t *testing.T) {
	r := xmltext.NewReader(strings.NewReader("<a><p:b xmlns:p='u:1'><c/></p:b></a>"), xmltext.Options{})
	want := []string{"a", "a u:1|b", "a u:1|b c", "a u:1|b c", "a u:1|b", "a"}
	for _, w := range want {
		token, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for depth := 1; depth <= token.Depth; depth++ {
			name := r.Open(depth)
			got = append(got, strings.TrimPrefix(string(name.Space)+"|"+string(name.Local()), "|"))
		}
		if strings.Join(got, " ") != w {
			t.Errorf("at %d: %v, want %s", token.Start, got, w)
		}
	}
}

// FuzzTokens: the bytes of the tokens are those of the source, one after the
// other, whatever the source.
func FuzzTokens(f *testing.F) {
	for _, s := range samples("x\r\n") {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, source []byte) {
		whole := checkOffsets(t, source, xmltext.Options{Subset: &xmltext.Subset{}, Limits: xmltext.Limits{Depth: 20, Namespaces: 20}})
		strict := checkOffsets(t, source, xmltext.Options{})
		if whole != nil && strict == nil {
			t.Errorf("accepted without a doctype only: %v", whole)
		}
	})
}
