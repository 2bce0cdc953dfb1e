package pades

import (
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/attributes"
	"github.com/eidbridge/eidbridge/signing/cms"
)

// attributes are the signed attributes for what the options claim, after the conditions
// of EN 319 142-1 6.3 on their presence.
func (o *Options) attributes() ([]cms.Attribute, error) {
	const advice = "leave out the one or the other"
	switch {
	case o.Reason != "" && len(o.Commitments) > 0:
		return nil, refuse(RefusedOption, advice, "a PDF signature has either a reason or a commitment type")
	case o.Reason != "" && o.Policy != nil:
		return nil, refuse(RefusedOption, advice, "a PDF signature under a policy has no reason; a commitment type can go with it")
	case o.Place != signing.Place{}:
		return nil, refuse(RefusedOption, "name the place as the location", "a PDF signature has no signer location beside its location")
	case o.Policy != nil && o.Policy.OID != "" && len(o.Policy.Digest) == 0:
		return nil, refuse(RefusedOption, "add the digest of the policy's document", "a policy is named by identifier and digest of its document")
	}
	return attributes.Encode(o.Claims, signing.PAdES.Title())
}
