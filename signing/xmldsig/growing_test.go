package xmldsig_test

import (
	"bytes"
	"context"
	"crypto"
	"io"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/signing/xmldsig"
)

// counted counts the bytes that are read.
type counted struct {
	io.ReaderAt
	n int64
}

func (c *counted) ReadAt(b []byte, at int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(b, at)
	c.n += int64(n)
	return n, err
}

// TestExpectIn: where the caller says what a signature refers to, a document whose
// end is not known is read once, and what comes out is what Open finds by itself.
func TestExpectIn(t *testing.T) {
	enveloped := `<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/>`
	plain := document("", enveloped)
	named := strings.Replace(plain, "<ds:Signature ", `<ds:Signature Id="s" `, 1)
	twice := strings.Replace(named, "<c ", `<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#" Id="s"/><c `, 1)
	for _, c := range []struct {
		name, document string
		passes         int64
	}{
		{"found", named, 1},
		{"not there", plain, 2},
		{"its Id is not its own", twice, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := context.Background()
			r, err := xmldsig.NewReference(xmldsig.Reference{HasURI: true, Digest: crypto.SHA256, Transforms: []xmldsig.Transform{{Algorithm: xmldsig.TransformEnveloped}}})
			if err != nil {
				t.Fatal(err)
			}
			src, copied := &counted{ReaderAt: strings.NewReader(c.document)}, new(bytes.Buffer)
			d, err := xmldsig.Open(ctx, src, 1<<20, xmldsig.Options{Growing: true, Expect: []xmldsig.Reference{r}, ExpectIn: "s", Copy: copied})
			if err != nil {
				t.Fatal(err)
			}
			sig := d.Signatures[len(d.Signatures)-1]
			src.n = 0
			got, err := d.Digest(ctx, sig, sig.References)
			if err != nil {
				t.Fatal(err)
			}
			if passes := 1 + src.n/int64(len(c.document)); passes != c.passes {
				t.Errorf("%d passes", passes)
			}
			if copied.String() != c.document {
				t.Errorf("copied %q", copied)
			}
			usual, err := xmldsig.Open(ctx, strings.NewReader(c.document), int64(len(c.document)), xmldsig.Options{})
			if err != nil {
				t.Fatal(err)
			}
			sig = usual.Signatures[len(usual.Signatures)-1]
			want, err := usual.Digest(ctx, sig, sig.References)
			if err != nil {
				t.Fatal(err)
			}
			if g, w := got[0], want[0]; g.Err != nil || !bytes.Equal(g.Digest, w.Digest) || g.End != w.End || len(g.Omitted) != len(w.Omitted) || g.Omitted[0] != w.Omitted[0] {
				t.Errorf("got %+v, want %+v", g, w)
			}
		})
	}
}
