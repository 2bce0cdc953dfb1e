package digid

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/beevik/etree"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/saml"
	"github.com/eidbridge/eidbridge/levels"
)

var (
	_ brokers.Upstream  = (*Routed)(nil)
	_ brokers.Describer = (*Routed)(nil)
	_ brokers.Destined  = (*Routed)(nil)
)

const (
	uuid       = "0000aaaa-1111-4222-8333-444455556666"
	loa        = "http://eidas.europa.eu/LoA/"
	basisClass = "http://eID.logius.nl/LoA/basic"
)

func routedConfig(i *testIdP) RoutedConfig {
	c := testConfig(i)
	key, err := saml.NewDecryptionKey(pairs().sp.key, pairs().sp.cert)
	if err != nil {
		panic(err)
	}
	name := map[string]string{"en": "DigiD"}
	return RoutedConfig{
		EntityID: spID, ACSURL: acs, SigningKey: c.SigningKey, Certificate: c.Certificate, DecryptionKeys: []saml.DecryptionKey{key},
		Services: []Service{
			{Method: "digid4-hoog", UUID: "9999aaaa-1111-4222-8333-444455556666", Level: levels.High, Name: name},
			{Method: "digid4-substantieel", UUID: uuid, Level: levels.Substantial, Name: name},
		},
		Metadata: c.Metadata, BackChannel: c.BackChannel, Replay: c.Replay, Clock: c.Clock,
	}
}

func newRouted(t *testing.T, i *testIdP, edit func(*RoutedConfig)) *Routed {
	t.Helper()
	c := routedConfig(i)
	if edit != nil {
		edit(&c)
	}
	u, err := NewRouted(c)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// encryptedID is an EncryptedID as eID SAML 4.4 makes them: AES-256-CBC under
// RSA-OAEP, with the keys of two recipients beside the data.
func encryptedID(to *x509.Certificate, qualifier, text string) string {
	plaintext := []byte(`<saml:NameID` + namespaces + ` Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent" NameQualifier="` + qualifier + `">` + text + `</saml:NameID>`)
	padding := aes.BlockSize - len(plaintext)%aes.BlockSize
	plaintext = append(plaintext, bytes.Repeat([]byte{byte(padding)}, padding)...)
	content, iv := make([]byte, 32), make([]byte, aes.BlockSize)
	_, _ = rand.Read(content)
	_, _ = rand.Read(iv)
	block, err := aes.NewCipher(content)
	if err != nil {
		panic(err)
	}
	out := make([]byte, len(plaintext))
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(out, plaintext)
	key := func(recipient string, c *x509.Certificate) string {
		wrapped, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, c.PublicKey.(*rsa.PublicKey), content, nil)
		if err != nil {
			panic(err)
		}
		return `<xenc:EncryptedKey xmlns:xenc="http://www.w3.org/2001/04/xmlenc#" Recipient="` + recipient + `"><xenc:EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"/><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:KeyName>` + fmt.Sprintf("%x", c.SerialNumber) + `</ds:KeyName></ds:KeyInfo><xenc:CipherData><xenc:CipherValue>` +
			base64.StdEncoding.EncodeToString(wrapped) + `</xenc:CipherValue></xenc:CipherData></xenc:EncryptedKey>`
	}
	return `<saml:EncryptedID><xenc:EncryptedData xmlns:xenc="http://www.w3.org/2001/04/xmlenc#" Type="http://www.w3.org/2001/04/xmlenc#Element"><xenc:EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#aes256-cbc"/><xenc:CipherData><xenc:CipherValue>` +
		base64.StdEncoding.EncodeToString(append(iv, out...)) + `</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData>` +
		key("urn:nl-eid-gdi:1.0:LC:00000000000000000000:entities:9000", pairs().other.cert) + key(spID, to) + `</saml:EncryptedID>`
}

// routedAnswer is what the assertion of the routing service says.
type routedAnswer struct {
	class, uuid   string
	acting, legal []string // EncryptedIDs
	kind          string
	advice        string
	format        string
}

func goodRouted() *routedAnswer {
	bsn := func(number string) []string { return []string{encryptedID(pairs().sp.cert, qualifierBSN, number)} }
	return &routedAnswer{class: loa + "substantial", uuid: uuid, acting: bsn("900029365"), legal: bsn("900029365"), format: formatTransient}
}

func (a *routedAnswer) edit(text string) string {
	attribute := func(name string, values ...string) string {
		s := `<saml:Attribute Name="` + name + `">`
		for _, v := range values {
			s += `<saml:AttributeValue>` + v + `</saml:AttributeValue>`
		}
		return s + `</saml:Attribute>`
	}
	statement := `<saml:AttributeStatement>` + attribute(attributeService, a.uuid) + attribute(attributeActing, a.acting...) + attribute(attributeLegal, a.legal...)
	if a.kind != "" {
		statement += attribute(attributeKind, a.kind)
	}
	text = strings.Replace(text, "<saml:NameID>s00000000:900029365", `<saml:NameID Format="`+a.format+`">transient`, 1)
	text = strings.Replace(text, "</saml:Assertion>", statement+`</saml:AttributeStatement></saml:Assertion>`, 1)
	return strings.Replace(text, "<saml:AuthnStatement", a.advice+"<saml:AuthnStatement", 1)
}

// routedLogin logs in with an answer.
func routedLogin(t *testing.T, a *routedAnswer, change func(*answer), config func(*RoutedConfig)) (*brokers.AuthenticationEvent, error) {
	t.Helper()
	i := newTestIdP(t)
	i.answer.class, i.answer.editAssertion = a.class, a.edit
	if change != nil {
		change(&i.answer)
	}
	u := newRouted(t, i, config)
	d, err := u.Start(context.Background(), brokers.AuthenticationRequest{Method: "digid4-substantieel", Level: levels.Low, RelayState: "handle"})
	if err != nil {
		t.Fatal(err)
	}
	currentRequest.Store(i, d.RequestID)
	return u.Finish(context.Background(), callback(artifactOf(idpID, 0), "handle"), d)
}

func TestRoutedLogin(t *testing.T) {
	event, err := routedLogin(t, goodRouted(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if event.Subject != (brokers.Subject{Key: "nl-bsn:900029365", Country: "NL"}) || event.Method != "digid4-substantieel" || event.Upstream != "digid4" {
		t.Errorf("event = %+v", event)
	}
	if a := event.Assessment; a.Level != levels.Substantial || a.Rule != "digid4.substantieel" || !a.Notified {
		t.Errorf("assessment = %+v", a)
	}
	// More than the catalogue demands has to be accepted (4.8).
	a := goodRouted()
	a.class = loa + "high"
	if event, err = routedLogin(t, a, nil, nil); err != nil || event.Method != "digid4-hoog" || event.Assessment.Level != levels.High {
		t.Errorf("event = %+v, %v", event, err)
	}
	// Advice is evidence and is not read.
	a = goodRouted()
	a.advice = `<saml:Advice><saml:Assertion ID="_evil" Version="2.0"><saml:Subject><saml:NameID>s00000000:999990019</saml:NameID></saml:Subject></saml:Assertion></saml:Advice>`
	if event, err = routedLogin(t, a, nil, nil); err != nil || event.Subject.Key != "nl-bsn:900029365" {
		t.Errorf("event = %+v, %v", event, err)
	}
	a = goodRouted()
	a.acting = []string{encryptedID(pairs().sp.cert, qualifierPseudonym, "opaque")}
	a.legal = []string{encryptedID(pairs().sp.cert, qualifierPseudonym, "opaque")}
	if event, err = routedLogin(t, a, nil, nil); err != nil || event.Subject.Key != "nl-pseudo:opaque" {
		t.Errorf("event = %+v, %v", event, err)
	}
}

func TestRoutedRepresentation(t *testing.T) { // 4.8: the acting subject logged in
	a := goodRouted()
	a.legal, a.kind = []string{encryptedID(pairs().sp.cert, qualifierBSN, "999990019")}, "WV_Curator"
	event, err := routedLogin(t, a, nil, func(c *RoutedConfig) { c.Representation = true })
	if err != nil {
		t.Fatal(err)
	}
	if r := event.Subject.Represents; event.Subject.Key != "nl-bsn:900029365" || r == nil || r.Key != "nl-bsn:999990019" || r.Kind != "WV_Curator" {
		t.Errorf("subject = %+v represents %+v", event.Subject, r)
	}
	event, err = routedLogin(t, a, nil, nil)
	wantRejected(t, event, err, "representation", brokers.CategoryDenied)
}

func TestRoutedFinishRefuses(t *testing.T) {
	bsn := func(number string) []string { return []string{encryptedID(pairs().sp.cert, qualifierBSN, number)} }
	status := func(top, second string) func(*answer) {
		return func(a *answer) { a.top, a.second = top, second }
	}
	for _, row := range []struct {
		name     string
		edit     func(*routedAnswer)
		change   func(*answer)
		reason   string
		category brokers.Category
	}{
		{"X-86 class lower than the catalogue's", func(a *routedAnswer) { a.class = loa + "low" }, nil, "loa_too_low", brokers.CategoryLevel},
		{"X-86 Basis", func(a *routedAnswer) { a.class = basisClass }, nil, "loa_too_low", brokers.CategoryLevel},
		{"X-86 class of 3.x", func(a *routedAnswer) { a.class = class + "Smartcard" }, nil, "context_class", ""},
		{"another service", func(a *routedAnswer) { a.uuid = "other" }, nil, "service_uuid", ""},
		{"BSN failing the test", func(a *routedAnswer) { a.acting = bsn("123456789") }, nil, "subject", ""},
		{"no acting subject", func(a *routedAnswer) { a.acting = nil }, nil, "subject", ""},
		{"no legal subject", func(a *routedAnswer) { a.legal = nil }, nil, "subject", ""},
		{"identifier in the clear", func(a *routedAnswer) { a.acting = []string{"900029365"} }, nil, "subject", ""},
		{"polymorphic identifier", func(a *routedAnswer) { a.acting = []string{encryptedID(pairs().sp.cert, eidPrefix+"id:BSN", "x")} }, nil, "subject", ""},
		{"X-85 two identifiers of one kind", func(a *routedAnswer) { a.acting = append(bsn("900029365"), bsn("999990019")...) }, nil, "subject", ""},
		{"encrypted for another", func(a *routedAnswer) { a.acting = []string{encryptedID(pairs().other.cert, qualifierBSN, "900029365")} }, nil, "decryption", ""},
		{"representation of oneself", func(a *routedAnswer) { a.kind = "WV_Mentor" }, nil, "attributes", ""},
		{"persistent NameID", func(a *routedAnswer) { a.format = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent" }, nil, "subject", ""},
		{"signed by another key", nil, func(a *answer) { a.signer = pairs().other }, "signature_key", ""},

		{"login failed", nil, status("Responder", "RequestDenied"), "login_failed", brokers.CategoryDenied},
		{"failed without the message of a cancelled login", nil, status("Responder", "AuthnFailed"), "login_failed", brokers.CategoryDenied},
		{"level not reached", nil, status("Responder", "NoAuthnContext"), "loa_too_low", brokers.CategoryLevel},
		{"resolved too late", nil, status("Requester", "RequestDenied"), "artifact_refused", brokers.CategoryTimeout},
		{"unknown requester", nil, status("Requester", "NoSupportedIDP"), "login_failed", brokers.CategoryConfiguration},
		{"temporarily unsupported", nil, status("Responder", "RequestUnsupported"), "login_failed", brokers.CategoryUnavailable},
		{"unsupported", nil, status("Requester", "RequestUnsupported"), "login_failed", brokers.CategoryConfiguration},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := goodRouted()
			if row.edit != nil {
				row.edit(a)
			}
			event, err := routedLogin(t, a, row.change, nil)
			wantRejected(t, event, err, row.reason, row.category)
		})
	}
	_, err := routedLogin(t, goodRouted(), func(a *answer) {
		a.top, a.second = "Responder", "AuthnFailed"
		a.editResponse = func(s string) string {
			return strings.Replace(s, "</samlp:Status>", "<samlp:StatusMessage>Authentication cancelled</samlp:StatusMessage></samlp:Status>", 1)
		}
	}, nil)
	if !errors.Is(err, brokers.ErrCancelled) {
		t.Errorf("cancelled = %v", err)
	}
}

func TestRoutedRequest(t *testing.T) { // 4.7
	i := newTestIdP(t)
	index := 3
	for name, byIndex := range map[string]bool{"by UUID": false, "by index": true} {
		t.Run(name, func(t *testing.T) {
			u := newRouted(t, i, func(c *RoutedConfig) {
				c.Preselect = "urn:nl-eid-gdi:1.0:AD:00000000000000000000:entities:9000"
				if byIndex {
					c.Services[1].Index = &index
				}
			})
			d, err := u.Start(context.Background(), brokers.AuthenticationRequest{Method: "digid4-substantieel", Level: levels.Substantial, RelayState: "handle"})
			if err != nil {
				t.Fatal(err)
			}
			message, err := base64.StdEncoding.DecodeString(d.Form["SAMLRequest"])
			if err != nil {
				t.Fatal(err)
			}
			document := etree.NewDocument()
			if err := document.ReadFromBytes(message); err != nil {
				t.Fatal(err)
			}
			e := document.Root()
			for _, absent := range []string{"RequestedAuthnContext", "Subject", "Conditions"} {
				if e.FindElement(absent) != nil {
					t.Errorf("request has %s", absent)
				}
			}
			if e.SelectAttr("AssertionConsumerServiceURL") != nil || e.SelectAttrValue("AssertionConsumerServiceIndex", "") != "0" || len(e.FindElement("Issuer").Attr) != 0 {
				t.Error("request names the consumer by URL, or qualifies the issuer")
			}
			if info := e.FindElement("Signature/KeyInfo"); len(info.ChildElements()) != 1 || info.ChildElements()[0].Tag != "KeyName" || len(info.ChildElements()[0].Text()) != 64 {
				t.Error("KeyInfo is not a KeyName alone")
			}
			if e.FindElement("Scoping/IDPList/IDPEntry").SelectAttrValue("ProviderID", "") == "" {
				t.Error("request does not preselect")
			}
			var named []string
			for _, a := range e.FindElements("Extensions/Attribute") {
				named = append(named, a.SelectAttrValue("Name", "")+"="+a.FindElement("AttributeValue").Text())
			}
			want := []string{attributeAudience + "=" + spID, attributeService + "=" + uuid}
			if byIndex {
				want = nil
			}
			if !slices.Equal(named, want) || (e.SelectAttrValue("AttributeConsumingServiceIndex", "") == "3") != byIndex {
				t.Errorf("named = %v, index %q", named, e.SelectAttrValue("AttributeConsumingServiceIndex", ""))
			}
		})
	}
}

func TestRoutedMethodsAndMetadata(t *testing.T) {
	i := newTestIdP(t)
	u := newRouted(t, i, nil)
	if m := u.Methods(); len(m) != 2 || m[0].ID != "digid4-substantieel" || m[1].Level != levels.High {
		t.Errorf("methods = %+v", m)
	}
	if _, err := u.Start(context.Background(), brokers.AuthenticationRequest{Method: "digid4-substantieel", Level: levels.High, RelayState: "h"}); err == nil {
		t.Error("started below the level")
	}
	document, err := u.Metadata()
	if err != nil || !bytes.Contains(document, []byte(`use="encryption"`)) {
		t.Errorf("metadata = %s, %v", document, err)
	}
	if m := newRouted(t, i, func(c *RoutedConfig) { c.MaxLevel = levels.Substantial }).Methods(); len(m) != 1 {
		t.Errorf("methods below the ceiling = %+v", m)
	}
	for name, spoil := range map[string]func(*RoutedConfig){
		"no decryption key": func(c *RoutedConfig) { c.DecryptionKeys = nil },
		"no service":        func(c *RoutedConfig) { c.Services = nil },
		"service twice":     func(c *RoutedConfig) { c.Services[0].Method = c.Services[1].Method },
		"service unnamed":   func(c *RoutedConfig) { c.Services[0].Name = nil },
		"service too high":  func(c *RoutedConfig) { c.MaxLevel = levels.Low },
		"no replay store":   func(c *RoutedConfig) { c.Replay = nil },
	} {
		c := routedConfig(i)
		spoil(&c)
		if _, err := NewRouted(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
