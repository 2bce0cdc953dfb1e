package certpath

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Name constraints on directory names (RFC 5280 4.2.1.10), which crypto/x509 does
// not know: of an authority that has them, and they have to be critical, it refuses
// every path. The other forms are left to it.

// maxSubtrees bounds the directory names in one extension.
const maxSubtrees = 256

// directories are the directory names of the name constraints of an authority.
type directories struct{ permitted, excluded []pkix.RDNSequence }

func oidNameConstraints() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 5, 29, 30} }

// readDirectories reads the extension; false when the certificate has none, or one
// with forms that neither crypto/x509 nor this file judges.
func readDirectories(c *x509.Certificate) (d directories, ok bool) {
	i := slices.IndexFunc(c.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oidNameConstraints()) })
	if i < 0 {
		return d, false
	}
	in := cryptobyte.String(c.Extensions[i].Value)
	var seq cryptobyte.String
	if !in.ReadASN1(&seq, cbasn1.SEQUENCE) || !in.Empty() {
		return d, false
	}
	for tag, into := range []*[]pkix.RDNSequence{&d.permitted, &d.excluded} {
		var subtrees cryptobyte.String
		var has bool
		if !seq.ReadOptionalASN1(&subtrees, &has, cbasn1.Tag(tag).Constructed().ContextSpecific()) {
			return d, false
		}
		if has && !readSubtrees(subtrees, into) {
			return d, false
		}
	}
	return d, seq.Empty()
}

// readSubtrees reads GeneralSubtrees. Minimum and maximum have one value each that
// RFC 5280 allows, the default, so that the name stands alone.
func readSubtrees(in cryptobyte.String, into *[]pkix.RDNSequence) bool {
	for !in.Empty() {
		var subtree, name cryptobyte.String
		var tag cbasn1.Tag
		if !in.ReadASN1(&subtree, cbasn1.SEQUENCE) || !subtree.ReadAnyASN1(&name, &tag) || !subtree.Empty() {
			return false
		}
		switch tag {
		case cbasn1.Tag(4).Constructed().ContextSpecific():
			sequence, ok := readName(name)
			if !ok || len(*into) == maxSubtrees {
				return false
			}
			*into = append(*into, sequence)
		case cbasn1.Tag(1).ContextSpecific(), cbasn1.Tag(2).ContextSpecific(), cbasn1.Tag(6).ContextSpecific(), cbasn1.Tag(7).ContextSpecific():
			// crypto/x509 judges these: mailbox, host, address, place.
		default:
			return false
		}
	}
	return true
}

func readName(der []byte) (pkix.RDNSequence, bool) {
	var name pkix.RDNSequence
	rest, err := asn1.Unmarshal(der, &name)
	return name, err == nil && len(rest) == 0
}

// understood is a certificate whose name constraints on directory names are no
// extension that nobody looks at: withinDirectories does, of every path.
func understood(c *x509.Certificate) *x509.Certificate {
	if !slices.ContainsFunc(c.UnhandledCriticalExtensions, oidNameConstraints().Equal) {
		return c
	}
	if _, ok := readDirectories(c); !ok {
		return c
	}
	with := *c
	with.UnhandledCriticalExtensions = slices.DeleteFunc(slices.Clone(c.UnhandledCriticalExtensions), oidNameConstraints().Equal)
	return &with
}

// withinDirectories tells whether all names of a path are where the authorities
// above them allow (RFC 5280 6.1.3 b, c).
func withinDirectories(path []*x509.Certificate) error {
	for i, issuer := range path[1:] {
		d, ok := readDirectories(issuer)
		if !ok || len(d.permitted)+len(d.excluded) == 0 {
			continue
		}
		for j, c := range path[:i+1] {
			if j > 0 && selfIssued(c) {
				continue
			}
			names, ok := directoryNames(c)
			if !ok || slices.ContainsFunc(names, func(n pkix.RDNSequence) bool { return !d.allow(n) }) {
				return fmt.Errorf("%w: %q may not certify names like those below it", ErrRule, issuer.Subject.CommonName)
			}
		}
	}
	return nil
}

// directoryNames are the subject and the directory names beside it
// (subjectAltName).
func directoryNames(c *x509.Certificate) ([]pkix.RDNSequence, bool) {
	var all []pkix.RDNSequence
	subject, ok := readName(c.RawSubject)
	if !ok {
		return nil, false
	}
	if len(subject) > 0 {
		all = append(all, subject)
	}
	for _, e := range c.Extensions {
		if !e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) {
			continue
		}
		in := cryptobyte.String(e.Value)
		var seq cryptobyte.String
		if !in.ReadASN1(&seq, cbasn1.SEQUENCE) {
			return nil, false
		}
		for !seq.Empty() {
			var name cryptobyte.String
			var tag cbasn1.Tag
			if !seq.ReadAnyASN1(&name, &tag) {
				return nil, false
			}
			if tag != cbasn1.Tag(4).Constructed().ContextSpecific() {
				continue
			}
			other, ok := readName(name)
			if !ok || len(all) == maxSubtrees {
				return nil, false
			}
			all = append(all, other)
		}
	}
	return all, true
}

func (d *directories) allow(name pkix.RDNSequence) bool {
	below := func(base pkix.RDNSequence) bool { return under(name, base) }
	return (len(d.permitted) == 0 || slices.ContainsFunc(d.permitted, below)) && !slices.ContainsFunc(d.excluded, below)
}

// under tells whether a name begins as another (RFC 5280 7.1).
func under(name, base pkix.RDNSequence) bool {
	if len(name) < len(base) {
		return false
	}
	for i := range base {
		if len(base[i]) != len(name[i]) {
			return false
		}
		for _, want := range base[i] {
			if !slices.ContainsFunc(name[i], func(a pkix.AttributeTypeAndValue) bool {
				return a.Type.Equal(want.Type) && alike(a.Value, want.Value)
			}) {
				return false
			}
		}
	}
	return true
}

// alike compares values of attributes: case and the number of blanks between words
// do not count.
func alike(a, b any) bool {
	s, ok := a.(string)
	t, also := b.(string)
	return ok && also && strings.EqualFold(strings.Join(strings.Fields(s), " "), strings.Join(strings.Fields(t), " "))
}
