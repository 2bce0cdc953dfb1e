package facturae

import (
	"context"
	"crypto/sha256"
	"io"
	"time"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/c14n"
	"github.com/eidbridge/eidbridge/signing/outfile"
	"github.com/eidbridge/eidbridge/signing/xades"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// Role is who signs an invoice, as the policy words it.
type Role string

// The roles of the policy.
const (
	Issuer     Role = "emisor"
	Receiver   Role = "receptor"
	ThirdParty Role = "tercero"
)

// Options says what goes into the signature besides key and invoice.
type Options struct {
	// Role is claimed; empty takes the one that the invoice names as its issuer.
	Role Role
	// V2 writes the signed properties in the form of EN 319 132-1. The usual form is
	// the classic one, which every receiver knows.
	V2 bool
	// The rest is as in xades.Options.
	SigningTime  time.Time
	Level        signing.Baseline
	Services     *signing.Services
	Limits       xmltext.Limits
	Overwrite    bool
	SourceSHA256 *[sha256.Size]byte
	Rand         io.Reader
}

// options translates for package xades.
func (o Options) options(invoice *Invoice) (xades.Options, error) {
	role := o.Role
	if role == "" {
		role = map[string]Role{"RE": Receiver, "TE": ThirdParty}[invoice.Issuer]
	}
	switch role {
	case "":
		role = Issuer
	case Issuer, Receiver, ThirdParty:
	default:
		return xades.Options{}, signing.Refuse(signing.RefusedOption, "choose emisor, receptor or tercero", "%q is no role of the policy", role)
	}
	return xades.Options{
		Claims:           signing.Claims{Policy: xades.FacturaEPolicy(), Roles: []string{string(role)}},
		Canonicalization: c14n.Inclusive10,
		Classic:          !o.V2,
		SignKeyInfo:      true,
		MimeType:         "text/xml",
		SigningTime:      o.SigningTime,
		Level:            o.Level, Services: o.Services,
		Limits: o.Limits, Overwrite: o.Overwrite, SourceSHA256: o.SourceSHA256, Rand: o.Rand,
	}, nil
}

// checked reads an invoice that is to be signed.
func checked(ctx context.Context, src io.ReaderAt, size int64, o Options) (xades.Options, error) {
	invoice, err := Check(&reader{ctx: ctx, in: io.NewSectionReader(src, 0, size)}, o.Limits)
	if err != nil {
		return xades.Options{}, err
	}
	if invoice.Signed {
		return xades.Options{}, ErrSigned
	}
	return o.options(invoice)
}

type reader struct {
	ctx context.Context
	in  io.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.in.Read(p)
}

// Prepare checks an invoice against its schema and decides on its signature. It
// returns a *SchemaError for what is no invoice of a known version, ErrSigned for
// one that is signed, and else the errors of xades.Prepare.
func Prepare(ctx context.Context, src io.ReaderAt, size int64, cred signing.Credential, o Options) (*xades.Plan, error) {
	x, err := checked(ctx, src, size, o)
	if err != nil {
		return nil, err
	}
	return xades.Prepare(ctx, src, size, cred, x)
}

// Sign checks and signs an invoice.
func Sign(ctx context.Context, src io.ReaderAt, size int64, dst io.Writer, cred signing.Credential, o Options) (*signing.Result, error) {
	x, err := checked(ctx, src, size, o)
	if err != nil {
		return nil, err
	}
	return named(xades.Sign(ctx, src, size, dst, cred, x))
}

// SignFile does so from file to file, as xades.SignFile does; the usual extension
// of a signed invoice is .xsig.
func SignFile(ctx context.Context, in, out string, cred signing.Credential, o Options) (*signing.Result, error) {
	src, info, err := outfile.Open(in)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	x, err := checked(ctx, src, info.Size(), o)
	if err != nil {
		return nil, err
	}
	return named(xades.SignFile(ctx, in, out, cred, x))
}

func named(r *signing.Result, err error) (*signing.Result, error) {
	if r != nil {
		r.Format = signing.FacturaE
	}
	return r, err
}

// Codes of findings.
const (
	findSchema = "invoice_schema"
	findPolicy = "invoice_policy"
	findWhole  = "invoice_coverage"
)

// Verify examines a signed invoice: its signature as xades.Verify does, and
// beside that schema, policy, and that one signature covers all of it. What the
// format wants beyond XAdES is told in findings and leaves the verdict, which is
// about the signature, as it is.
func Verify(ctx context.Context, src io.ReaderAt, size int64, o xades.VerifyOptions) (*signing.Report, error) {
	all, err := versions()
	if err != nil {
		return nil, err
	}
	// The schema is followed along with the signature: reading takes longer than both.
	c := &checker{versions: all}
	var departs error
	o.Watch = func(t *xmltext.Token) {
		if departs == nil {
			departs = c.token(t)
		}
	}
	r, err := xades.Verify(ctx, src, size, o)
	if err != nil {
		return nil, err
	}
	r.Format = signing.FacturaE
	warn := func(code, text string) { r.Warnings = append(r.Warnings, signing.Finding{Code: code, Text: text}) }
	if departs != nil {
		warn(findSchema, departs.Error())
	}
	if len(r.Signatures) > 1 {
		warn(findWhole, "the invoice has several signatures, which the format does not allow")
	}
	for i := range r.Signatures {
		s := &r.Signatures[i]
		s.Format = signing.FacturaE
		if s.Policy != xades.FacturaEPolicy().URI {
			s.Note(findPolicy, "the signature does not name version 3.1 of the policy of FacturaE")
		}
		whole := false
		for j := range s.Data {
			whole = whole || s.Data[j].Whole()
		}
		if !whole {
			s.Note(findWhole, "the signature does not cover the whole invoice")
		}
	}
	return r, nil
}

// Recognise tells whether a document is an invoice of a known version, by its
// document element.
func Recognise(src io.Reader) bool {
	all, err := versions()
	if err != nil {
		return false
	}
	r := xmltext.NewReader(src, xmltext.Options{})
	for {
		t, err := r.Next()
		if err != nil {
			return false
		}
		if t.Kind != xmltext.StartElement {
			continue
		}
		for _, g := range all {
			if t.Name.Is(g.namespace, g.root) {
				return true
			}
		}
		return false
	}
}
