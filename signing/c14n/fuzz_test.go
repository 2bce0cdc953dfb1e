package c14n_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/eidbridge/eidbridge/signing/c14n"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// FuzzCanonicalFormIsItsOwn: the canonical form of a canonical form is itself,
// it is a document as the strict reader wants it, and the exclusive form of
// the inclusive one is that of the source.
func FuzzCanonicalFormIsItsOwn(f *testing.F) {
	for seed := range uint64(40) {
		g := generate(seed)
		if len(g) < 2000 {
			f.Add(g)
		}
	}
	f.Add([]byte("<a xmlns='urn:1'><b xmlns='' c='&#13;&#10;'>]]&gt;\r\n<![CDATA[]]]]></b></a>"))
	f.Fuzz(func(t *testing.T, source []byte) {
		for _, m := range c14n.Methods() {
			once, err := canonical(source, c14n.Output{Method: m})
			if err != nil {
				if errors.Is(err, c14n.ErrEmpty) || errors.Is(err, c14n.ErrNotFound) {
					t.Errorf("%s: %v", m, err)
				}
				continue
			}
			var twice bytes.Buffer
			if err := c14n.Write(bytes.NewReader(once), xmltext.Options{}, c14n.Output{Method: m, To: &twice}); err != nil {
				t.Fatalf("%s: %v\nof %q", m, err, once)
			}
			if !bytes.Equal(once, twice.Bytes()) {
				t.Fatalf("%s\nonce  %q\ntwice %q", m, once, twice.Bytes())
			}
		}
		inclusive, err := canonical(source, c14n.Output{Method: c14n.Inclusive10})
		if err != nil {
			return
		}
		want, err := canonical(source, c14n.Output{Method: c14n.Exclusive10})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := canonical(inclusive, c14n.Output{Method: c14n.Exclusive10}); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%v\nexclusive of inclusive %q\nexclusive of source    %q", err, got, want)
		}
	})
}
