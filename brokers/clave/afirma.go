package clave

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"io"
	"strings"
)

const (
	// maxAfirma bounds the fragment in bytes, maxAfirmaDepth its nesting.
	maxAfirma      = 32 << 10
	maxAfirmaDepth = 16
)

var errAfirma = errors.New("PartialAfirma is malformed")

// certificate is what the validation platform says of the certificate that was
// used (PartialAfirma). It was signed with the assertion.
type certificate struct {
	// kind is the classification: 0 and 5 natural person, 1 legal person of old,
	// 11 and 12 representatives.
	kind string
	// responsible is the tax number of the natural person, holder that of the
	// organisation.
	responsible, holder string
	organisation        string
}

func (c *certificate) representative() bool { return c.kind == "11" || c.kind == "12" }

func (c *certificate) natural() bool { return c.kind == "" || c.kind == "0" || c.kind == "5" }

// certificate reads PartialAfirma; nil if there is none.
func (s statements) certificate() (*certificate, error) {
	text, err := s.optional("PartialAfirma")
	if err != nil || text == "" {
		return nil, err
	}
	if len(text) > maxAfirma*4/3 {
		return nil, errAfirma
	}
	fragment, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return nil, errAfirma
	}
	return parseAfirma(fragment)
}

// afirmaFields takes the fields of a fragment, each at most once.
type afirmaFields struct {
	into map[string]*string
	seen map[string]bool
}

func (f *afirmaFields) set(name, value string) error {
	field := f.into[name]
	if field == nil {
		return nil
	}
	if f.seen[name] {
		return errAfirma
	}
	f.seen[name] = true
	*field = strings.TrimSpace(value)
	return nil
}

// parseAfirma reads the fields of a fragment in either of the forms that occur:
// an element per field, or pairs of idCampo and valorCampo.
func parseAfirma(fragment []byte) (*certificate, error) {
	if len(fragment) > maxAfirma {
		return nil, errAfirma
	}
	c := &certificate{}
	fields := afirmaFields{seen: map[string]bool{}, into: map[string]*string{
		"clasificacion": &c.kind, "NIFResponsable": &c.responsible,
		"NIF-CIF": &c.holder, "razonSocial": &c.organisation,
	}}
	d := xml.NewDecoder(bytes.NewReader(fragment)) // tokens only, within bounds, of a verified assertion
	var path []string
	var text strings.Builder
	field := ""
	for {
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, errAfirma
		}
		switch t := token.(type) {
		case xml.StartElement:
			if len(path) >= maxAfirmaDepth {
				return nil, errAfirma
			}
			path = append(path, t.Name.Local)
			text.Reset()
		case xml.CharData:
			text.Write(t)
		case xml.EndElement:
			if len(path) == 0 || path[len(path)-1] != t.Name.Local {
				return nil, errAfirma
			}
			path = path[:len(path)-1]
			switch t.Name.Local {
			case "idCampo":
				field = strings.TrimSpace(text.String())
			case "valorCampo":
				err = fields.set(field, text.String())
				field = ""
			default:
				err = fields.set(t.Name.Local, text.String())
			}
			if err != nil {
				return nil, err
			}
			text.Reset()
		case xml.Directive:
			return nil, errAfirma
		}
	}
	if len(path) != 0 {
		return nil, errAfirma
	}
	return c, nil
}
