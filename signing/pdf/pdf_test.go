package pdf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
)

func open(t testing.TB, file []byte) *Document {
	t.Helper()
	d, err := Open(context.Background(), bytes.NewReader(file), int64(len(file)), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// readEverything walks what signing and verifying walk, and every object.
func readEverything(file []byte, limits Limits) error {
	d, err := Open(context.Background(), bytes.NewReader(file), int64(len(file)), limits)
	if err != nil {
		return err
	}
	if _, _, err := d.Root(); err != nil {
		return err
	}
	if _, err := d.FirstPage(); err != nil {
		return err
	}
	if _, err := d.Form(); err != nil {
		return err
	}
	for ref := range d.Refs() {
		if _, err := d.Object(ref); err != nil {
			return err
		}
	}
	return nil
}

func parseObject(src string) (Object, error) {
	limits := Limits{}.withDefaults()
	l := &lexer{buf: []byte(src), last: true, limits: &limits}
	o, err := l.object(0)
	if err == nil && l.pos != len(src) && l.skip() == nil {
		err = fmt.Errorf("bytes behind the object: %q", src[l.pos:])
	}
	return o, err
}

func TestObjectsAreReadAsWritten(t *testing.T) {
	for _, c := range []struct {
		src  string
		kind Kind
		want any
	}{
		{"null", Null, nil},
		{"true", Boolean, true},
		{"false", Boolean, false},
		{"0", Integer, int64(0)},
		{"+17", Integer, int64(17)},
		{"-98", Integer, int64(-98)},
		{"0000000123", Integer, int64(123)},
		{"34.5", Real, 34.5},
		{"-.002", Real, -.002},
		{"4.", Real, 4.0},
		{"-0." + strings.Repeat("0", 37) + "1175494351", Real, -1.175494351e-38},
		{"12 0 R", Reference, Ref{Number: 12}},
		{"12 %x\n 65535 R", Reference, Ref{Number: 12, Generation: 65535}},
		{"/Name", Name, "Name"},
		{"/A#20B#2f", Name, "A B/"},
		{"/#zz", Name, "#zz"},
		{"/", Name, ""},
		{"(a (b) c)", String, "a (b) c"},
		{`(\(\)\\\n\101\7x\400)`, String, "()\\\nA\ax\x00"},
		{"(a\\\r\nb\rc)", String, "ab\nc"},
		{"<48 65 6C6c6>", String, "Hell`"},
		{"<>", String, ""},
	} {
		t.Run(c.src, func(t *testing.T) {
			o, err := parseObject(c.src)
			if err != nil {
				t.Fatal(err)
			}
			var got any
			switch o.Kind() {
			case Boolean:
				got, _ = o.Bool()
			case Integer:
				got, _ = o.Int()
			case Real:
				got, _ = o.Float()
			case Reference:
				got, _ = o.Ref()
			case Name:
				got = o.Name()
			case String:
				b, _ := o.Bytes()
				got = string(b)
			}
			if o.Kind() != c.kind || got != c.want {
				t.Errorf("got %s %#v, want %s %#v", o.Kind(), got, c.kind, c.want)
			}
			if string(o.Raw()) != c.src {
				t.Errorf("source bytes %q", o.Raw())
			}
		})
	}
}

func TestObjectsThatAreNone(t *testing.T) {
	for _, src := range []string{
		"", "%", "[", "<<", "(", "<", "<4", "<4x>", "<< /A >>", "<< 1 2 >>", "<< /A 1 >", "tru", "nulls", "R", "1e5", "--1", "1-2", ".", "+", "]", ">>", "{}",
		"[1 2", strings.Repeat("9", numberDigits+1), "/" + strings.Repeat("N", nameBytes+1),
	} {
		if o, err := parseObject(src); err == nil {
			t.Errorf("%.20q was read as %s", src, o.Kind())
		}
	}
}

func TestEditKeepsEveryOtherByte(t *testing.T) {
	for _, c := range []struct {
		name, src string
		edit      func(*Edit)
		want      string
	}{
		{"nothing", "<< /A 1 % c >>\n/B (x\\)) >>", func(*Edit) {}, "<< /A 1 % c >>\n/B (x\\)) >>"},
		{"replace", "<</A 1/B[2 3]/C 4>>", func(e *Edit) { e.Set("B", []byte("9")) }, "<</A 1/B 9/C 4>>"},
		{"replace before a word", "<</B(x)true>>", func(e *Edit) { e.Set("Z", []byte("1")) }, ""},
		{"replace an escaped key", "<< /#41 1 >>", func(e *Edit) { e.Set("A", []byte("2 0 R")) }, "<< /#41 2 0 R >>"},
		{"add", "<</A 1>>", func(e *Edit) { e.Set("B", []byte("[1]")) }, "<</A 1\n/B [1]>>"},
		{"add behind a comment", "<</A 1%c\n>>", func(e *Edit) { e.Set("B", []byte("/N")) }, "<</A 1%c\n/B /N\n>>"},
		{"add with an odd key", "<<>>", func(e *Edit) { e.Set("a b", []byte("1")) }, "<<\n/a#20b 1\n>>"},
		{"remove", "<</A 1/B 2/C 3>>", func(e *Edit) { e.Remove("B") }, "<</A 1/C 3>>"},
		{"replace a null value", "<</A null>>", func(e *Edit) { e.Set("A", []byte("1")) }, "<</A 1>>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, err := parseObject(c.src)
			if c.want == "" {
				if err == nil {
					t.Error("a broken dictionary was read")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			e := NewEdit(o)
			c.edit(e)
			got := string(e.Bytes())
			again, err := parseObject(got)
			if err != nil || again.Kind() != Dictionary {
				t.Fatalf("%q does not parse: %v", got, err)
			}
			if strings.TrimRight(got, "\n>") != strings.TrimRight(c.want, "\n>") {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestTextStringsRoundTrip(t *testing.T) {
	for _, text := range []string{"", "plain", "(a) \\ b", "\r\n\t", "õäöü ÕÄÖÜ", "ШЩĨ\u5C5C", "\U0001F58B", "\x00"} {
		o, err := parseObject(string(AppendText(nil, text)))
		if err != nil {
			t.Fatal(err)
		}
		if got := o.Text(); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
	for src, want := range map[string]string{
		"(\\200\\240\\030)": "•€˘", "<EFBBBFC3B5>": "õ", "<FFFE4100>": "A", "(caf\xe9)": "café",
	} {
		o, err := parseObject(src)
		if err != nil {
			t.Fatal(err)
		}
		if got := o.Text(); got != want {
			t.Errorf("%s is %q, want %q", src, got, want)
		}
	}
}

func TestEverySampleIsReadToTheLastObject(t *testing.T) {
	for _, s := range append(pdfs.Samples(), pdfs.Sample{Name: "prefix", Data: pdfs.PrefixData()}) {
		t.Run(s.Name, func(t *testing.T) {
			if err := readEverything(s.Data, Limits{}); err != nil {
				t.Fatal(err)
			}
			d := open(t, s.Data)
			odd := s.Name == "startxref-off"
			if (len(d.Deviations()) > 0) != odd {
				t.Errorf("deviations %v", d.Deviations())
			}
			revisions := d.Revisions()
			if last := revisions[len(revisions)-1]; last.End != int64(len(s.Data)) {
				t.Errorf("the last revision ends at %d of %d", last.End, len(s.Data))
			}
		})
	}
}

func TestRevisionsAreStatesOfTheFile(t *testing.T) {
	first := pdfs.Classic()
	second := pdfs.Revise(first, map[int]string{4: "<< /Type /Font /Subtype /Type1 /BaseFont /Courier >>"}, 1)
	third := pdfs.Revise(second, map[int]string{9: "(new)"}, 1)
	d := open(t, third)
	revisions := d.Revisions()
	if len(revisions) != 3 || revisions[0].End != int64(len(first)) || revisions[1].End != int64(len(second)) {
		t.Fatalf("revisions %+v", revisions)
	}
	if got := fmt.Sprint(revisions[1].Objects, revisions[2].Objects); got != "[4] [9]" {
		t.Errorf("objects %s", got)
	}
	for i, want := range []string{"Helvetica", "Courier", "Courier"} {
		font, err := d.At(i).Object(Ref{Number: 4})
		if err != nil || font.Value.Get("BaseFont").Name() != want {
			t.Errorf("revision %d: %v, %v", i, font.Value.Get("BaseFont").Name(), err)
		}
		if !d.At(i).Closed() {
			t.Errorf("revision %d is open", i)
		}
	}
	if _, err := d.At(1).Object(Ref{Number: 9}); !errors.Is(err, ErrMissing) {
		t.Errorf("object of a later revision: %v", err)
	}
	if SameObject(d.At(0), d, 4) || !SameObject(d.At(0), d, 5) {
		t.Error("SameObject")
	}
	if _, err := d.Object(Ref{Number: 4, Generation: 1}); !errors.Is(err, ErrMissing) {
		t.Errorf("object of another generation: %v", err)
	}
}

// TestLinearizedFileIsOneRevision: two sections, one end. The file is a sketch
// of what linearizers write.
func TestLinearizedFileIsOneRevision(t *testing.T) {
	var out bytes.Buffer
	out.WriteString("%PDF-1.4\n")
	lin := out.Len()
	out.WriteString("5 0 obj\n<< /Linearized 1 >>\nendobj\n")
	firstAt := out.Len()
	const firstTable = "xref\n5 1\n%010d 00000 n \ntrailer\n<< /Size 6 /Root 1 0 R /Prev %010d >>\nstartxref\n0\n%%%%EOF\n"
	bodyAt := firstAt + len(fmt.Sprintf(firstTable, lin, 0))
	catalog := "1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n"
	pages := "2 0 obj\n<< /Type /Pages /Kids [3 0 R] /Count 1 >>\nendobj\n"
	page := "3 0 obj\n<< /Type /Page /Parent 2 0 R >>\nendobj\n"
	mainAt := bodyAt + len(catalog) + len(pages) + len(page)
	fmt.Fprintf(&out, firstTable, lin, mainAt)
	out.WriteString(catalog + pages + page)
	fmt.Fprintf(&out, "xref\n0 5\n0000000000 65535 f \n%010d 00000 n \n%010d 00000 n \n%010d 00000 n \n0000000000 00000 f \n",
		bodyAt, bodyAt+len(catalog), bodyAt+len(catalog)+len(pages))
	fmt.Fprintf(&out, "trailer\n<< /Size 5 >>\nstartxref\n%d\n%%%%EOF\n", firstAt)
	file := out.Bytes()
	d := open(t, file)
	if r := d.Revisions(); len(r) != 1 || r[0].End != int64(len(file)) {
		t.Errorf("revisions %+v", r)
	}
	if err := readEverything(file, Limits{}); err != nil {
		t.Error(err)
	}
}

func TestUpdateFollowsTheKindOfTheFile(t *testing.T) {
	for _, s := range pdfs.Samples() {
		t.Run(s.Name, func(t *testing.T) {
			d := open(t, s.Data)
			u, err := d.NewUpdate()
			if err != nil {
				t.Fatal(err)
			}
			added := u.Reserve()
			u.Put(added, []byte("(added)"))
			u.SetID([]byte("0123456789abcdef"))
			tail, err := u.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			file := append(bytes.Clone(s.Data), tail...)
			if at := u.BodyOffset(added); string(file[at:at+7]) != "(added)" {
				t.Errorf("body offset %d", at)
			}
			again := open(t, file)
			object, err := again.Object(added)
			if err != nil || object.Value.Text() != "added" {
				t.Fatalf("%v, %v", object.Value.Text(), err)
			}
			if len(again.Revisions()) != len(d.Revisions())+1 || again.sections[0].stream != d.sections[0].stream || len(again.Deviations()) != 0 {
				t.Errorf("%d revisions, stream %v, deviations %v", len(again.Revisions()), again.sections[0].stream, again.Deviations())
			}
			old, now := d.Trailer().Get("ID"), again.Trailer().Get("ID")
			if !Equal(old.Items()[0], now.Items()[0]) || Equal(old.Items()[1], now.Items()[1]) {
				t.Errorf("identifier %s became %s", old.Raw(), now.Raw())
			}
			if !again.Trailer().Get("XRefStm").IsNull() {
				t.Error("the update points to the stream of the old hybrid section")
			}
			if err := readEverything(file, Limits{}); err != nil {
				t.Error(err)
			}
		})
	}
}
