package saml

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
)

// publisher serves metadata that a test changes.
type publisher struct {
	*httptest.Server
	document string
	now      time.Time
}

func newPublisher(t *testing.T, delay time.Duration) (*publisher, *MetadataSource) {
	p := &publisher{document: signedMetadata(metadataText()), now: testNow}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, p.document) }))
	t.Cleanup(p.Close)
	return p, &MetadataSource{
		URL: p.URL, Client: p.Client(), Delay: delay, Clock: func() time.Time { return p.now },
		Trust: MetadataTrust{Certificates: []*x509.Certificate{keysOnce().other.cert}, Loopback: true},
	}
}

// edited publishes a changed, newly signed document.
func (p *publisher) edited(old, changed string) {
	text := metadataText()
	replace(&text, old, changed)
	p.document = signedMetadata(text)
}

func kinds(s MetadataStatus) string {
	var list []string
	for _, a := range s.Alerts {
		list = append(list, string(a.Kind))
	}
	return strings.Join(list, " ")
}

func signer(t *testing.T, s *MetadataSource) *x509.Certificate {
	t.Helper()
	entity, err := s.Entity(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return entity.Signing[0]
}

func TestMetadataKeyRolloverAtOnce(t *testing.T) {
	k := keysOnce()
	p, s := newPublisher(t, 0)
	if !signer(t, s).Equal(k.idp.cert) {
		t.Fatal("another key than the first")
	}
	// Both keys in the overlap, then only the new one.
	both := k.idp.base64() + `</ds:X509Certificate><ds:X509Certificate>` + k.p256.base64()
	p.edited(k.idp.base64(), both)
	p.now = p.now.Add(time.Hour)
	entity, err := s.Entity(context.Background())
	if err != nil || len(entity.Signing) != 2 {
		t.Fatalf("overlap = %+v, %v", entity, err)
	}
	p.edited(k.idp.base64(), k.p256.base64())
	p.now = p.now.Add(time.Hour)
	if !signer(t, s).Equal(k.p256.cert) {
		t.Error("old key is still trusted")
	}
	if got := kinds(s.Status()); got != "" {
		t.Errorf("alerts = %s", got)
	}
}

func TestMetadataWithOtherKeysWaits(t *testing.T) {
	k := keysOnce()
	p, s := newPublisher(t, 3*time.Hour)
	signer(t, s)
	p.edited(k.idp.base64(), k.p256.base64())
	p.now = p.now.Add(time.Hour)
	if !signer(t, s).Equal(k.idp.cert) || kinds(s.Status()) != "metadata_keys_change" {
		t.Fatalf("new key at once, alerts %s", kinds(s.Status()))
	}
	if at := s.Status().Alerts[0].At; !at.Equal(testNow.Add(4 * time.Hour)) {
		t.Errorf("change at %s", at)
	}
	for range 2 {
		p.now = p.now.Add(time.Hour)
		if !signer(t, s).Equal(k.idp.cert) {
			t.Fatal("new key too early")
		}
	}
	p.now = p.now.Add(time.Hour)
	if !signer(t, s).Equal(k.p256.cert) || kinds(s.Status()) != "" {
		t.Errorf("key did not change: %s", kinds(s.Status()))
	}
}

func TestMetadataThatExpiresDoesNotWait(t *testing.T) {
	k := keysOnce()
	p, s := newPublisher(t, 1000*time.Hour)
	signer(t, s)
	text := strings.Replace(metadataText(), k.idp.base64(), k.p256.base64(), 1)
	replace(&text, at(86400), at(10*86400))
	p.document = signedMetadata(text)
	p.now = p.now.Add(25 * time.Hour)
	if !signer(t, s).Equal(k.p256.cert) {
		t.Error("an expired copy is in force")
	}
}

func TestMetadataRollbackIsRefused(t *testing.T) {
	k := keysOnce()
	for name, row := range map[string]struct{ first, second, third string }{
		"replaced before": {"", k.p256.base64(), ""},
		"ends earlier":    {"", "", at(80000)},
	} {
		t.Run(name, func(t *testing.T) {
			p, s := newPublisher(t, 0)
			original := p.document
			signer(t, s)
			if row.second != "" {
				p.edited(k.idp.base64(), row.second)
				p.now = p.now.Add(time.Hour)
				signer(t, s)
				p.document = original
			} else {
				p.edited(at(86400), row.third)
			}
			p.now = p.now.Add(time.Hour)
			want := signer(t, s)
			if got := kinds(s.Status()); got != "metadata_rollback" {
				t.Errorf("alerts = %q", got)
			}
			if row.second != "" && !want.Equal(k.p256.cert) {
				t.Error("old key is back")
			}
		})
	}
}

func TestMetadataPublishedEarlierIsRefused(t *testing.T) {
	p, s := newPublisher(t, 0)
	info := func(creation string) string {
		return `validUntil="` + at(86400) + `"><md:Extensions><mdrpi:PublicationInfo xmlns:mdrpi="urn:oasis:names:tc:SAML:metadata:rpi" creationInstant="` + creation + `" publisher="https://federation.example"></mdrpi:PublicationInfo></md:Extensions>`
	}
	end := `validUntil="` + at(86400) + `">`
	p.edited(end, info(at(-100)))
	signer(t, s)
	for _, row := range []struct {
		creation, alerts string
	}{{at(-50), ""}, {at(-60), "metadata_rollback"}, {at(-50), ""}} {
		p.edited(end, info(row.creation))
		p.now = p.now.Add(time.Hour)
		signer(t, s)
		if got := kinds(s.Status()); got != row.alerts {
			t.Errorf("published %s: alerts = %q, want %q", row.creation, got, row.alerts)
		}
	}
	// The time it was made may not be left out either.
	p.document = signedMetadata(metadataText())
	p.now = p.now.Add(time.Hour)
	signer(t, s)
	if got := kinds(s.Status()); got != "metadata_rollback" {
		t.Errorf("alerts = %q", got)
	}
}

func TestMetadataStatusSpeaksOfEnds(t *testing.T) { // alarm 30 days before
	k := keysOnce()
	p, s := newPublisher(t, 0)
	signer(t, s)
	if got := s.Status(); kinds(got) != "" || got.EntityID != idpID || !got.Refresh.Equal(testNow.Add(time.Hour)) || !got.ValidUntil.Equal(testNow.Add(24*time.Hour)) {
		t.Errorf("status = %+v", got)
	}
	p.document = "down"
	p.now = p.now.Add(23 * time.Hour)
	signer(t, s)
	if got := kinds(s.Status()); got != "metadata_refresh_failed metadata_expires" {
		t.Errorf("alerts = %s", got)
	}
	p.now = p.now.Add(2 * time.Hour)
	if _, err := s.Entity(context.Background()); err == nil {
		t.Error("expired copy is in force")
	}
	if got := kinds(s.Status()); got != "metadata_expired metadata_refresh_failed" {
		t.Errorf("alerts = %s", got)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("metadata", "status", s.Status())
	if !strings.Contains(log.String(), "status.metadata_expired.at=") {
		t.Errorf("log = %s", log.String())
	}
	alerts := CertificateAlerts(testNow, k.expired.cert, k.idp.cert)
	if len(alerts) != 1 || alerts[0].Kind != AlertCertificateExpired || alerts[0].Certificate != keyName(k.expired.cert) {
		t.Errorf("alerts = %+v", alerts)
	}
	alerts = CertificateAlerts(k.idp.cert.NotAfter.Add(-29*24*time.Hour), k.idp.cert)
	if len(alerts) != 1 || alerts[0].Kind != AlertCertificateExpires {
		t.Errorf("alerts = %+v", alerts)
	}
}

func TestOwnMetadataInFull(t *testing.T) {
	k := keysOnce()
	extension := etree.NewElement("eidas:SPType")
	extension.CreateAttr("xmlns:eidas", "http://eidas.europa.eu/saml-extensions")
	extension.SetText("public")
	p := testServiceProvider(Credential{Signer: k.idp.key, Certificate: k.idp.cert})
	p.NextSigning = []*x509.Certificate{k.p256.cert}
	p.Encryption = []*x509.Certificate{k.other.cert, k.p384.cert}
	p.Logout = []Endpoint{{Binding: BindingPOST, Location: slo}}
	p.NameIDFormats = []string{"urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"}
	p.Extensions = []*etree.Element{extension}
	document := must(p.Metadata(rand.Reader))
	xmlsecVerifies(t, k.idp, document, "urn:oasis:names:tc:SAML:2.0:metadata:EntityDescriptor")
	// Places in schema order (SAML Metadata 2.4.4).
	reached := 0
	for _, want := range []string{
		"<ds:Signature", "<md:Extensions><eidas:SPType", "<md:SPSSODescriptor", `use="signing"`, `use="signing"`, `use="encryption"`, "aes256-gcm", "xmlenc11#rsa-oaep",
		`use="encryption"`, "ECDH-ES", "<md:SingleLogoutService", "<md:NameIDFormat", "<md:AssertionConsumerService",
	} {
		i := strings.Index(string(document)[reached:], want)
		if i < 0 {
			t.Fatalf("%s is missing or out of place in\n%s", want, document)
		}
		reached += i + 1
	}
}

func TestEntityAttributesAreRead(t *testing.T) {
	text := metadataText()
	replace(&text, `validUntil="`+at(86400)+`">`, `validUntil="`+at(86400)+`"><md:Extensions><mdattr:EntityAttributes xmlns:mdattr="urn:oasis:names:tc:SAML:metadata:attribute"><saml:Attribute xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" Name="http://eidas.europa.eu/entity-attributes/protocol-version"><saml:AttributeValue>1.2</saml:AttributeValue><saml:AttributeValue>1.4</saml:AttributeValue></saml:Attribute></mdattr:EntityAttributes></md:Extensions>`)
	entities := must(ParseMetadata([]byte(signedMetadata(text)), pinned()))
	if got := entities[idpID].Attributes["http://eidas.europa.eu/entity-attributes/protocol-version"]; len(got) != 2 || got[1] != "1.4" {
		t.Errorf("attributes = %v", got)
	}
}
