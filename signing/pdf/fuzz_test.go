package pdf

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
)

func FuzzObject(f *testing.F) {
	for _, src := range []string{
		"<< /A [1 2 0 R (x\\)) <41>] /B#20 /C /D << /E null >> % c\n>>", "[true false null -1.5]", "12 0 R", "(((", "<<<<", "/",
	} {
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src string) {
		o, err := parseObject(src)
		if err != nil {
			return
		}
		again, err := parseObject(string(o.Raw()))
		if err != nil || !Equal(o, again) && !hasDuplicates(o) {
			t.Fatalf("%q read again: %v", o.Raw(), err)
		}
		if o.Kind() == Dictionary && !hasDuplicates(o) {
			edited, err := parseObject(string(NewEdit(o).Set("Fuzz", []byte("(added)")).Bytes()))
			if err != nil || edited.Get("Fuzz").Text() != "added" {
				t.Fatalf("edit of %q: %v", o.Raw(), err)
			}
			for key, value := range o.Entries() {
				if key != "Fuzz" && !bytes.Equal(edited.Get(key).Raw(), value.Raw()) {
					t.Fatalf("edit of %q changed /%s", o.Raw(), key)
				}
			}
		}
	})
}

func hasDuplicates(o Object) bool {
	if _, found := o.Duplicate(); found {
		return true
	}
	for _, item := range o.items {
		if hasDuplicates(item) {
			return true
		}
	}
	return false
}

// FuzzOpen reads a file to the last object; what can be read can be updated, and
// the update leaves every object as it was.
func FuzzOpen(f *testing.F) {
	for _, s := range pdfs.Samples() {
		f.Add(s.Data)
	}
	for _, s := range pdfs.Malformed() {
		if len(s.Data) < 4096 {
			f.Add(s.Data)
		}
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		if readEverything(file, Limits{}) != nil {
			return
		}
		d := open(t, file)
		u, err := d.NewUpdate()
		if err != nil {
			return
		}
		added := u.Reserve()
		if int64(added.Number) >= d.limits.ObjectNumber-1 {
			return
		}
		u.Put(added, []byte("(added)"))
		tail, err := u.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		signed := append(bytes.Clone(file), tail...)
		again, err := Open(context.Background(), bytes.NewReader(signed), int64(len(signed)), Limits{})
		if err != nil {
			var limit *LimitError
			if errors.As(err, &limit) {
				return
			}
			t.Fatalf("own output is refused: %v", err)
		}
		if o, err := again.Object(added); err != nil || o.Value.Text() != "added" {
			t.Fatalf("added object: %v", err)
		}
		for ref := range d.Refs() {
			before, err := d.Object(ref)
			if err != nil {
				t.Fatal(err)
			}
			after, err := again.Object(ref)
			if err != nil || !bytes.Equal(before.Value.Raw(), after.Value.Raw()) {
				t.Fatalf("object %s changed: %v", ref, err)
			}
		}
	})
}
