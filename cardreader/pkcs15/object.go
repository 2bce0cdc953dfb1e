package pkcs15

import (
	"fmt"

	"github.com/eidbridge/eidbridge/cardreader/tlv"
)

// object is what all entries of directory files have in common (PKCS #15 6.1.1):
// SEQUENCE { common attributes, class attributes, [0] subclass attributes
// OPTIONAL, [1] type attributes }. Cards leave parts out, so what is not there
// is empty.
type object struct {
	label string
	auth  string // identifier of the authentication object, as bytes
	class []tlv.Element
	typed []tlv.Element // content of the type attributes
}

func parseObject(e tlv.Element) (object, error) {
	var o object
	parts, err := e.Children()
	if err != nil {
		return object{}, err
	}
	sequences := 0
	for _, part := range parts {
		switch {
		case part.Tag == tagSequence && sequences == 0:
			sequences++
			err = o.common(part)
		case part.Tag == tagSequence && sequences == 1:
			sequences++
			o.class, err = part.Children()
		case part.Tag == tagConstruct1 && o.typed == nil:
			err = o.types(part)
		}
		if err != nil {
			return object{}, err
		}
	}
	return o, nil
}

func (o *object) common(e tlv.Element) error {
	parts, err := e.Children()
	if err != nil {
		return err
	}
	for _, part := range parts {
		switch part.Tag {
		case tagUTF8:
			o.label = text(part.Value)
		case tagOctets:
			o.auth = string(part.Value)
		}
	}
	return nil
}

func (o *object) types(e tlv.Element) error {
	inner, err := e.Children()
	if err != nil {
		return err
	}
	if len(inner) == 0 || inner[0].Tag != tagSequence {
		return malformed("type attributes")
	}
	o.typed, err = inner[0].Children()
	return err
}

// value is the first element of some elements with a tag.
func value(elements []tlv.Element, tag tlv.Tag) ([]byte, bool) {
	for _, e := range elements {
		if e.Tag == tag {
			return e.Value, true
		}
	}
	return nil, false
}

// privateKey is an entry of a private key directory file.
type privateKey struct {
	id        string
	label     string
	auth      string
	reference byte
	// referenced: the card gave the key a reference.
	referenced bool
	elliptic   bool
	signs      bool
	// content: the key is for documents (non-repudiation).
	content bool
	path    path
	// algorithms are numbers of TokenInfo's algorithms; none is all.
	algorithms []int
}

// Bits of a key's usage (PKCS #15 6.1.8 / ISO/IEC 7816-15 8.5).
const (
	usageSign           = 2
	usageSignRecover    = 3
	usageNonRepudiation = 9
)

// parsePrivateKey gives false for a key of another kind.
func parsePrivateKey(e tlv.Element) (privateKey, bool, error) {
	if e.Tag != tagSequence && e.Tag != tagConstruct0 {
		return privateKey{}, false, nil
	}
	o, err := parseObject(e)
	if err != nil {
		return privateKey{}, false, err
	}
	k := privateKey{label: o.label, auth: o.auth, elliptic: e.Tag == tagConstruct0}
	if id, ok := value(o.class, tagOctets); ok {
		k.id = string(id)
	}
	usageKnown := false
	for _, part := range o.class {
		switch part.Tag {
		case tagBits:
			if usageKnown {
				continue // the second one is access flags
			}
			usageKnown = true
			usage, err := parseBits(part.Value)
			if err != nil {
				return privateKey{}, false, err
			}
			k.content = usage.has(usageNonRepudiation)
			k.signs = usage.has(usageSign) || usage.has(usageSignRecover) || k.content
		case tagInteger:
			if k.reference, err = reference(part.Value); err != nil {
				return privateKey{}, false, err
			}
			k.referenced = true
		case tagConstruct1:
			if k.algorithms, err = numbers(part); err != nil {
				return privateKey{}, false, err
			}
		}
	}
	if len(o.typed) > 0 && o.typed[0].Tag == tagSequence {
		if k.path, err = parsePath(o.typed[0].Value); err != nil {
			return privateKey{}, false, err
		}
	}
	return k, true, nil
}

func numbers(e tlv.Element) ([]int, error) {
	parts, err := e.Children()
	if err != nil {
		return nil, err
	}
	var all []int
	for _, part := range parts {
		n, err := number(part.Value)
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, nil
}

// certificateEntry is an entry of a certificate directory file.
type certificateEntry struct {
	id        string
	authority bool
	path      path
	// inline is the certificate itself, nil when it is in a file.
	inline []byte
}

// parseCertificateEntry gives false for anything but an X.509 certificate.
func parseCertificateEntry(e tlv.Element) (certificateEntry, bool, error) {
	if e.Tag != tagSequence {
		return certificateEntry{}, false, nil
	}
	o, err := parseObject(e)
	if err != nil {
		return certificateEntry{}, false, err
	}
	var c certificateEntry
	if id, ok := value(o.class, tagOctets); ok {
		c.id = string(id)
	}
	if flag, ok := value(o.class, tagBoolean); ok {
		c.authority = len(flag) == 1 && flag[0] != 0
	}
	if len(o.typed) == 0 {
		return certificateEntry{}, false, malformed("certificate without a place")
	}
	switch place := o.typed[0]; place.Tag {
	case tagSequence:
		c.path, err = parsePath(place.Value)
	case tagConstruct0:
		c.inline = place.Value
	default:
		err = malformed("certificate without a place")
	}
	return c, err == nil, err
}

// algorithm is an entry of TokenInfo's list (PKCS #15 6.9).
type algorithm struct {
	number    int
	mechanism int // of PKCS #11
	signs     bool
	// name is the byte that MANAGE SECURITY ENVIRONMENT calls it by.
	name  byte
	named bool
}

// tokenInfo is what a card says of itself.
type tokenInfo struct {
	serial     string
	label      string
	algorithms []algorithm
}

// parseTokenInfo reads EF 5032.
func parseTokenInfo(file []byte) (tokenInfo, error) {
	e, _, err := tlv.Next(file)
	if err != nil {
		return tokenInfo{}, err
	}
	if e.Tag != tagSequence {
		return tokenInfo{}, malformed("token information")
	}
	parts, err := e.Children()
	if err != nil {
		return tokenInfo{}, err
	}
	var info tokenInfo
	for _, part := range parts {
		switch part.Tag {
		case tagOctets:
			info.serial = serial(part.Value)
		case tagContext0:
			info.label = text(part.Value)
		case tagConstruct2:
			if info.algorithms, err = parseAlgorithms(part); err != nil {
				return tokenInfo{}, err
			}
		}
	}
	return info, nil
}

// serial is the number as its holder knows it: letters and digits as they are,
// other bytes in hexadecimal.
func serial(value []byte) string {
	if len(value) == 0 || len(value) > maxText {
		return ""
	}
	for _, b := range value {
		if (b < '0' || b > '9') && (b < 'A' || b > 'Z') && (b < 'a' || b > 'z') && b != '-' {
			return fmt.Sprintf("%X", value)
		}
	}
	return string(value)
}

func parseAlgorithms(e tlv.Element) ([]algorithm, error) {
	list, err := e.Children()
	if err != nil {
		return nil, err
	}
	var all []algorithm
	for _, entry := range list {
		parts, err := entry.Children()
		if err != nil {
			return nil, err
		}
		a, err := parseAlgorithm(parts)
		if err != nil {
			return nil, err
		}
		if all = append(all, a); len(all) > maxEntries {
			return nil, malformed("too many algorithms")
		}
	}
	return all, nil
}

// computesSignature is a bit of an algorithm's operations.
const computesSignature = 1

func parseAlgorithm(parts []tlv.Element) (algorithm, error) {
	var a algorithm
	var err error
	integers := 0
	for _, part := range parts {
		switch {
		case part.Tag == tagInteger && integers == 0:
			a.number, err = number(part.Value)
			integers++
		case part.Tag == tagInteger && integers == 1:
			a.mechanism, err = number(part.Value)
			integers++
		case part.Tag == tagInteger:
			a.name, err = reference(part.Value)
			a.named = true
		case part.Tag == tagBits:
			var operations bits
			operations, err = parseBits(part.Value)
			a.signs = operations.has(computesSignature)
		}
		if err != nil {
			return algorithm{}, err
		}
	}
	return a, nil
}
