package main

import (
	"bytes"
	"compress/flate"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/brokers/saml"
	"github.com/eidbridge/eidbridge/signing/brainpool"
)

// judgeSAMLCommand judges a recorded response. What is not told, such as the
// request, is not compared.
type judgeSAMLCommand struct {
	Metadata         string        `name:"idp-metadata" xor:"trust" help:"SAML metadata of the identity provider, or an aggregate; taken without a signature." placeholder:"FILE"`
	Certificates     []string      `name:"idp-cert" xor:"trust" help:"Certificate of the identity provider, PEM or DER; may be given several times." placeholder:"FILE"`
	Issuer           string        `help:"Entity identifier of the identity provider; those of --idp-metadata are known." placeholder:"URI"`
	Audience         string        `help:"Entity identifier of the service provider; without it, audiences are not compared." placeholder:"URI"`
	Recipient        string        `help:"Assertion consumer service; without it, Destination and Recipient are not compared." placeholder:"URL"`
	Request          string        `help:"ID of the request that is answered; without it, InResponseTo is not compared." placeholder:"ID"`
	At               time.Time     `format:"2006-01-02T15:04:05Z07:00" help:"Time of judgement; now, if not given." placeholder:"TIME"`
	Skew             time.Duration `default:"60s" help:"How far clocks may differ, up to 3 minutes."`
	IgnoreConditions bool          `help:"Leave validity periods and audiences out."`
	DecryptKey       string        `help:"Private key of the service provider (PEM), for encrypted assertions and identifiers." placeholder:"FILE"`
	File             string        `arg:"" help:"Response: XML, Base64 as it is posted, or deflated Base64; - is standard input."`
}

// samlVerdict is what judge-saml prints.
type samlVerdict struct {
	Accepted bool `json:"accepted"`
	// NameID and values are without the blanks that products lay them out with.
	NameID       string              `json:"nameID"`
	NameIDFormat string              `json:"nameIDFormat,omitempty"`
	Issuer       string              `json:"issuer,omitempty"`
	ContextClass string              `json:"contextClass,omitempty"`
	Attributes   map[string][]string `json:"attributes"`
	Signed       *saml.Coverage      `json:"signed,omitempty"`
	// Reason is "" for an accepted response; Detail says it in words.
	Reason string `json:"reason"`
	Detail string `json:"detail,omitempty"`
}

// maxResponse bounds what is read; the parser has its own, smaller budgets.
const maxResponse = 8 << 20

// Run prints one JSON object. The exit code is 0 whether the response is accepted
// or not, and 1 where it could not be judged.
func (c judgeSAMLCommand) Run(s streams) error {
	trusted, err := c.trusted()
	if err != nil {
		return err
	}
	message, err := c.message(s.in)
	if err != nil {
		return err
	}
	keys, err := c.keys()
	if err != nil {
		return err
	}
	var verdict samlVerdict
	for _, who := range trusted {
		e := c.expectation(who)
		e.Decryption.Keys = keys
		if verdict, err = judged(message, e); err != nil {
			return err
		}
		// Another entity of an aggregate may be the issuer.
		if verdict.Reason != string(saml.ReasonIssuer) {
			break
		}
	}
	out := json.NewEncoder(s.out)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(verdict)
}

func (c judgeSAMLCommand) expectation(who saml.Entity) saml.Expectation {
	e := saml.Expectation{
		Issuer: who.ID, Certificates: who.Signing, Audience: c.Audience, Recipient: c.Recipient,
		RequestID: c.Request, RequestedAt: time.Unix(1, 0), Now: c.At, Skew: c.Skew, Lenient: saml.Recorded(),
	}
	// Some products declare two namespaces at each value.
	e.Limits = saml.MessageLimits()
	e.Limits.Declarations = 1000
	if e.Now.IsZero() {
		e.Now = time.Now()
	}
	e.Lenient.AnyIssuer = e.Issuer == ""
	e.Lenient.AnyAudience = c.Audience == "" || c.IgnoreConditions
	e.Lenient.AnyRecipient = c.Recipient == ""
	e.Lenient.AnyRequest = c.Request == ""
	e.Lenient.AnyTime = c.IgnoreConditions
	return e
}

func judged(message []byte, e saml.Expectation) (samlVerdict, error) {
	v := samlVerdict{Attributes: map[string][]string{}}
	a, err := saml.ValidateResponse(message, e)
	var failed *saml.StatusError
	switch {
	case errors.Is(err, saml.ErrExpectation):
		return v, err
	case errors.As(err, &failed):
		v.Reason, v.Detail = string(saml.ReasonStatus), err.Error()
	case err != nil:
		v.Reason, v.Detail = string(saml.ReasonOf(err)), err.Error()
	default:
		v.Accepted, v.NameID, v.NameIDFormat, v.Issuer, v.ContextClass = true, strings.TrimSpace(a.NameID.Value), a.NameID.Format, a.Issuer, a.ContextClass
		v.Signed = &a.Signed
		for _, attribute := range a.Attributes {
			values := make([]string, len(attribute.Values))
			for i, value := range attribute.Values {
				values[i] = strings.TrimSpace(value)
			}
			v.Attributes[attribute.Name] = values
		}
	}
	return v, nil
}

// trusted are the identity providers whose word counts, with their keys.
func (c judgeSAMLCommand) trusted() ([]saml.Entity, error) {
	if c.Metadata == "" && len(c.Certificates) == 0 {
		nobody, err := nobodysCertificate()
		return []saml.Entity{{ID: c.Issuer, Signing: []*x509.Certificate{nobody}}}, err
	}
	if c.Metadata == "" {
		who := saml.Entity{ID: c.Issuer}
		for _, file := range c.Certificates {
			found, err := certificatesIn(file)
			if err != nil {
				return nil, err
			}
			who.Signing = append(who.Signing, found...)
		}
		return []saml.Entity{who}, nil
	}
	document, err := os.ReadFile(c.Metadata)
	if err != nil {
		return nil, err
	}
	// The end of metadata says nothing about a message of its time.
	entities, err := saml.ParseMetadata(document, saml.MetadataTrust{AsGiven: true, AnyEndpoint: true, Now: time.Unix(1, 0)})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Metadata, err)
	}
	if c.Issuer != "" {
		maps.DeleteFunc(entities, func(id string, _ *saml.Entity) bool { return id != c.Issuer })
	}
	if len(entities) == 0 {
		return nil, fmt.Errorf("%s describes no such identity provider", c.Metadata)
	}
	var list []saml.Entity
	for _, id := range slices.Sorted(maps.Keys(entities)) {
		list = append(list, *entities[id])
	}
	return list, nil
}

// nobodysCertificate is of a key that signs no SAML message: where nobody was said
// to be trusted, nothing is accepted, and what is wrong before any key is used is
// told all the same.
func nobodysCertificate() (*x509.Certificate, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// certificatesIn reads PEM, DER, or the bare Base64 of an X509Certificate element.
// Of a bare public key in PEM it makes a certificate that says no more.
func certificatesIn(file string) ([]*x509.Certificate, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var found []*x509.Certificate
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		switch block.Type {
		case "CERTIFICATE", "TRUSTED CERTIFICATE", "X509 CERTIFICATE":
			if c, err := keyHolder(block.Bytes); err == nil {
				found = append(found, c)
			}
		case "PUBLIC KEY":
			if key, err := x509.ParsePKIXPublicKey(block.Bytes); err == nil {
				found = append(found, &x509.Certificate{PublicKey: key})
			}
		}
	}
	if len(found) == 0 {
		der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(data)), ""))
		if err != nil {
			der = data
		}
		if c, err := keyHolder(der); err == nil {
			found = append(found, c)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s holds no certificate that can be read", file)
	}
	return found, nil
}

// keyHolder reads a certificate for its key. A pinned key counts as it is, so one
// whose certificate Go's parser refuses (a negative serial number, an extension
// gone wrong) is taken out of it alone.
func keyHolder(der []byte) (*x509.Certificate, error) {
	c, err := brainpool.ParseCertificate(der)
	if err == nil {
		return c, nil
	}
	var outer struct {
		TBS struct {
			Version                                           asn1.RawValue `asn1:"optional,explicit,tag:0"`
			Serial, Algorithm, Issuer, Validity, Subject, Key asn1.RawValue
		}
	}
	if _, broken := asn1.Unmarshal(der, &outer); broken != nil {
		return nil, err
	}
	key, broken := x509.ParsePKIXPublicKey(outer.TBS.Key.FullBytes)
	if broken != nil {
		return nil, err
	}
	return &x509.Certificate{Raw: der, PublicKey: key}, nil
}

// message undoes what a binding does: the form, Base64, DEFLATE, escapes of a query.
func (c judgeSAMLCommand) message(stdin io.Reader) ([]byte, error) {
	source := stdin
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		source = f
	}
	data, err := io.ReadAll(io.LimitReader(source, maxResponse+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxResponse {
		return nil, fmt.Errorf("%s has more than %d bytes", c.File, maxResponse)
	}
	text := trimmed(data)
	if bytes.HasPrefix(text, []byte("SAMLResponse=")) {
		text = bytes.TrimPrefix(text, []byte("SAMLResponse="))
		text, _, _ = bytes.Cut(text, []byte("&"))
	}
	if bytes.HasPrefix(text, []byte("<")) {
		return text, nil
	}
	if bytes.ContainsRune(text, '%') {
		if unescaped, err := url.PathUnescape(string(text)); err == nil {
			text = []byte(unescaped)
		}
	}
	decoded, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		// The parser says what is wrong with it.
		return text, nil
	}
	if bytes.HasPrefix(trimmed(decoded), []byte("<")) {
		return trimmed(decoded), nil
	}
	inflated, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(decoded)), maxResponse))
	if err != nil {
		return decoded, nil
	}
	return trimmed(inflated), nil
}

// trimmed takes off what editors put around a document: a byte order mark, blanks.
func trimmed(data []byte) []byte {
	return bytes.TrimSpace(bytes.TrimPrefix(bytes.TrimSpace(data), []byte("\xef\xbb\xbf")))
}

// keys wraps the private key for decryption. The judge needs no certificate of
// it, so it makes none up: the key alone is compared.
func (c judgeSAMLCommand) keys() ([]saml.DecryptionKey, error) {
	if c.DecryptKey == "" {
		return nil, nil
	}
	data, err := os.ReadFile(c.DecryptKey)
	if err != nil {
		return nil, err
	}
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, fmt.Errorf("%s holds no private key that can be read", c.DecryptKey)
		}
		key, err := privateKey(block)
		if err != nil {
			continue
		}
		public, ok := key.(interface{ Public() crypto.PublicKey })
		if !ok {
			continue
		}
		k, err := saml.NewDecryptionKey(key, &x509.Certificate{PublicKey: public.Public()})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.DecryptKey, err)
		}
		return []saml.DecryptionKey{k}, nil
	}
}

func privateKey(block *pem.Block) (crypto.PrivateKey, error) {
	switch block.Type {
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(block.Bytes)
	}
	return x509.ParsePKCS8PrivateKey(block.Bytes)
}
