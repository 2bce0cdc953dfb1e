package eidas

import (
	"context"
	"encoding/base64"
	"errors"
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
	_ brokers.Upstream  = (*Upstream)(nil)
	_ brokers.Describer = (*Upstream)(nil)
	_ brokers.Destined  = (*Upstream)(nil)
)

func TestLogin(t *testing.T) {
	for name, signer := range map[string]pair{"RSA-PSS": pairs().node, "ECDSA": pairs().nodeEC} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t, nil)
			d := start(t, u, "eidas", levels.Substantial)
			a := goodAnswer()
			a.signer = signer
			r := a.callback(d.RequestID)
			if got, err := u.Correlate(r); err != nil || got != state {
				t.Fatalf("correlate = %q, %v", got, err)
			}
			event, err := u.Finish(context.Background(), r, d)
			if err != nil {
				t.Fatal(err)
			}
			want := brokers.Subject{Key: "eidas:EE/ES/60001019906", GivenName: "MARY ÄNN", FamilyName: "O’CONNEŽ-ŠUSLIK TESTNUMBER", Birthdate: "2000-01-01", Country: "EE"}
			if event.Subject != want {
				t.Errorf("subject = %+v", event.Subject)
			}
			if x := event.Assessment; x.Level != levels.Substantial || !x.Notified || x.Rule != "eidas.substantial" {
				t.Errorf("assessment = %+v", x)
			}
			if event.Method != "eidas" || event.Issuer != nodeID || !event.AuthTime.Equal(testNow.Add(5*time.Second)) {
				t.Errorf("event = %+v", event)
			}
		})
	}
}

// The request of broker.md 5.2.
func TestRequest(t *testing.T) {
	u := newUpstream(t, func(c *Config) { c.Optional = []string{"PlaceOfBirth"} })
	d := start(t, u, "eidas", levels.Substantial)
	e, message := request(t, d)
	for name, want := range map[string]string{
		"ID": d.RequestID, "Destination": nodeURL, "AssertionConsumerServiceURL": acs, "ForceAuthn": "true", "IsPassive": "false",
		"ProviderName": "Portal de prueba", "Consent": consent,
	} {
		if got := e.SelectAttrValue(name, "none"); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if i := e.FindElement("Issuer"); i.Text() != spID || i.SelectAttrValue("Format", "") != formatEntity {
		t.Errorf("issuer = %v", i)
	}
	if p := e.FindElement("NameIDPolicy"); p.SelectAttrValue("AllowCreate", "") != "true" || p.SelectAttrValue("Format", "") != string(Persistent) {
		t.Errorf("NameIDPolicy = %v", p.Attr)
	}
	if got := e.FindElement("Extensions/SPType").Text(); got != "public" {
		t.Errorf("SPType = %q", got)
	}
	var asked []string
	for _, a := range e.FindElements("Extensions/RequestedAttributes/RequestedAttribute") {
		asked = append(asked, strings.TrimPrefix(a.SelectAttrValue("Name", ""), naturalNS+"/")+" "+a.SelectAttrValue("isRequired", ""))
	}
	if want := []string{"PersonIdentifier true", "CurrentFamilyName true", "CurrentGivenName true", "DateOfBirth true", "PlaceOfBirth false"}; !slices.Equal(asked, want) {
		t.Errorf("asked = %v", asked)
	}
	if !strings.Contains(message, pssURI) {
		t.Error("request is not signed with RSA-PSS")
	}
	c := e.FindElement("RequestedAuthnContext")
	if c.SelectAttrValue("Comparison", "") != "minimum" || len(c.ChildElements()) != 1 || c.ChildElements()[0].Text() != notifiedPrefix+"substantial" {
		t.Errorf("context = %v", c)
	}
	if len(d.Form) != 2 || d.Location != nodeURL {
		t.Errorf("departure = %+v", d)
	}
	if got := u.Destinations(); !slices.Equal(got, []string{"https://node.example"}) {
		t.Errorf("destinations = %v", got)
	}
}

func TestRequestVariants(t *testing.T) {
	u := newUpstream(t, func(c *Config) {
		c.Private, c.RequesterID, c.TypeInMetadata, c.NameIDFormat, c.Legal = true, "https://shop.example", true, Transient, true
		c.SigningKey, c.Certificate = pairs().spEC.key, pairs().spEC.cert
	})
	e, message := request(t, start(t, u, "eidas", levels.Low))
	if e.FindElement("Extensions/SPType") != nil || e.FindElement("Scoping/RequesterID").Text() != "https://shop.example" || e.FindElement("NameIDPolicy").SelectAttrValue("Format", "") != string(Transient) {
		t.Errorf("request = %s", message)
	}
	if !strings.Contains(message, ecdsaURI) || !strings.Contains(message, legalNS+"/LegalPersonIdentifier") || !strings.Contains(message, legalNS+"/LegalName") {
		t.Error("request lacks its signature method or the legal person")
	}
	document, err := u.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`>private</eidas:SPType>`, `use="encryption"`, "xmlenc11#aes256-gcm", `entityID="` + spID + `"`, "HTTP-POST\" Location=\"" + acs} {
		if !strings.Contains(string(document), want) {
			t.Errorf("metadata lacks %s", want)
		}
	}
	u = newUpstream(t, func(c *Config) { c.PKCS1 = true })
	if _, message := request(t, start(t, u, "eidas", levels.Low)); !strings.Contains(message, "xmldsig-more#rsa-sha256") {
		t.Error("request is not signed with PKCS #1")
	}
}

func TestCountries(t *testing.T) {
	u := newUpstream(t, func(c *Config) { c.Countries = []string{"EE", "NL"} })
	methods := u.Methods()
	if len(methods) != 2 || methods[1].ID != "eidas-nl" || !strings.HasSuffix(methods[1].Name["en"], "– Netherlands") || !strings.HasSuffix(methods[1].Name["es"], "– Países Bajos") || !strings.HasSuffix(methods[0].Name["et"], "– Eesti") {
		t.Errorf("methods = %+v", methods)
	}
	if other := newUpstream(t, func(c *Config) { c.Countries = []string{"XA"} }).Methods(); !strings.HasSuffix(other[0].Name["et"], "– XA") {
		t.Errorf("country of the laboratory = %+v", other)
	}
	d := start(t, u, "eidas-ee", levels.Low)
	if d.Form["country"] != "EE" {
		t.Errorf("form = %v", d.Form)
	}
	if _, err := u.Finish(context.Background(), goodAnswer().callback(d.RequestID), d); err != nil {
		t.Error(err)
	}
	d = start(t, u, "eidas-nl", levels.Low)
	event, err := u.Finish(context.Background(), strings2(goodAnswer(), "_a2").callback(d.RequestID), d)
	wantRejected(t, event, err, "country", "")
}

// strings2 gives the assertion another identifier.
func strings2(a *answer, id string) *answer {
	a.editAssertion = func(s string) string { return strings.Replace(s, `ID="_a1"`, `ID="`+id+`"`, 1) }
	return a
}

// nationalMapping knows a scheme that is not notified.
func nationalMapping(t *testing.T) *levels.Mapping {
	t.Helper()
	m, err := levels.Load([]byte(`{"version":"test","schemes":[{"id":"eidas","name":"x","rows":[
		{"rule":"eidas.low","value":"http://eidas.europa.eu/LoA/low","level":"low","notified":true,"source":"x"},
		{"rule":"eidas.substantial","value":"http://eidas.europa.eu/LoA/substantial","level":"substantial","notified":true,"source":"x"},
		{"rule":"eidas.high","value":"http://eidas.europa.eu/LoA/high","level":"high","notified":true,"source":"x"},
		{"rule":"eidas.nn","value":"http://eidas.europa.eu/LoA/NotNotified/high","level":"none","claimed":"high","notified":false,"source":"x"},
		{"rule":"eidas.xx","value":"https://id.example/loa/2","level":"substantial","notified":false,"source":"x"}]}],"vocabularies":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestNonNotifiedLevels(t *testing.T) { // broker.md 5.2, table
	const national = "https://id.example/loa/2"
	for name, row := range map[string]struct {
		edit       func(*Config)
		least      levels.Level
		comparison string
		asked      []string
		accepted   []string
		refused    map[string]string
	}{
		"notified only": {
			func(*Config) {}, levels.Substantial, "minimum",
			[]string{notifiedPrefix + "substantial"},
			[]string{notifiedPrefix + "substantial", notifiedPrefix + "high"},
			map[string]string{national: "context_class", notifiedPrefix + "low": "loa_too_low", notifiedPrefix + "NotNotified/high": "loa_too_low"},
		},
		"both": {
			func(c *Config) { c.NonNotified = []string{national} }, levels.Substantial, "exact",
			[]string{national, notifiedPrefix + "substantial", notifiedPrefix + "high"},
			[]string{national, notifiedPrefix + "high"},
			map[string]string{notifiedPrefix + "low": "context_class", notifiedPrefix + "NotNotified/high": "context_class"},
		},
		"both, upward from low": {
			func(c *Config) { c.NonNotified = []string{national} }, levels.Low, "exact",
			[]string{national, notifiedPrefix + "low", notifiedPrefix + "substantial", notifiedPrefix + "high"},
			[]string{notifiedPrefix + "low"},
			nil,
		},
		"non-notified only": {
			func(c *Config) { c.NonNotified, c.OnlyNonNotified = []string{national}, true }, levels.Low, "exact",
			[]string{national},
			[]string{national},
			map[string]string{notifiedPrefix + "high": "context_class"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			finish := func(class string) (*brokers.AuthenticationEvent, error) {
				u := newUpstream(t, func(c *Config) { c.Mapping = nationalMapping(t); row.edit(c) })
				d := start(t, u, "eidas", row.least)
				c, _ := request(t, d)
				c = c.FindElement("RequestedAuthnContext")
				var asked []string
				for _, class := range c.ChildElements() {
					asked = append(asked, class.Text())
				}
				if c.SelectAttrValue("Comparison", "") != row.comparison || !slices.Equal(asked, row.asked) {
					t.Errorf("asked %s %v", c.SelectAttrValue("Comparison", ""), asked)
				}
				a := goodAnswer()
				a.class = class
				return u.Finish(context.Background(), a.callback(d.RequestID), d)
			}
			for _, class := range row.accepted {
				event, err := finish(class)
				if err != nil {
					t.Errorf("%s: %v", class, err)
				} else if event.Assessment.Notified != strings.HasPrefix(class, notifiedPrefix) {
					t.Errorf("%s: notified %v", class, event.Assessment.Notified)
				}
			}
			for class, reason := range row.refused {
				if _, err := finish(class); string(saml.ReasonOf(err)) != reason {
					t.Errorf("%s: %v, want %s", class, err, reason)
				}
			}
		})
	}
	u := newUpstream(t, func(c *Config) {
		c.Mapping, c.NonNotified, c.OnlyNonNotified = nationalMapping(t), []string{national}, true
	})
	if _, err := u.Start(context.Background(), brokers.AuthenticationRequest{Method: "eidas", Level: levels.High, RelayState: state}); !errors.Is(err, levels.ErrNoClass) {
		t.Errorf("level that nobody has: %v", err)
	}
}

func TestTransliteration(t *testing.T) { // broker.md 5.5
	for name, row := range map[string]struct {
		values []value
		own    string
		latin  string
		bad    bool
	}{
		"one value":                  {[]value{{"Onases", ""}}, "Onases", "", false},
		"one value marked":           {[]value{{"Onases", "true"}}, "Onases", "", false},
		"Latin first":                {[]value{{"Onases", ""}, {"Ωνάσης", "false"}}, "Ωνάσης", "Onases", false},
		"Latin last":                 {[]value{{"Ωνάσης", "false"}, {"Onases", "true"}}, "Ωνάσης", "Onases", false},
		"other script only":          {[]value{{"Ωνάσης", "false"}}, "Ωνάσης", "", false},
		"X-85 two Latin values":      {[]value{{"Onases", ""}, {"Onasis", ""}}, "", "", true},
		"X-85 two values of other":   {[]value{{"Ωνάσης", "false"}, {"Ωνάσις", "0"}}, "", "", true},
		"three values":               {[]value{{"a", ""}, {"b", "false"}, {"c", "false"}}, "", "", true},
		"unknown mark":               {[]value{{"a", "maybe"}}, "", "", true},
		"empty value":                {[]value{{" ", ""}}, "", "", true},
		"X-23 direction mark inside": {[]value{{"On\u202eases", ""}}, "", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t, nil)
			d := start(t, u, "eidas", levels.Low)
			a := goodAnswer()
			a.set(naturalNS+"/CurrentFamilyName", row.values...)
			event, err := u.Finish(context.Background(), a.callback(d.RequestID), d)
			if row.bad {
				wantRejected(t, event, err, "attributes", "")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if event.Subject.FamilyName != row.own || event.Subject.FamilyNameLatin != row.latin {
				t.Errorf("%q, %q", event.Subject.FamilyName, event.Subject.FamilyNameLatin)
			}
		})
	}
}

func TestOptionalAttributes(t *testing.T) {
	u := newUpstream(t, func(c *Config) { c.Optional = []string{"BirthName", "CurrentAddress", "Gender"} })
	d := start(t, u, "eidas", levels.Low)
	a := goodAnswer()
	a.setText(naturalNS+"/BirthName", "MARY TEST")
	a.setText(naturalNS+"/Gender", "Female")
	a.setText(naturalNS+"/CurrentAddress", base64.StdEncoding.EncodeToString([]byte("<eidas-natural:PostName>Tallinn</eidas-natural:PostName>")))
	event, err := u.Finish(context.Background(), a.callback(d.RequestID), d)
	if err != nil {
		t.Fatal(err)
	}
	if p := event.Subject.Particulars; p == nil || *p != (brokers.Particulars{BirthName: "MARY TEST", Gender: "Female", Address: "<eidas-natural:PostName>Tallinn</eidas-natural:PostName>"}) {
		t.Errorf("particulars = %+v", p)
	}
}

func withLegal(a *answer) {
	a.setText(legalNS+"/LegalPersonIdentifier", "EE/ES/12345678")
	a.setText(legalNS+"/LegalName", "Proovifirma OÜ")
	a.setText(legalNS+"/LEI", "TESTLEI0000000000001")
}

func withRepresentative(a *answer) {
	const ns = naturalNS + representativeNS
	a.setText(ns+"/PersonIdentifier", "EE/ES/38001085718")
	a.setText(ns+"/CurrentFamilyName", "ESINDAJA")
	a.setText(ns+"/CurrentGivenName", "PROOVI")
	a.setText(ns+"/DateOfBirth", "1980-01-08")
}

func TestRepresentation(t *testing.T) { // broker.md 5.5: the one who acts is the subject
	for name, row := range map[string]struct {
		edit   func(*answer)
		config func(*Config)
		key    string
		want   brokers.Represented
	}{
		"natural person of a legal person": {
			withLegal, func(c *Config) { c.Legal = true }, "eidas:EE/ES/60001019906",
			brokers.Represented{Key: "eidas-legal:EE/ES/12345678", Legal: true, Name: "Proovifirma OÜ"},
		},
		"representative of a natural person": {
			withRepresentative, func(c *Config) { c.Representatives = true }, "eidas:EE/ES/38001085718",
			brokers.Represented{Key: "eidas:EE/ES/60001019906", GivenName: "MARY ÄNN", FamilyName: "O’CONNEŽ-ŠUSLIK TESTNUMBER", Birthdate: "2000-01-01"},
		},
		"representative of a legal person": {
			func(a *answer) {
				withRepresentative(a)
				withLegal(a)
				for _, k := range naturalAttributes()[:4] {
					a.set(naturalNS + "/" + k.name)
				}
			}, func(c *Config) { c.Representatives = true }, "eidas:EE/ES/38001085718",
			brokers.Represented{Key: "eidas-legal:EE/ES/12345678", Legal: true, Name: "Proovifirma OÜ"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t, row.config)
			d := start(t, u, "eidas", levels.Low)
			a := goodAnswer()
			row.edit(a)
			event, err := u.Finish(context.Background(), a.callback(d.RequestID), d)
			if err != nil {
				t.Fatal(err)
			}
			got := event.Subject.Represents
			if event.Subject.Key != row.key || got == nil {
				t.Fatalf("subject = %+v", event.Subject)
			}
			if row.want.Legal != (got.Identifiers["LEI"] == "TESTLEI0000000000001") {
				t.Errorf("identifiers = %v", got.Identifiers)
			}
			got.Identifiers = nil
			if got.Key != row.want.Key || got.Name != row.want.Name || got.Legal != row.want.Legal || got.FamilyName != row.want.FamilyName || got.Birthdate != row.want.Birthdate || got.GivenName != row.want.GivenName {
				t.Errorf("represents = %+v", got)
			}
			// Unless every client honours it, nobody is let in that way.
			a.signer = pairs().node
			u = newUpstream(t, nil)
			event, err = u.Finish(context.Background(), a.callback(d.RequestID), d)
			wantRejected(t, event, err, "representation", brokers.CategoryDenied)
		})
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

// The rows of broker.md 13.3 about attributes, levels and encryption as a node
// has them, and the checks of package saml at one row each.
func TestFinishRefuses(t *testing.T) {
	text := func(local, v string) func(*answer) {
		return func(a *answer) { a.setText(naturalNS+"/"+local, v) }
	}
	without := func(local string) func(*answer) { return func(a *answer) { a.set(naturalNS + "/" + local) } }
	for _, row := range []struct {
		name     string
		edit     func(*answer)
		reason   string
		category brokers.Category
	}{
		{"X-86 level lower than asked", func(a *answer) { a.class = notifiedPrefix + "low" }, "loa_too_low", brokers.CategoryLevel},
		{"X-86 not notified", func(a *answer) { a.class = notifiedPrefix + "NotNotified/high" }, "loa_too_low", brokers.CategoryLevel},
		{"X-86 notified prefix with unknown suffix", func(a *answer) { a.class = notifiedPrefix + "higher" }, "context_class", ""},
		{"X-86 notified prefix in other case", func(a *answer) { a.class = "http://eidas.europa.eu/loa/high" }, "context_class", ""},
		{"X-86 class of another vocabulary", func(a *answer) { a.class = "urn:oasis:names:tc:SAML:2.0:ac:classes:SmartcardPKI" }, "context_class", ""},
		{"X-86 context empty", func(a *answer) { a.class = "" }, "context_class", ""},

		{"assertion in the clear", func(a *answer) { a.clear = true }, "encryption", ""},
		{"encrypted for another", func(a *answer) { a.encryptTo = pairs().other.cert }, "decryption", ""},
		{"X-73 both", func(a *answer) {
			a.editResponse = func(s string) string {
				return strings.Replace(s, "<saml2:EncryptedAssertion>", strings.Replace(goodAnswer().assertion("x"), "_a1", "_a3", 1)+"<saml2:EncryptedAssertion>", 1)
			}
		}, "assertion_count", ""},

		{"missing PersonIdentifier", without("PersonIdentifier"), "attributes", ""},
		{"missing family name", without("CurrentFamilyName"), "attributes", ""},
		{"missing given name", without("CurrentGivenName"), "attributes", ""},
		{"missing date of birth", without("DateOfBirth"), "attributes", ""},
		{"partial date of birth", text("DateOfBirth", "2000"), "attributes", ""},
		{"date of birth that is none", text("DateOfBirth", "2000-02-30"), "attributes", ""},
		{"PersonIdentifier for other destination", text("PersonIdentifier", "EE/NL/60001019906"), "subject", ""},
		{"PersonIdentifier without destination", text("PersonIdentifier", "EE/60001019906"), "subject", ""},
		{"PersonIdentifier in small letters", text("PersonIdentifier", "ee/ES/60001019906"), "subject", ""},
		{"PersonIdentifier with a blank", text("PersonIdentifier", "EE/ES/6000 1019906"), "subject", ""},
		{"PersonIdentifier of more than 256 characters", text("PersonIdentifier", "EE/ES/"+strings.Repeat("6", 251)), "subject", ""},
		{"X-85 PersonIdentifier with two values", func(a *answer) {
			a.set(naturalNS+"/PersonIdentifier", value{"EE/ES/60001019906", ""}, value{"EE/ES/38001085718", "false"})
		}, "attributes", ""},
		{"X-85 duplicate with different values", func(a *answer) {
			a.attributes = append(a.attributes, attribute{naturalNS + "/PersonIdentifier", []value{{"EE/ES/38001085718", ""}}})
		}, "attributes", ""},
		{"statement present but empty", func(a *answer) { a.attributes = nil }, "attributes", ""},
		{"gender of another vocabulary", text("Gender", "x"), "attributes", ""},
		{"address that is not Base64", text("CurrentAddress", "*"), "attributes", ""},
		{"address of more than the limit", text("CurrentAddress", strings.Repeat("AAAA", maxAddress/4+1)), "attributes", ""},
		{"name of more than the limit", text("CurrentGivenName", strings.Repeat("A", maxText+1)), "attributes", ""},
		{"legal person that was not asked for", withLegal, "representation", brokers.CategoryDenied},
		{"representative that was not asked for", withRepresentative, "representation", brokers.CategoryDenied},
		{"organisation as representative", func(a *answer) { a.setText(legalNS+representativeNS+"/LegalName", "x") }, "representation", brokers.CategoryDenied},

		{"authenticated before the request", func(a *answer) { a.authn = -120 }, "authn_instant", ""},
		{"signed by another key", func(a *answer) { a.signer = pairs().other }, "signature_invalid", ""},
		{"another audience", func(a *answer) { a.editAssertion = sub(">"+spID+"<", ">https://other.example<") }, "audience", ""},
		{"another destination", func(a *answer) { a.editResponse = sub(`Destination="`+acs, `Destination="`+acs+"/") }, "destination", ""},
		{"another request", func(a *answer) { a.editResponse = sub(`InResponseTo="`, `InResponseTo="x`) }, "in_response_to", ""},
		{"RelayState field different", func(a *answer) { a.formState = "other" }, "relay_state", ""},
		{"attribute of another namespace", func(a *answer) {
			a.editAssertion = sub(`xsi:type="eidas-natural:SomeType"`, `xsi:type="eidas-natural:SomeType" o:x="1" xmlns:o="urn:other:namespace"`)
		}, "decryption", ""},

		{"level not reached", func(a *answer) { a.top, a.second = "Responder", "NoAuthnContext" }, "loa_too_low", brokers.CategoryLevel},
		{"login failed", func(a *answer) { a.top, a.second = "Responder", "AuthnFailed" }, "login_failed", brokers.CategoryDenied},
		{"bad attribute asked for", func(a *answer) { a.top, a.second = "Requester", "InvalidAttrNameOrValue" }, "login_failed", brokers.CategoryConfiguration},
		{"other node is down", func(a *answer) { a.top, a.second = "Responder", "NoAvailableIDP" }, "login_failed", brokers.CategoryUnavailable},
	} {
		t.Run(row.name, func(t *testing.T) {
			u := newUpstream(t, nil)
			d := start(t, u, "eidas", levels.Substantial)
			a := goodAnswer()
			row.edit(a)
			event, err := u.Finish(context.Background(), a.callback(d.RequestID), d)
			wantRejected(t, event, err, row.reason, row.category)
		})
	}
}

func wantRejected(t *testing.T, event *brokers.AuthenticationEvent, err error, reason string, category brokers.Category) {
	t.Helper()
	brokertest.WantRejected(t, event, err, reason, category, "60001019906", "SUSLIK", "ÄNN", "12345678")
}

func TestConsentRefused(t *testing.T) {
	u := newUpstream(t, nil)
	d := start(t, u, "eidas", levels.Low)
	a := goodAnswer()
	a.top, a.second = "Responder", "RequestDenied"
	if _, err := u.Finish(context.Background(), a.callback(d.RequestID), d); !errors.Is(err, brokers.ErrCancelled) {
		t.Errorf("error = %v", err)
	}
}

func TestFinishRefusesTheSecondUse(t *testing.T) {
	u := newUpstream(t, nil)
	d := start(t, u, "eidas", levels.Low)
	a := goodAnswer()
	if _, err := u.Finish(context.Background(), a.callback(d.RequestID), d); err != nil {
		t.Fatal(err)
	}
	event, err := u.Finish(context.Background(), a.callback(d.RequestID), d)
	wantRejected(t, event, err, "replay", "")
}

func TestCeiling(t *testing.T) {
	u := newUpstream(t, func(c *Config) { c.MaxLevel = levels.Low })
	if m := u.Methods()[0]; m.Level != levels.Low {
		t.Errorf("method = %+v", m)
	}
	d := start(t, u, "eidas", levels.Low)
	event, err := u.Finish(context.Background(), goodAnswer().callback(d.RequestID), d)
	if err != nil || event.Assessment.Level != levels.Low || event.Assessment.Notified {
		t.Errorf("event = %+v, %v", event, err)
	}
	if _, err := u.Start(context.Background(), brokers.AuthenticationRequest{Method: "eidas", Level: levels.High, RelayState: state}); err == nil {
		t.Error("started above the ceiling")
	}
	if s := u.Status(); s.EntityID != nodeID || len(s.Alerts) != 0 {
		t.Errorf("status = %+v", s)
	}
}

func TestNewRefusesUnsafeConfigurations(t *testing.T) {
	for name, spoil := range map[string]func(*Config){
		"no entity ID":             func(c *Config) { c.EntityID = "" },
		"plain HTTP":               func(c *Config) { c.ACSURL = "http://broker.example/callback" },
		"no country":               func(c *Config) { c.Country = "" },
		"country in small letters": func(c *Config) { c.Country = "es" },
		"no key":                   func(c *Config) { c.SigningKey = nil },
		"certificate of other key": func(c *Config) { c.Certificate = pairs().other.cert },
		"no decryption key":        func(c *Config) { c.DecryptionKeys = nil },
		"no metadata":              func(c *Config) { c.Metadata = nil },
		"unpinned metadata URL":    func(c *Config) { c.Metadata, c.MetadataURL = nil, "https://node.example" },
		"public with requester ID": func(c *Config) { c.RequesterID = "x" },
		"long requester ID":        func(c *Config) { c.Private, c.RequesterID = true, strings.Repeat("x", 1025) },
		"country to offer":         func(c *Config) { c.Countries = []string{"Estonia"} },
		"optional attribute":       func(c *Config) { c.Optional = []string{"ShoeSize"} },
		"mandatory as optional":    func(c *Config) { c.Optional = []string{"DateOfBirth"} },
		"notified as non-notified": func(c *Config) { c.NonNotified = []string{"HTTP://eidas.europa.eu/loa/NotNotified/low"} },
		"unknown non-notified":     func(c *Config) { c.NonNotified = []string{"urn:x"} },
		"only nothing":             func(c *Config) { c.OnlyNonNotified = true },
		"NameID format":            func(c *Config) { c.NameIDFormat = "urn:x" },
		"no replay store":          func(c *Config) { c.Replay = nil },
		"too much skew":            func(c *Config) { c.Skew = time.Hour },
	} {
		c := testConfig()
		spoil(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
