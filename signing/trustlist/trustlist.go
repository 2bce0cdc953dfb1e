// Package trustlist reads the services of a trusted list (TS 119 612, versions 5
// and 6) and says which of them were granted at a time.
//
// It reads one list as given. Whether a list is authentic and current, the list
// of the lists, and the qualification of certificates are not examined here: a
// caller that relies on a list has verified its signature.
package trustlist

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/signing/cms"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// Errors that a caller decides on.
var (
	// ErrFormat: not a trusted list.
	ErrFormat = errors.New("malformed trusted list")
	// ErrLimit: larger or more numerous than is accepted.
	ErrLimit = errors.New("trusted list goes over a limit")
)

const (
	namespace    = "http://uri.etsi.org/02231/v2#"
	prefixType   = "http://uri.etsi.org/TrstSvc/Svctype/"
	prefixStatus = "http://uri.etsi.org/TrstSvc/TrustedList/Svcstatus/"

	maxSize     = 64 << 20 // bytes
	maxServices = 20_000
	maxText     = 256 << 10 // bytes of one value
)

// Type is a service type (TS 119 612 5.5.1) without its prefix, such as "CA/QC".
type Type string

// The types that anchors are taken from.
const (
	CAQC          Type = "CA/QC"
	CAPKC         Type = "CA/PKC"
	OCSPQC        Type = "Certstatus/OCSP/QC"
	OCSP          Type = "Certstatus/OCSP"
	TimeStampQ    Type = "TSA/QTST"
	TimeStampUnit Type = "TSA"
)

// List is a trusted list.
type List struct {
	Territory string
	Sequence  string
	Services  []Service
}

// Service is a trust service with its history.
type Service struct {
	Type Type
	Name string
	// Certificates are its digital identities; those that cannot be read are left
	// out.
	Certificates []*x509.Certificate
	// States are the present status and those before it, the newest first.
	States []State
}

// State is a status from a time on.
type State struct {
	// Status is the last part of the URI: "granted", "withdrawn", "undersupervision".
	Status string
	Since  time.Time
}

// good tells whether a status lets one rely on the service (TS 119 615 4.3: those
// of before July 2016 have other names).
func good(status string) bool {
	switch status {
	case "granted", "recognisedatnationallevel", "undersupervision", "supervisionincessation", "accredited", "setbynationallaw":
		return true
	}
	return false
}

// Granted tells whether one could rely on the service at a time.
func (s *Service) Granted(at time.Time) bool {
	for _, state := range s.States {
		if !at.Before(state.Since) {
			return good(state.Status)
		}
	}
	return false
}

// Granted returns the certificates of the services of some types that were
// granted at a time.
func (l *List) Granted(at time.Time, types ...Type) []*x509.Certificate {
	var all []*x509.Certificate
	for i := range l.Services {
		s := &l.Services[i]
		for _, t := range types {
			if s.Type == t && s.Granted(at) {
				all = append(all, s.Certificates...)
			}
		}
	}
	return all
}

// Listed returns the certificates of the services of some types, whatever their
// status.
func (l *List) Listed(types ...Type) []*x509.Certificate {
	var all []*x509.Certificate
	for i := range l.Services {
		if slices.Contains(types, l.Services[i].Type) {
			all = append(all, l.Services[i].Certificates...)
		}
	}
	return all
}

// Relied tells whether a service of one of the types with that certificate was granted
// at a time.
func (l *List) Relied(c *x509.Certificate, at time.Time, types ...Type) bool {
	return slices.ContainsFunc(l.Services, func(s Service) bool {
		return slices.Contains(types, s.Type) && slices.ContainsFunc(s.Certificates, c.Equal) && s.Granted(at)
	})
}

// Anchors are the types of services that issue certificates or time-stamps.
func Anchors() []Type { return []Type{CAQC, CAPKC, TimeStampQ, TimeStampUnit} }

// Answers are the types of services that answer about certificates.
func Answers() []Type { return []Type{OCSPQC, OCSP} }

// reading is the state of Parse.
type reading struct {
	list    List
	path    []string
	text    strings.Builder
	service *Service
	history bool
	state   State
	english bool // the name in hand is English
}

// Parse reads a list.
func Parse(raw []byte) (*List, error) {
	if len(raw) > maxSize {
		return nil, fmt.Errorf("%w: %d bytes", ErrLimit, len(raw))
	}
	r := new(reading)
	in := xmltext.NewReader(bytes.NewReader(raw), xmltext.Options{Limits: xmltext.Limits{Size: maxSize, Elements: 4_000_000, Markup: 1 << 20}})
	for {
		t, err := in.Next()
		if errors.Is(err, io.EOF) {
			return &r.list, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrFormat, err)
		}
		switch t.Kind {
		case xmltext.StartElement:
			err = r.start(t)
		case xmltext.Text, xmltext.CDATA:
			if r.text.Len()+len(t.Data) > maxText {
				return nil, fmt.Errorf("%w: a value", ErrLimit)
			}
			r.text.Write(t.Data)
		case xmltext.EndElement:
			err = r.end()
		}
		if err != nil {
			return nil, err
		}
	}
}

func (r *reading) start(t *xmltext.Token) error {
	local := string(t.Name.Local())
	if string(t.Name.Space) != namespace {
		local = "" // of extensions and of the signature
	}
	if len(r.path) == 0 && local != "TrustServiceStatusList" {
		return fmt.Errorf("%w: it is something else", ErrFormat)
	}
	r.path = append(r.path, local)
	r.text.Reset()
	switch local {
	case "TSPService":
		if len(r.list.Services) == maxServices {
			return fmt.Errorf("%w: services", ErrLimit)
		}
		r.list.Services = append(r.list.Services, Service{})
		r.service = &r.list.Services[len(r.list.Services)-1]
	case "ServiceInformation", "ServiceHistoryInstance":
		r.history = local == "ServiceHistoryInstance"
		r.state = State{}
	case "Name":
		lang, _ := t.Attr(xmltext.XMLNamespace, "lang")
		r.english = string(lang) == "en"
	}
	return nil
}

func (r *reading) within(names ...string) bool {
	if len(r.path) < len(names) {
		return false
	}
	for i, name := range names {
		if r.path[len(r.path)-len(names)+i] != name {
			return false
		}
	}
	return true
}

func (r *reading) end() error {
	text := strings.TrimSpace(r.text.String())
	r.text.Reset()
	s := r.service
	switch {
	case r.within("SchemeInformation", "SchemeTerritory"):
		r.list.Territory = text
	case r.within("SchemeInformation", "TSLSequenceNumber"):
		r.list.Sequence = text
	case s == nil:
	case r.within("ServiceInformation", "ServiceTypeIdentifier"):
		s.Type = Type(strings.TrimPrefix(text, prefixType))
	case r.within("ServiceInformation", "ServiceName", "Name"):
		if s.Name == "" || r.english {
			s.Name = text
		}
	case r.within("ServiceStatus"):
		r.state.Status = strings.TrimPrefix(text, prefixStatus)
	case r.within("StatusStartingTime"):
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return fmt.Errorf("%w: StatusStartingTime", ErrFormat)
		}
		r.state.Since = at
	case r.within("DigitalId", "X509Certificate") && !r.history:
		if der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), "")); err == nil {
			if c, err := cms.ParseCertificate(der); err == nil {
				s.Certificates = append(s.Certificates, c)
			}
		}
	case r.within("ServiceInformation"), r.within("ServiceHistoryInstance"):
		s.States = append(s.States, r.state)
	case r.within("TSPService"):
		r.service = nil
	}
	r.path = r.path[:len(r.path)-1]
	return nil
}
