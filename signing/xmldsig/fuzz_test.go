package xmldsig_test

import (
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/eidbridge/eidbridge/signing/xmldsig"
)

// FuzzReferences has the references of a document resolved. Whatever it says, what
// comes out is within the document, and what Octets writes is what was digested.
func FuzzReferences(f *testing.F) {
	for _, uri := range []string{"", "#a", "#xpointer(/)", "#xpointer(id('a'))", "file"} {
		for _, transforms := range []string{
			"", `<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/>`,
			`<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#base64"/>`,
			`<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"><i:InclusiveNamespaces xmlns:i="http://www.w3.org/2001/10/xml-exc-c14n#" PrefixList="#default b"/></ds:Transform>`,
		} {
			f.Add([]byte(document(uri, transforms)))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		ctx := context.Background()
		d, err := xmldsig.Open(ctx, bytes.NewReader(data), int64(len(data)), xmldsig.Options{XPointer: true, Resolver: fixed("<x>YQ==</x>")})
		if err != nil {
			return
		}
		for _, s := range d.Signatures {
			outcomes, err := d.Digest(ctx, s, s.References)
			if err != nil {
				t.Fatalf("%v after Open", err)
			}
			for i := range outcomes {
				o, r := &outcomes[i], &s.References[i]
				if o.Start < 0 || o.End < o.Start || o.End > int64(len(data)) {
					t.Fatalf("covers %d to %d of %d", o.Start, o.End, len(data))
				}
				if o.Err != nil || r.Digest == 0 {
					continue
				}
				h := r.Digest.New()
				if err := d.Octets(ctx, s, r, h); err != nil || !bytes.Equal(h.Sum(nil), o.Digest) {
					t.Fatalf("the octets of %q are not what was digested: %v", r.URI, err)
				}
			}
		}
	})
}

func document(uri, transforms string) string {
	if transforms != "" {
		transforms = "<ds:Transforms>" + transforms + "</ds:Transforms>"
	}
	return `<a xmlns:b="urn:b"><c Id="a" b:d="e">YWJj</c><ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="http://www.w3.org/TR/2001/REC-xml-c14n-20010315"/><ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"/><ds:Reference URI="` + uri + `">` + transforms + `<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue>AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=</ds:DigestValue></ds:Reference></ds:SignedInfo><ds:SignatureValue>AA==</ds:SignatureValue></ds:Signature></a>`
}

// fixed gives the same octets for every URI.
type fixed string

func (f fixed) Open(context.Context, string) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader([]byte(f))), nil
}
