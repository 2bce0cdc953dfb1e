package pkcs15

import (
	"context"
	"errors"
	"fmt"

	"github.com/eidbridge/eidbridge/cardreader/apdu"
	"github.com/eidbridge/eidbridge/cardreader/tlv"
)

// directory is everything that a card's directory files say.
type directory struct {
	token        tokenInfo
	keys         []privateKey
	certificates []certificateEntry
	pins         []pinObject
}

// Entries of the object directory file (PKCS #15 6.2).
const (
	objectPrivateKeys    tlv.Tag = 0xA0
	objectCertificates   tlv.Tag = 0xA4
	objectAuthentication tlv.Tag = 0xA8
)

// readDirectory reads EF 5031 and what it points to, each file once (threat
// C-27), and EF 5032.
func (f *files) readDirectory(ctx context.Context) (*directory, error) {
	var d directory
	raw, err := f.read(ctx, path{file: []byte{0x50, 0x32}, length: -1}, maxDirectory)
	if err == nil {
		d.token, err = parseTokenInfo(raw)
	}
	if err != nil {
		return nil, fmt.Errorf("token information: %w", err)
	}
	raw, err = f.read(ctx, path{file: []byte{0x50, 0x31}, length: -1}, maxDirectory)
	if err != nil {
		return nil, fmt.Errorf("object directory: %w", err)
	}
	lists, err := entries(raw)
	if err != nil {
		return nil, fmt.Errorf("object directory: %w", err)
	}
	seen := map[string]bool{"\x50\x31": true}
	for _, list := range lists {
		if err := f.readList(ctx, &d, list, seen); err != nil {
			return nil, err
		}
	}
	return &d, nil
}

// readList reads one directory file that the object directory points to.
func (f *files) readList(ctx context.Context, d *directory, list tlv.Element, seen map[string]bool) error {
	var take func(tlv.Element) error
	switch list.Tag {
	case objectPrivateKeys:
		take = d.takeKey
	case objectCertificates:
		take = d.takeCertificate
	case objectAuthentication:
		take = d.takePIN
	default:
		return nil
	}
	place, err := onlyPath(list)
	if err != nil {
		return fmt.Errorf("object directory, list %v: %w", list.Tag, err)
	}
	name := string(f.normal(place.file))
	if seen[name] {
		return nil
	}
	if seen[name] = true; len(seen) > maxDirectories {
		return malformed("too many directory files")
	}
	raw, err := f.read(ctx, place, maxDirectory)
	if isAbsent(err) {
		return nil // an empty list
	}
	if err != nil {
		return fmt.Errorf("directory %v: %w", list.Tag, err)
	}
	all, err := entries(raw)
	if err != nil {
		return fmt.Errorf("directory %v: %w", list.Tag, err)
	}
	for _, e := range all {
		if err := take(e); err != nil {
			return fmt.Errorf("directory %v: %w", list.Tag, err)
		}
	}
	return nil
}

func isAbsent(err error) bool {
	var status *apdu.StatusError
	return errors.As(err, &status) && status.SW == apdu.SWFileNotFound
}

// onlyPath is the path in [n] { SEQUENCE { path } }.
func onlyPath(e tlv.Element) (path, error) {
	parts, err := e.Children()
	if err != nil {
		return path{}, err
	}
	if len(parts) != 1 || parts[0].Tag != tagSequence {
		return path{}, malformed("list in another place than a file")
	}
	place, err := parsePath(parts[0].Value)
	if err == nil && len(place.file) == 0 {
		err = malformed("list without a file")
	}
	return place, err
}

func (d *directory) takeKey(e tlv.Element) error {
	k, ok, err := parsePrivateKey(e)
	if err == nil && ok && k.signs {
		d.keys = append(d.keys, k)
	}
	return err
}

func (d *directory) takeCertificate(e tlv.Element) error {
	c, ok, err := parseCertificateEntry(e)
	if err == nil && ok {
		d.certificates = append(d.certificates, c)
	}
	return err
}

func (d *directory) takePIN(e tlv.Element) error {
	p, ok, err := parsePINObject(e)
	if err == nil && ok {
		d.pins = append(d.pins, p)
	}
	return err
}

// applications reads EF.DIR: the identifiers and paths of PKCS #15 applications
// (ISO/IEC 7816-15 7.4).
func applications(raw []byte) (identifiers, paths [][]byte, err error) {
	templates, err := entries(raw)
	if err != nil {
		return nil, nil, err
	}
	for _, template := range templates {
		if template.Tag != tagApplication {
			continue
		}
		parts, err := template.Children()
		if err != nil {
			return nil, nil, err
		}
		aid, ok := value(parts, 0x4F)
		if !ok || len(aid) < 5 || len(aid) > 16 || string(aid[:5]) != registered {
			continue
		}
		identifiers = append(identifiers, aid)
		if place, ok := value(parts, 0x51); ok && len(place) > 0 && len(place) <= maxPath && len(place)%2 == 0 {
			paths = append(paths, place)
		}
	}
	return identifiers, paths, nil
}

// registered begins the identifiers of PKCS #15 applications.
const registered = "\xA0\x00\x00\x00\x63"

// readCertificate is the DER of an entry.
func (f *files) readCertificate(ctx context.Context, c certificateEntry) ([]byte, error) {
	if c.inline != nil {
		return c.inline, nil
	}
	raw, err := f.read(ctx, c.path, maxCertificate)
	if err != nil {
		return nil, err
	}
	return trimmed(raw)
}

// trimmed cuts what follows the one object of a file that is longer than its
// content.
func trimmed(raw []byte) ([]byte, error) {
	e, rest, err := tlv.Next(raw)
	if err != nil {
		return nil, err
	}
	if e.Tag != tagSequence {
		return nil, malformed("not a certificate")
	}
	for _, b := range rest {
		if b != 0x00 && b != 0xFF {
			return nil, malformed("something follows the certificate")
		}
	}
	return raw[:len(raw)-len(rest)], nil
}
