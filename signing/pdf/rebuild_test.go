package pdf

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
)

// TestRebuildFindsWhatIsThereOnce opens broken files and writes an update that
// Open can read to the last object.
func TestRebuildFindsWhatIsThereOnce(t *testing.T) {
	for _, s := range pdfs.Broken() {
		t.Run(s.Name, func(t *testing.T) {
			d, err := Rebuild(context.Background(), bytes.NewReader(s.Data), int64(len(s.Data)), Limits{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			u, err := d.NewUpdate()
			if err != nil {
				t.Fatal(err)
			}
			added := u.Reserve()
			u.Put(added, []byte("(added)"))
			u.SetID(make([]byte, 16))
			tail, err := u.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			whole := append(bytes.Clone(s.Data), tail...)
			if err := readEverything(whole, Limits{}); err != nil {
				t.Fatalf("own output: %v", err)
			}
			again := open(t, whole)
			if len(again.Revisions()) != 1 || len(again.Deviations()) != 0 || !again.Sound() {
				t.Errorf("%d revisions, deviations %v", len(again.Revisions()), again.Deviations())
			}
			for ref := range d.Refs() {
				before, err := d.Object(ref)
				if err != nil {
					t.Fatal(err)
				}
				after, err := again.Object(ref)
				if err != nil || !bytes.Equal(before.Value.Raw(), after.Value.Raw()) {
					t.Errorf("object %s: %v", ref, err)
				}
			}
			page, err := again.FirstPage()
			if err != nil || page.Dict.Get("Contents").IsNull() {
				t.Errorf("page: %v", err)
			}
		})
	}
}

func TestRebuildGuessesNothing(t *testing.T) {
	for _, s := range pdfs.BrokenAmbiguous() {
		t.Run(s.Name, func(t *testing.T) {
			_, err := Rebuild(context.Background(), bytes.NewReader(s.Data), int64(len(s.Data)), Limits{}, nil)
			var ambiguous *AmbiguousError
			if !errors.As(err, &ambiguous) {
				t.Errorf("got %v", err)
			}
		})
	}
	for _, text := range []string{"", "%PDF-1.7", "%PDF-1.7\n1 0 obj\n<< /Type /Foo >>\nendobj\n"} {
		if _, err := Rebuild(context.Background(), bytes.NewReader([]byte(text)), int64(len(text)), Limits{}, nil); err == nil {
			t.Errorf("%q was rebuilt", text)
		}
	}
}
