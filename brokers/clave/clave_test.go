package clave

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/brokers/saml"
	"github.com/eidbridge/eidbridge/levels"
)

var (
	_ brokers.Upstream = (*Upstream)(nil)
	_ brokers.Destined = (*Upstream)(nil)
)

func TestLogin(t *testing.T) {
	u := newUpstream(t, nil)
	d := start(t, u, request("clave-permanente-sms", levels.Substantial))
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var stored brokers.Departure
	if err := json.Unmarshal(text, &stored); err != nil {
		t.Fatal(err)
	}
	r := goodAnswer().callback(d.RequestID)
	if got, err := u.Correlate(r); err != nil || got != state {
		t.Fatalf("correlate = %q, %v", got, err)
	}
	event, err := u.Finish(context.Background(), r, &stored)
	if err != nil {
		t.Fatal(err)
	}
	want := brokers.Subject{
		Key: "es-nif:12345678Z", GivenName: "ANA MARÍA", FamilyName: "DE LA PRUEBA EJEMPLO",
		FirstSurname: "DE LA PRUEBA", SecondSurname: "EJEMPLO", Country: "ES",
	}
	if event.Subject != want {
		t.Errorf("subject = %+v", event.Subject)
	}
	if event.Upstream != "clave" || event.Method != "clave-permanente-sms" || event.Issuer != gatewayID || event.AssertionID != "_a1" || len(event.ID) != 32 {
		t.Errorf("event = %+v", event)
	}
	if a := event.Assessment; a.Level != levels.Substantial || a.Rule != "clave.sustancial" || a.Notified {
		t.Errorf("assessment = %+v", a)
	}
	if !event.AuthTime.Equal(testNow.Add(5*time.Second)) || !slices.Equal(event.AMR, []string{"pwd", "sms", "otp", "mfa"}) {
		t.Errorf("time %s, amr %v", event.AuthTime, event.AMR)
	}
}

// The request dialect of broker.md 3.2.
func TestRequest(t *testing.T) {
	u := newUpstream(t, nil)
	d := start(t, u, brokers.AuthenticationRequest{Method: "clave-movil", Level: levels.Low, RelayState: state, ForceAuthn: true})
	if d.Location != gatewayURL || d.Form["RelayState"] != state || len(d.Form) != 2 {
		t.Errorf("departure = %+v", d)
	}
	e := received(t, d.Form["SAMLRequest"])
	for name, want := range map[string]string{
		"ID": d.RequestID, "Version": "2.0", "Destination": gatewayURL, "AssertionConsumerServiceURL": acs, "ForceAuthn": "true", "IsPassive": "false",
		"ProviderName": "S0000000X_E00000001;PORTALDEMO", "Consent": "urn:oasis:names:tc:SAML:2.0:consent:unspecified", "IssueInstant": at(10),
	} {
		if got := e.SelectAttrValue(name, "none"); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	var order []string
	for _, child := range e.ChildElements() {
		order = append(order, child.Tag)
	}
	if want := []string{"Issuer", "Extensions", "NameIDPolicy", "RequestedAuthnContext"}; !slices.Equal(order, want) {
		t.Errorf("children = %v, want %v (beside Signature)", order, want)
	}
	if got := e.FindElement("Issuer").Text(); got != acs {
		t.Errorf("issuer = %q", got)
	}
	if got := e.FindElement("Extensions/SPType").Text(); got != "public" {
		t.Errorf("SPType = %q", got)
	}
	if p := e.FindElement("NameIDPolicy"); p.SelectAttrValue("AllowCreate", "") != "true" || p.SelectAttrValue("Format", "") != nameIDUnspecified {
		t.Errorf("NameIDPolicy = %v", p.Attr)
	}
	c := e.FindElement("RequestedAuthnContext")
	if c.SelectAttrValue("Comparison", "") != "minimum" || len(c.ChildElements()) != 1 || c.ChildElements()[0].Text() != eidas+"low" {
		t.Errorf("context = %v", c)
	}
	if echo := e.FindElement("Extensions/RequestedAttributes/RequestedAttribute[@FriendlyName='RelayState']/AttributeValue"); echo == nil || echo.Text() != state {
		t.Error("relay state is not in an attribute, too")
	}
	for _, a := range e.FindElements("Extensions/RequestedAttributes/RequestedAttribute") {
		if a.SelectAttrValue("Name", "") != claveNames+a.SelectAttrValue("FriendlyName", "") || a.SelectAttrValue("isRequired", "") != "false" || a.SelectAttrValue("NameFormat", "") != formatURI {
			t.Errorf("attribute = %v", a.Attr)
		}
	}
	message, err := base64.StdEncoding.DecodeString(d.Form["SAMLRequest"])
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"xmldsig-more#rsa-sha512", "xmlenc#sha512", "<ds:X509Certificate>"} {
		if !strings.Contains(string(message), want) {
			t.Errorf("request lacks %s", want)
		}
	}
}

// switched lists what a request switches off.
func switched(t *testing.T, u *Upstream, method string) (off []string, class string) {
	t.Helper()
	e := received(t, start(t, u, request(method, levels.Low)).Form["SAMLRequest"])
	for _, a := range e.FindElements("Extensions/RequestedAttributes/RequestedAttribute") {
		if name := a.SelectAttrValue("FriendlyName", ""); name != "RelayState" {
			off = append(off, name)
		}
	}
	slices.Sort(off)
	return off, strings.TrimPrefix(e.FindElement("RequestedAuthnContext/AuthnContextClassRef").Text(), eidas)
}

// To name an identity provider is to disable it, so a method is chosen by naming
// all others.
func TestMethodsSwitchTheOthersOff(t *testing.T) {
	u := newUpstream(t, func(c *Config) {
		c.Methods = []string{"clave-pin", "clave-movil", "clave-permanente", "clave-permanente-sms", "clave-certificado", "clave-dnie", "clave-eidas"}
	})
	for method, want := range map[string]struct{ on, class string }{
		"clave-pin": {"AEATIdP", "low"}, "clave-movil": {"CLVMOVILIdP", "low"},
		"clave-permanente": {"GISSIdP", "low"}, "clave-permanente-sms": {"GISSIdP", "substantial"},
		"clave-certificado": {"AFirmaIdP", "low"}, "clave-dnie": {"AFirmaIdP", "high"}, "clave-eidas": {"EIDASIdP", "low"},
	} {
		off, class := switched(t, u, method)
		all := []string{"AEATIdP", "AFirmaIdP", "CLVMOVILIdP", "EIDASIdP", "GISSIdP"}
		if expected := slices.DeleteFunc(all, func(s string) bool { return s == want.on }); !slices.Equal(off, expected) || class != want.class {
			t.Errorf("%s switches %v off and asks for %s", method, off, class)
		}
	}
	u = newUpstream(t, func(c *Config) { c.Selector, c.DisabledIdPs = true, []IdP{IdPEIDAS} })
	if off, _ := switched(t, u, "clave"); !slices.Equal(off, []string{"EIDASIdP"}) {
		t.Errorf("selector switches %v off", off)
	}
}

func TestRequestVariants(t *testing.T) {
	u := newUpstream(t, func(c *Config) {
		c.WithoutSPType, c.PersistentNameID, c.Hash, c.Issuer = true, true, 5, "https://broker.example" // 5 is SHA-256
	})
	d := start(t, u, request("clave-movil", levels.Substantial))
	e := received(t, d.Form["SAMLRequest"])
	if e.FindElement("Extensions/SPType") != nil || e.FindElement("NameIDPolicy").SelectAttrValue("Format", "") != nameIDPersistent || e.FindElement("Issuer").Text() != "https://broker.example" {
		t.Error("variants are not honoured")
	}
	if e.FindElement("RequestedAuthnContext/AuthnContextClassRef").Text() != eidas+"substantial" {
		t.Error("level of the request is not asked for")
	}
	u = newUpstream(t, func(c *Config) { c.Private = true })
	if got := received(t, start(t, u, request("clave-movil", levels.Low)).Form["SAMLRequest"]).FindElement("Extensions/SPType").Text(); got != "private" {
		t.Errorf("SPType = %q", got)
	}
}

func TestStartRefuses(t *testing.T) {
	u := newUpstream(t, nil)
	for name, r := range map[string]brokers.AuthenticationRequest{
		"unknown method": {Method: "digid-midden", RelayState: state}, "method below level": request("clave-permanente", levels.Substantial),
		"retired method": request("clave-pin", levels.Low), "long relay state": {Method: "clave-movil", RelayState: strings.Repeat("x", 81)},
		"no relay state": {Method: "clave-movil"},
	} {
		if _, err := u.Start(context.Background(), r); err == nil {
			t.Errorf("%s: started", name)
		}
	}
}

func TestMethods(t *testing.T) {
	ids := func(u *Upstream) (list []string) {
		for _, m := range u.Methods() {
			list = append(list, m.ID+":"+m.Level.String())
			for _, language := range []string{"en", "es", "nl", "et"} {
				if m.Name[language] == "" {
					t.Errorf("%s has no name in %s", m.ID, language)
				}
			}
		}
		return list
	}
	for name, row := range map[string]struct {
		edit func(*Config)
		want []string
	}{
		"default":  {nil, []string{"clave-permanente:low", "clave-movil:substantial", "clave-permanente-sms:substantial", "clave-certificado:substantial", "clave-dnie:high", "clave-eidas:high"}},
		"ceiling":  {func(c *Config) { c.MaxLevel = levels.Low }, []string{"clave-permanente:low", "clave-movil:low", "clave-certificado:low", "clave-eidas:low"}},
		"chosen":   {func(c *Config) { c.Methods = []string{"clave-dnie", "clave-pin"} }, []string{"clave-pin:substantial", "clave-dnie:high"}},
		"disabled": {func(c *Config) { c.DisabledIdPs = []IdP{IdPEIDAS, IdPPermanente} }, []string{"clave-movil:substantial", "clave-certificado:substantial", "clave-dnie:high"}},
		"selector": {func(c *Config) { c.Selector = true }, []string{"clave:high"}},
	} {
		if got := ids(newUpstream(t, row.edit)); !slices.Equal(got, row.want) {
			t.Errorf("%s: %v, want %v", name, got, row.want)
		}
	}
	if got := newUpstream(t, nil).Destinations(); !slices.Equal(got, []string{"https://pasarela.example"}) {
		t.Errorf("destinations = %v", got)
	}
}

// What an answer means: method and level by SelectedIdP and class (3.3, 3.6).
func TestUsedMethod(t *testing.T) {
	for name, row := range map[string]struct {
		asked, selected, class string
		least                  levels.Level
		method                 string
		level                  levels.Level
		amr                    []string
	}{
		"password":                          {"clave-permanente", "SEGSOC", "low", levels.Low, "clave-permanente", levels.Low, []string{"pwd"}},
		"password, and then a code as well": {"clave-permanente", "SEGSOC", "substantial", levels.Low, "clave-permanente-sms", levels.Substantial, []string{"pwd", "sms", "otp", "mfa"}},
		"software certificate":              {"clave-certificado", "AFIRMA", "substantial", levels.Low, "clave-certificado", levels.Substantial, []string{"swk"}},
		"DNIe":                              {"clave-dnie", "AFIRMA", "high", levels.High, "clave-dnie", levels.High, []string{"sc", "hwk", "pin", "mfa"}},
		"card instead of a certificate":     {"clave-certificado", "AFIRMA", "high", levels.Low, "clave-dnie", levels.High, []string{"sc", "hwk", "pin", "mfa"}},
		"app":                               {"clave-movil", "CLVMOVIL", "low", levels.Low, "clave-movil", levels.Low, []string{"swk", "user", "mfa"}},
		"app under an unlisted name":        {"clave-movil", "SOMETHING", "substantial", levels.Low, "clave-movil", levels.Substantial, nil},
		"no SelectedIdP":                    {"clave-movil", "-", "low", levels.Low, "clave-movil", levels.Low, nil},
		"more than the app can be":          {"clave-movil", "CLVMOVIL", "high", levels.Low, "clave-movil", levels.Substantial, nil},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t, nil)
			d := start(t, u, request(row.asked, row.least))
			a := goodAnswer()
			a.class = eidas + row.class
			a.set("SelectedIdP", row.selected)
			event, err := u.Finish(context.Background(), a.callback(d.RequestID), d)
			if err != nil {
				t.Fatal(err)
			}
			if event.Method != row.method || event.Assessment.Level != row.level || !slices.Equal(event.AMR, row.amr) {
				t.Errorf("method %s level %s amr %v", event.Method, event.Assessment.Level, event.AMR)
			}
		})
	}
}

func TestSubjects(t *testing.T) {
	fragment := func(fields string) string { return base64.StdEncoding.EncodeToString([]byte(fields)) }
	const representative = `<a:infoCertificado xmlns:a="urn:a"><a:clasificacion>11</a:clasificacion><a:NIFResponsable>12345678Z</a:NIFResponsable><a:NIF-CIF>A58818501</a:NIF-CIF><a:razonSocial>Empresa de Prueba SA</a:razonSocial></a:infoCertificado>`
	for name, row := range map[string]struct {
		edit func(*answer)
		want brokers.Subject
	}{
		"NIE, one surname": {func(a *answer) {
			a.set("PersonIdentifier", "ES/ES/X1234567L")
			a.set("FamilyName", "PRUEBA")
			a.set("FirstSurname", "PRUEBA")
		}, brokers.Subject{Key: "es-nif:X1234567L", GivenName: "ANA MARÍA", FamilyName: "PRUEBA", FirstSurname: "PRUEBA", Country: "ES"}},
		"DNI without leading zeros": {func(a *answer) {
			a.set("PersonIdentifier", "ES/ES/1R")
			a.set("FirstSurname", "-")
		}, brokers.Subject{Key: "es-nif:00000001R", GivenName: "ANA MARÍA", FamilyName: "DE LA PRUEBA EJEMPLO", Country: "ES"}},
		"citizen of another country": {func(a *answer) {
			a.set("PersonIdentifier", "EE/ES/60001019906")
			a.set("FirstSurname", "-")
			a.set("DateOfBirth", "2000-01-01")
		}, brokers.Subject{Key: "eidas:EE/ES/60001019906", GivenName: "ANA MARÍA", FamilyName: "DE LA PRUEBA EJEMPLO", Birthdate: "2000-01-01", Country: "EE"}},
		"attributes by friendly name": {func(a *answer) {
			for i := range a.attributes {
				a.attributes[i].name = a.attributes[i].friendly
			}
			a.set("FirstSurname", "-")
		}, brokers.Subject{Key: "es-nif:12345678Z", GivenName: "ANA MARÍA", FamilyName: "DE LA PRUEBA EJEMPLO", Country: "ES"}},
		"certificate of a person": {func(a *answer) {
			a.set("PartialAfirma", fragment(`<i><Campo><idCampo>clasificacion</idCampo><valorCampo>0</valorCampo></Campo><Campo><idCampo>NIFResponsable</idCampo><valorCampo>12345678Z</valorCampo></Campo></i>`))
			a.set("FirstSurname", "-")
		}, brokers.Subject{Key: "es-nif:12345678Z", GivenName: "ANA MARÍA", FamilyName: "DE LA PRUEBA EJEMPLO", Country: "ES"}},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t, nil)
			d := start(t, u, request("clave-permanente-sms", levels.Low))
			a := goodAnswer()
			row.edit(a)
			event, err := u.Finish(context.Background(), a.callback(d.RequestID), d)
			if err != nil {
				t.Fatal(err)
			}
			if event.Subject != row.want {
				t.Errorf("subject = %+v, want %+v", event.Subject, row.want)
			}
		})
	}
	for _, identifier := range []string{"ES/ES/12345678Z", "A58818501", "ES/ES/A58818501"} {
		u := newUpstream(t, func(c *Config) { c.Representatives = true })
		d := start(t, u, request("clave-certificado", levels.Low))
		a := goodAnswer()
		a.set("SelectedIdP", "AFIRMA")
		a.set("PersonIdentifier", identifier)
		a.set("PartialAfirma", fragment(representative))
		event, err := u.Finish(context.Background(), a.callback(d.RequestID), d)
		if err != nil {
			t.Fatal(err)
		}
		if r := event.Subject.Represents; event.Subject.Key != "es-nif:12345678Z" || r == nil || r.Key != "es-nif:A58818501" || !r.Legal || r.Name != "Empresa de Prueba SA" {
			t.Errorf("subject = %+v represents %+v", event.Subject, r)
		}
	}
}

func sub(old, changed string) func(string) string {
	return func(s string) string {
		if !strings.Contains(s, old) {
			panic("edit finds no " + old)
		}
		return strings.Replace(s, old, changed, 1)
	}
}

// The rows of broker.md 13.3 that are about attributes and levels, as Cl@ve has
// them, and the checks of package saml at one row each.
func TestFinishRefuses(t *testing.T) {
	fragment := func(s string) func(*answer) {
		return func(a *answer) { a.set("PartialAfirma", base64.StdEncoding.EncodeToString([]byte(s))) }
	}
	set := func(friendly, value string) func(*answer) { return func(a *answer) { a.set(friendly, value) } }
	for _, row := range []struct {
		name     string
		edit     func(*answer)
		reason   string
		category brokers.Category
	}{
		{"X-86 level lower than asked", func(a *answer) { a.class = eidas + "low" }, reasonLevel, brokers.CategoryLevel},
		{"X-86 class unknown", func(a *answer) { a.class = "urn:unknown" }, reasonClass, ""},
		{"X-86 class of another vocabulary", func(a *answer) { a.class = "urn:oasis:names:tc:SAML:2.0:ac:classes:SmartcardPKI" }, reasonClass, ""},
		{"X-86 notified prefix with unknown suffix", func(a *answer) { a.class = eidas + "higher" }, reasonClass, ""},
		{"X-86 class in other case", func(a *answer) { a.class = strings.ToUpper(eidas) + "HIGH" }, reasonClass, ""},
		{"X-86 not notified", func(a *answer) { a.class = eidas + "NotNotified/high" }, reasonClass, ""},

		{"attribute statement empty", func(a *answer) { a.attributes = nil }, "attributes", ""},
		{"missing PersonIdentifier", set("PersonIdentifier", "-"), "attributes", ""},
		{"empty PersonIdentifier", set("PersonIdentifier", " "), "attributes", ""},
		{"missing FirstName", set("FirstName", "-"), "attributes", ""},
		{"missing FamilyName", set("FamilyName", "-"), "attributes", ""},
		{"X-23 control character in a name", set("FamilyName", "PRUEBA&#x9;X"), "attributes", ""},
		{"X-23 direction mark in a name", set("FirstName", "ANA\u202eAIR"), "attributes", ""},
		{"name of more than the limit", set("FirstName", strings.Repeat("A", maxName+1)), "attributes", ""},
		{"X-85 duplicate with different values", func(a *answer) {
			a.attributes = append(a.attributes, attribute{natural + "PersonIdentifier", "PersonIdentifier", "ES/ES/00000001R"})
		}, "attributes", ""},
		{"X-85 two values", func(a *answer) {
			a.editText = sub("12345678Z</saml2:AttributeValue>", "12345678Z</saml2:AttributeValue><saml2:AttributeValue>ES/ES/00000001R</saml2:AttributeValue>")
		}, "attributes", ""},
		{"X-85 XML in a value", set("PersonIdentifier", "<x>ES/ES/12345678Z</x>"), "schema", ""},
		{"X-21 comment in a value", func(a *answer) {
			a.editSigned = sub("ES/ES/12345678Z</saml2:AttributeValue>", "ES/ES/1234<!-- -->5678Z</saml2:AttributeValue>")
		}, "xml", ""},
		{"wrong check letter", set("PersonIdentifier", "ES/ES/12345678A"), "subject", ""},
		{"wrong check letter of a NIE", set("PersonIdentifier", "ES/ES/X1234567A"), "subject", ""},
		{"identifier for another destination", set("PersonIdentifier", "ES/NL/12345678Z"), "subject", ""},
		{"identifier without prefix", set("PersonIdentifier", "12345678Z"), "subject", ""},
		{"organisation as a person", set("PersonIdentifier", "ES/ES/A58818501"), "subject", ""},
		{"date of birth is none", set("DateOfBirth", "2000-13-01"), "attributes", ""},
		{"RelayState attribute different", set("RelayState", "other"), "relay_state", ""},
		{"RelayState attribute missing", set("RelayState", "-"), "relay_state", ""},
		{"RelayState field different", func(a *answer) { a.formState = "other" }, "relay_state", ""},
		{"identity provider that we had disabled", set("SelectedIdP", "AFIRMA"), "selected_idp", ""},

		{"certificate of a legal person", fragment("<i><clasificacion>1</clasificacion></i>"), "subject", ""},
		{"certificate of an unknown class", fragment("<i><clasificacion>99</clasificacion></i>"), "subject", ""},
		{"certificate of somebody else", fragment("<i><clasificacion>0</clasificacion><NIFResponsable>00000001R</NIFResponsable></i>"), "subject", ""},
		{"representative whom nobody honours", fragment("<i><clasificacion>12</clasificacion><NIFResponsable>12345678Z</NIFResponsable><NIF-CIF>A58818501</NIF-CIF></i>"), "representation", brokers.CategoryDenied},
		{"representative of nobody", fragment("<i><clasificacion>11</clasificacion><NIFResponsable>12345678Z</NIFResponsable></i>"), "subject", ""},
		{"representative who is another", fragment("<i><clasificacion>11</clasificacion><NIFResponsable>00000001R</NIFResponsable><NIF-CIF>A58818501</NIF-CIF></i>"), "subject", ""},
		{"fragment with a field twice", fragment("<i><clasificacion>0</clasificacion><clasificacion>11</clasificacion></i>"), "attributes", ""},
		{"X-24 fragment with DOCTYPE", fragment("<!DOCTYPE i><i></i>"), "attributes", ""},
		{"X-110 fragment too deep", fragment(strings.Repeat("<i>", maxAfirmaDepth+1) + strings.Repeat("</i>", maxAfirmaDepth+1)), "attributes", ""},
		{"fragment too long", fragment("<i>" + strings.Repeat("x", maxAfirma) + "</i>"), "attributes", ""},
		{"fragment that breaks off", fragment("<i><clasificacion>0"), "attributes", ""},
		{"fragment that is not Base64", set("PartialAfirma", "*"), "attributes", ""},

		{"X-76 unsigned", func(a *answer) { a.unsigned = true }, "signature_missing", ""},
		{"X-76 only the assertion signed", func(a *answer) { a.unsigned, a.signAssertion = true, true }, "signature_missing", ""},
		{"signed by another key", func(a *answer) { a.signer = pairs().other }, "signature_key", ""},
		{"another audience", func(a *answer) { a.audience = "https://other.example" }, "audience", ""},
		{"X-84 another issuer", func(a *answer) { a.editText = sub(">"+gatewayID+"<", ">https://other.example<") }, "issuer", ""},
		{"X-81 another destination", func(a *answer) { a.editText = sub(`Destination="`+acs, `Destination="`+acs+"/") }, "destination", ""},
		{"X-77 another request", func(a *answer) { a.editText = sub(`InResponseTo="`, `InResponseTo="x`) }, "in_response_to", ""},
		{"X-78 unsolicited", func(a *answer) {
			a.editText = func(s string) string {
				i := strings.Index(s, ` InResponseTo="`)
				return s[:i] + s[i+strings.Index(s[i+15:], `"`)+16:]
			}
		}, "unsolicited", ""},

		{"invalid attribute", func(a *answer) { a.top, a.second = "Requester", "InvalidAttrNameOrValue" }, "login_failed", brokers.CategoryConfiguration},
		{"invalid NameID policy", func(a *answer) { a.top, a.second = "Requester", "InvalidNameIDPolicy" }, "login_failed", brokers.CategoryConfiguration},
		{"level not reached", func(a *answer) { a.top, a.second = "Responder", "NoAuthnContext" }, "loa_too_low", brokers.CategoryLevel},
		{"no identity provider", func(a *answer) { a.top, a.second = "Responder", "NoAvailableIDP" }, "login_failed", brokers.CategoryUnavailable},
		{"other failure", func(a *answer) { a.top = "Responder" }, "login_failed", brokers.CategoryDenied},
	} {
		t.Run(row.name, func(t *testing.T) {
			u := newUpstream(t, nil)
			d := start(t, u, request("clave-permanente-sms", levels.Low))
			a := goodAnswer()
			row.edit(a)
			event, err := u.Finish(context.Background(), a.callback(d.RequestID), d)
			wantRejected(t, event, err, row.reason, row.category)
		})
	}
}

func wantRejected(t *testing.T, event *brokers.AuthenticationEvent, err error, reason string, category brokers.Category) {
	t.Helper()
	brokertest.WantRejected(t, event, err, reason, category, "12345678", "PRUEBA", "00000001", "A58818501")
}

func TestCancelledAndDeniedReadAlike(t *testing.T) {
	for _, codes := range [][2]string{{"Responder", "AuthnFailed"}, {"Requester", "RequestDenied"}} {
		u := newUpstream(t, nil)
		d := start(t, u, request("clave-movil", levels.Low))
		a := goodAnswer()
		a.top, a.second = codes[0], codes[1]
		if _, err := u.Finish(context.Background(), a.callback(d.RequestID), d); !errors.Is(err, brokers.ErrCancelled) {
			t.Errorf("%v: %v", codes, err)
		}
	}
}

func TestFinishRefusesTheSecondUse(t *testing.T) {
	u := newUpstream(t, nil)
	d := start(t, u, request("clave-permanente-sms", levels.Low))
	a := goodAnswer()
	if _, err := u.Finish(context.Background(), a.callback(d.RequestID), d); err != nil {
		t.Fatal(err)
	}
	event, err := u.Finish(context.Background(), a.callback(d.RequestID), d)
	wantRejected(t, event, err, "replay", "")
}

func TestFinishRefusesOtherForms(t *testing.T) { // X-91; GET instead of POST
	u := newUpstream(t, nil)
	d := start(t, u, request("clave-movil", levels.Low))
	response := base64.StdEncoding.EncodeToString([]byte(goodAnswer().text(d.RequestID)))
	get := post(acs+"?"+url.Values{"SAMLResponse": {response}, "RelayState": {state}}.Encode(), nil)
	get.Method = http.MethodGet
	for name, r := range map[string]*http.Request{
		"GET": get, "two responses": post(acs, url.Values{"SAMLResponse": {response, response}, "RelayState": {state}}), "none": post(acs, url.Values{"RelayState": {state}}),
	} {
		event, err := u.Finish(context.Background(), r, d)
		if event != nil || saml.ReasonOf(err) != saml.ReasonBinding {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The method went out of the offer while the citizen was away.
	d.Request.Method = "clave-pin"
	event, err := u.Finish(context.Background(), goodAnswer().callback(d.RequestID), d)
	wantRejected(t, event, err, "method", brokers.CategoryConfiguration)
}

// The gateway changes keys on a day that is announced on a page (2.9, X-69).
func TestGatewayCertificatesByDate(t *testing.T) {
	now := testNow
	u := newUpstream(t, func(c *Config) {
		c.Clock = func() time.Time { return now }
		c.GatewayCertificates = []TrustedCertificate{
			{Certificate: pairs().gateway.cert, Until: testNow.Add(2 * time.Hour)},
			{Certificate: pairs().next.cert, From: testNow.Add(time.Hour), Until: testNow.Add(48 * time.Hour)},
		}
	})
	for _, row := range []struct {
		after  time.Duration
		signer pair
		reason saml.Reason
	}{
		{0, pairs().gateway, ""},
		{0, pairs().next, saml.ReasonSignatureKey},
		{time.Hour, pairs().gateway, ""},
		{time.Hour, pairs().next, ""},
		{2 * time.Hour, pairs().gateway, saml.ReasonSignatureKey},
		{2 * time.Hour, pairs().next, ""},
		{48 * time.Hour, pairs().next, "gateway_certificate"},
	} {
		now = testNow.Add(row.after)
		d := start(t, u, request("clave-permanente-sms", levels.Low))
		a := goodAnswer()
		a.signer = row.signer
		// Times of the answer move along.
		a.editText = func(s string) string {
			for _, seconds := range []int{5, 6, 300} {
				s = strings.ReplaceAll(s, at(seconds), testNow.Add(row.after+time.Duration(seconds)*time.Second).Format("2006-01-02T15:04:05Z"))
			}
			return strings.Replace(s, `ID="_a1"`, `ID="_a`+row.after.String()+row.signer.cert.SerialNumber.String()+`"`, 1)
		}
		_, err := u.Finish(context.Background(), a.callback(d.RequestID), d)
		if saml.ReasonOf(err) != row.reason || (err == nil) != (row.reason == "") {
			t.Errorf("after %s: %v, want %q", row.after, err, row.reason)
		}
	}
}

// the NameID is nobody's identifier. What comes with one and the same NameID
// are two people if the attributes say so, and it makes no difference whether it is
// persistent or transient.
func TestNameIDIsNobody(t *testing.T) {
	for _, row := range []struct{ name, edit, identifier, want string }{
		{"as it is", "", "ES/ES/12345678Z", "es-nif:12345678Z"},
		{"same NameID, other person", "", "ES/ES/99999018D", "es-nif:99999018D"},
		{"same NameID, person of another scheme", "", "EE/ES/60001019906", "eidas:EE/ES/60001019906"},
		{"same person, transient NameID", "nameid-format:transient", "ES/ES/12345678Z", "es-nif:12345678Z"},
		{"same person, other NameID", ">somebody</saml2:NameID>", "ES/ES/12345678Z", "es-nif:12345678Z"},
	} {
		t.Run(row.name, func(t *testing.T) {
			u := newUpstream(t, nil)
			d := start(t, u, request("clave-permanente-sms", levels.Substantial))
			a := goodAnswer()
			a.set("PersonIdentifier", row.identifier)
			a.set("FirstSurname", map[bool]string{true: "-", false: "DE LA PRUEBA"}[strings.HasPrefix(row.identifier, "EE")])
			switch {
			case strings.HasPrefix(row.edit, ">"):
				a.editText = sub(">ES/ES/12345678Z</saml2:NameID>", row.edit)
			case row.edit != "":
				a.editText = sub("nameid-format:persistent", row.edit)
			}
			if strings.HasPrefix(row.identifier, "EE") {
				a.set("SelectedIdP", "EIDAS")
				d = start(t, u, request("clave-eidas", levels.Substantial))
			}
			event, err := u.Finish(context.Background(), a.callback(d.RequestID), d)
			if err != nil {
				t.Fatal(err)
			}
			if event.Subject.Key != row.want {
				t.Errorf("subject %q, want %q", event.Subject.Key, row.want)
			}
		})
	}
}

func TestAudienceIsAList(t *testing.T) {
	for _, audience := range []string{"https://broker.example", "S0000000X_E00000001;PORTALDEMO"} {
		u := newUpstream(t, func(c *Config) { c.Audiences = []string{"https://broker.example", c.ProviderName} })
		d := start(t, u, request("clave-permanente-sms", levels.Low))
		a := goodAnswer()
		a.audience = audience
		if _, err := u.Finish(context.Background(), a.callback(d.RequestID), d); err != nil {
			t.Errorf("%s: %v", audience, err)
		}
	}
}

func TestSignedAssertionsWhereDemanded(t *testing.T) {
	u := newUpstream(t, func(c *Config) { c.SignedAssertions = true })
	d := start(t, u, request("clave-permanente-sms", levels.Low))
	event, err := u.Finish(context.Background(), goodAnswer().callback(d.RequestID), d)
	wantRejected(t, event, err, "signature_missing", "")
	a := goodAnswer()
	a.signAssertion = true
	if _, err := u.Finish(context.Background(), a.callback(d.RequestID), d); err != nil {
		t.Error(err)
	}
}

func TestSelectorTakesWhatIsNotDisabled(t *testing.T) {
	u := newUpstream(t, func(c *Config) { c.Selector, c.DisabledIdPs = true, []IdP{IdPPermanente} })
	d := start(t, u, request("clave", levels.Low))
	event, err := u.Finish(context.Background(), goodAnswer().callback(d.RequestID), d)
	wantRejected(t, event, err, "selected_idp", "")
	a := goodAnswer()
	a.set("SelectedIdP", "AFIRMA")
	event, err = u.Finish(context.Background(), a.callback(d.RequestID), d)
	if err == nil {
		t.Fatalf("replayed: %+v", event)
	}
	u = newUpstream(t, func(c *Config) { c.Selector = true })
	if event, err = u.Finish(context.Background(), a.callback(d.RequestID), d); err != nil || event.Method != "clave" || event.AMR != nil {
		t.Errorf("event = %+v, %v", event, err)
	}
}

func TestLogout(t *testing.T) { // broker.md 3.5
	u := newUpstream(t, nil)
	d, err := u.StartLogout(context.Background(), nil, state)
	if err != nil {
		t.Fatal(err)
	}
	if d.Location != gatewayURL || d.Form["logoutRequest"] == "" || d.Form["logoutRequest"] != d.Form["samlRequestLogout"] || d.Form["country"] != "ES" || d.Form["RelayState"] != state || d.Form["SAMLRequest"] != "" {
		t.Errorf("form = %v", d.Form)
	}
	e := received(t, d.Form["logoutRequest"])
	if e.Tag != "LogoutRequest" || e.FindElement("Issuer").Text() != logoutURL || e.SelectAttrValue("Reason", "") != saml.LogoutByUser ||
		e.SelectAttrValue("NotOnOrAfter", "") != at(310) || e.SelectAttrValue("Destination", "") != gatewayURL {
		t.Errorf("request = %v", e.Attr)
	}
	if id := e.FindElement("NameID"); id.Text() != "S0000000X_E00000001" || id.SelectAttrValue("SPNameQualifier", "") != logoutURL || id.SelectAttrValue("Format", "") != nameIDUnspecified {
		t.Errorf("NameID = %v", id)
	}
	response := func(issuer, inner string) string {
		return sign(pairs().gateway, `<saml2p:LogoutResponse`+namespaces+` ID="_l1" InResponseTo="`+d.RequestID+`" Destination="`+logoutURL+`" IssueInstant="`+at(12)+`" Version="2.0" Consent="urn:oasis:names:tc:SAML:2.0:consent:obtained"><saml2:Issuer>`+issuer+`</saml2:Issuer><saml2p:Status>`+inner+`</saml2p:Status></saml2p:LogoutResponse>`)
	}
	const success = `<saml2p:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/><saml2p:StatusMessage>urn:oasis:names:tc:SAML:2.0:status:Success</saml2p:StatusMessage>`
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for _, field := range []string{"logoutResponse", "samlResponseLogout"} {
		for _, issuer := range []string{gatewayID, gatewayURL, "Cl@ve"} {
			r := post(logoutURL, url.Values{field: {encode(response(issuer, success))}, "RelayState": {state}})
			if err := u.FinishLogout(context.Background(), r, d); err != nil {
				t.Errorf("%s by %s: %v", field, issuer, err)
			}
		}
	}
	partial := response(gatewayID, `<saml2p:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Responder"><saml2p:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:PartialLogout"/></saml2p:StatusCode>`)
	var status *saml.StatusError
	if err := u.FinishLogout(context.Background(), post(logoutURL, url.Values{"logoutResponse": {encode(partial)}, "RelayState": {state}}), d); !errors.As(err, &status) || status.Second != saml.StatusPartialLogout {
		t.Errorf("partial logout = %v", err)
	}
	for name, form := range map[string]url.Values{
		"another RelayState": {"logoutResponse": {encode(response(gatewayID, success))}, "RelayState": {"other"}},
		"another issuer":     {"logoutResponse": {encode(response("https://other.example", success))}, "RelayState": {state}},
		"login field":        {"SAMLResponse": {encode(response(gatewayID, success))}, "RelayState": {state}},
		"changed":            {"logoutResponse": {encode(strings.Replace(response(gatewayID, success), `Version="2.0"`, `Version="2.0" xml:lang="es"`, 1))}, "RelayState": {state}},
	} {
		if err := u.FinishLogout(context.Background(), post(logoutURL, form), d); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := newUpstream(t, func(c *Config) { c.LogoutURL = "" }).StartLogout(context.Background(), nil, state); !errors.Is(err, ErrNoLogout) {
		t.Errorf("logout without address = %v", err)
	}
}

func TestAlerts(t *testing.T) {
	u := newUpstream(t, func(c *Config) { c.Clock = func() time.Time { return time.Date(2039, 12, 20, 0, 0, 0, 0, time.UTC) } })
	if alerts := u.Alerts(); len(alerts) != 2 || alerts[0].Kind != saml.AlertCertificateExpires {
		t.Errorf("alerts = %+v", alerts)
	}
}

func TestNewRefusesUnsafeConfigurations(t *testing.T) {
	for name, spoil := range map[string]func(*Config){
		"no provider name":           func(c *Config) { c.ProviderName = "" },
		"provider name of one half":  func(c *Config) { c.ProviderName = "S0000000X_E00000001" },
		"provider name of three":     func(c *Config) { c.ProviderName = "a;b;c" },
		"plain HTTP":                 func(c *Config) { c.ACSURL = "http://broker.example/callback" },
		"gateway over plain HTTP":    func(c *Config) { c.GatewayURL = "http://pasarela.example" },
		"gateway inside":             func(c *Config) { c.GatewayURL = "http://127.0.0.1/x" },
		"gateway as script":          func(c *Config) { c.GatewayURL = "javascript:alert(1)" },
		"logout over plain HTTP":     func(c *Config) { c.LogoutURL = "http://broker.example/x" },
		"no key":                     func(c *Config) { c.SigningKey = nil },
		"certificate of other key":   func(c *Config) { c.Certificate = pairs().other.cert },
		"SHA-1":                      func(c *Config) { c.Hash = 3 },
		"no gateway certificate":     func(c *Config) { c.GatewayCertificates = nil },
		"empty gateway certificate":  func(c *Config) { c.GatewayCertificates = []TrustedCertificate{{}} },
		"no replay store":            func(c *Config) { c.Replay = nil },
		"too much skew":              func(c *Config) { c.Skew = time.Hour },
		"unknown method":             func(c *Config) { c.Methods = []string{"clave-otro"} },
		"methods beside selector":    func(c *Config) { c.Selector, c.Methods = true, []string{"clave-movil"} },
		"unknown provider disabled":  func(c *Config) { c.DisabledIdPs = []IdP{"OtherIdP"} },
		"unknown provider selected":  func(c *Config) { c.SelectedIdPs = map[string]IdP{"X": "OtherIdP"} },
		"private without saying so":  func(c *Config) { c.Private, c.WithoutSPType = true, true },
		"everything is switched off": func(c *Config) { c.DisabledIdPs = idps() },
	} {
		c := testConfig()
		spoil(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzPartialAfirma(f *testing.F) {
	f.Add([]byte("<i><clasificacion>11</clasificacion><NIF-CIF>A58818501</NIF-CIF></i>"))
	f.Add([]byte("<i><c><idCampo>razonSocial</idCampo><valorCampo>X</valorCampo></c></i>"))
	f.Fuzz(func(t *testing.T, fragment []byte) {
		c, err := parseAfirma(fragment)
		if err == nil && !strings.Contains(string(fragment), "&") && !strings.Contains(string(fragment), "\r") && !strings.Contains(string(fragment), "<!") && !strings.Contains(string(fragment), c.kind) {
			t.Errorf("class %q out of nowhere", c.kind)
		}
	})
}
