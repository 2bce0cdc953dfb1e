package cades

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"io"
	"slices"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/cms"
	"github.com/eidbridge/eidbridge/signing/tsp"
	"github.com/eidbridge/eidbridge/signing/validation"
)

// errUnread: what an archive time-stamp is about could not be read.
var errUnread = errors.New("the content is not at hand")

// archiveV2 judges an archive-time-stamp-v2 (ETSI TS 101 733 6.4.1), which messages
// have from before EN 319 122. It covers all that the message held when it was made.
func (e *examination) archiveV2(ctx context.Context, raw []byte) *archive {
	a := &archive{out: validation.NewTimeStamp(signing.ArchiveStamp), raw: raw}
	made, err := tsp.Inspect(raw)
	if err != nil {
		a.out.Fail(signing.TotalFailed, signing.FormatFailure, findArchive, "%v", err)
		return a
	}
	a.later = func(token *tsp.Token) bool { return !token.Time.Before(made.Time) }
	var failure error
	a.token, a.right = e.v.judge.Read(&a.out, raw, func(h crypto.Hash) []byte {
		var digest []byte
		digest, failure = e.v.imprintV2(ctx, e.si, h, a.later)
		if failure == nil && e.twin(made) && made.Verify(digest) != nil {
			// Of two that were made at the same moment, nothing but the imprint says which
			// is about the other.
			a.later = func(token *tsp.Token) bool { return token.Time.After(made.Time) || same(token, made) }
			digest, failure = e.v.imprintV2(ctx, e.si, h, a.later)
		}
		return digest
	})
	if failure != nil {
		a.right, a.out.Integrity = false, signing.Unknown
		a.out.Findings, a.out.Indication, a.out.SubIndication = nil, "", ""
		a.out.Fail(signing.Indeterminate, signing.SignedDataNotFound, findArchive, "what it is about cannot be computed: %v", failure)
	}
	return a
}

func same(a, b *tsp.Token) bool { return bytes.Equal(a.Raw, b.Raw) }

// twin tells whether another archive time-stamp of version 2 has the time of this one.
func (e *examination) twin(made *tsp.Token) bool {
	return slices.ContainsFunc(e.si.UnsignedAttribute(cms.OIDArchiveTimeStampV2), func(raw []byte) bool {
		other, err := tsp.Inspect(raw)
		return err == nil && other.Time.Equal(made.Time) && !same(other, made)
	})
}

// imprintV2 is the message imprint: encapContentInfo with the content, also where that
// stands elsewhere; certificates and crls; and the signer with its unsigned attributes,
// but for archive time-stamps that are later.
func (v *verifier) imprintV2(ctx context.Context, si *cms.SignerInfo, hash crypto.Hash, later func(*tsp.Token) bool) ([]byte, error) {
	if v.content == nil || !hash.Available() {
		return nil, errUnread
	}
	sum := hash.New()
	if err := v.encapsulated(ctx, sum); err != nil {
		return nil, err
	}
	material, err := v.message.Material()
	if err != nil {
		return nil, err
	}
	unsigned, err := si.UnsignedWithout(func(oid cms.OID, value []byte) bool { return laterArchive(oid, value, later) })
	if err != nil {
		return nil, err
	}
	sum.Write(material)
	sum.Write(si.Fields())
	sum.Write(unsigned)
	return sum.Sum(nil), nil
}

// encapsulated writes encapContentInfo with the content, or behind it where that stands
// elsewhere.
func (v *verifier) encapsulated(ctx context.Context, to io.Writer) error {
	head, err := v.message.EncapsulatedHead(v.size)
	if err != nil {
		return err
	}
	if _, err := to.Write(head); err != nil {
		return err
	}
	r, err := v.content.Open()
	if err != nil {
		return errUnread
	}
	defer r.Close()
	_, err = signing.Copy(ctx, to, r)
	return err
}

// laterArchive tells whether an attribute value is an archive time-stamp that was not
// there yet.
func laterArchive(oid cms.OID, value []byte, later func(*tsp.Token) bool) bool {
	if oid != cms.OIDArchiveTimeStampV2 && oid != cms.OIDArchiveTimeStampV3 {
		return false
	}
	token, err := tsp.Inspect(value)
	return err == nil && later(token)
}
