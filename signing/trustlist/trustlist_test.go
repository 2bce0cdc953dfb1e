package trustlist_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/corpus"
	"github.com/eidbridge/eidbridge/signing/trustlist"
)

const list = `<TrustServiceStatusList xmlns="http://uri.etsi.org/02231/v2#"><SchemeInformation><TSLSequenceNumber>7</TSLSequenceNumber><SchemeTerritory>EE</SchemeTerritory></SchemeInformation>
<TrustServiceProviderList><TrustServiceProvider><TSPServices><TSPService><ServiceInformation>
<ServiceTypeIdentifier>http://uri.etsi.org/TrstSvc/Svctype/CA/QC</ServiceTypeIdentifier><ServiceName><Name xml:lang="et">Nimi</Name><Name xml:lang="en">Name</Name></ServiceName>
<ServiceStatus>http://uri.etsi.org/TrstSvc/TrustedList/Svcstatus/withdrawn</ServiceStatus><StatusStartingTime>2022-01-01T00:00:00Z</StatusStartingTime></ServiceInformation>
<ServiceHistory><ServiceHistoryInstance><ServiceTypeIdentifier>http://uri.etsi.org/TrstSvc/Svctype/CA/QC</ServiceTypeIdentifier>
<ServiceStatus>http://uri.etsi.org/TrstSvc/TrustedList/Svcstatus/granted</ServiceStatus><StatusStartingTime>2018-01-01T00:00:00Z</StatusStartingTime></ServiceHistoryInstance></ServiceHistory>
</TSPService></TSPServices></TrustServiceProvider></TrustServiceProviderList></TrustServiceStatusList>`

func TestServicesAreGrantedForATime(t *testing.T) {
	l, err := trustlist.Parse([]byte(list))
	if err != nil {
		t.Fatal(err)
	}
	if l.Territory != "EE" || l.Sequence != "7" || len(l.Services) != 1 {
		t.Fatalf("%+v", l)
	}
	s := l.Services[0]
	if s.Name != "Name" || s.Type != trustlist.CAQC || len(s.States) != 2 {
		t.Errorf("%+v", s)
	}
	for year, want := range map[int]bool{2017: false, 2018: true, 2021: true, 2022: false, 2025: false} {
		if got := s.Granted(time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC)); got != want {
			t.Errorf("%d: granted %t, want %t", year, got, want)
		}
	}
}

// A service can be relied on while it is granted, and by nobody under another type.
func TestServicesAreReliedOnWhileGranted(t *testing.T) {
	folder := corpus.Folder(t)
	raw, err := os.ReadFile(filepath.Join(folder, "tl", "EE_T-CA-withdrawn-granted-later.xml"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := trustlist.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	at := func(text string) time.Time {
		when, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	for _, row := range []struct {
		at   string
		of   trustlist.Type
		want bool
	}{
		{"2011-01-01T00:00:00Z", trustlist.CAQC, false},
		{"2012-01-01T00:00:00Z", trustlist.CAQC, true},
		{"2013-04-23T00:00:00Z", trustlist.CAQC, false},
		{"2013-05-01T00:00:00Z", trustlist.CAQC, true},
		{"2020-01-01T00:00:00Z", trustlist.CAQC, true},
		{"2020-01-01T00:00:00Z", trustlist.OCSPQC, false},
	} {
		for _, c := range l.Listed(trustlist.CAQC) {
			if c.Subject.CommonName == "TEST of ESTEID-SK 2011" && l.Relied(c, at(row.at), row.of) != row.want {
				t.Errorf("%s as %s: want %t", row.at, row.of, row.want)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for name, raw := range map[string]string{
		"something else": `<a/>`, "no XML": `x`, "no time": `<TrustServiceStatusList xmlns="http://uri.etsi.org/02231/v2#"><TSPService><ServiceInformation><StatusStartingTime>today</StatusStartingTime></ServiceInformation></TSPService></TrustServiceStatusList>`,
		"doctype": `<!DOCTYPE a [<!ENTITY b "c">]><TrustServiceStatusList xmlns="http://uri.etsi.org/02231/v2#"/>`,
	} {
		if _, err := trustlist.Parse([]byte(raw)); !errors.Is(err, trustlist.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCorpusLists(t *testing.T) {
	folder := corpus.Folder(t)
	for name, least := range map[string]int{"EE_T.xml": 25, "EE.xml": 5, "ES.xml": 30, "NL.xml": 5} {
		raw, err := os.ReadFile(filepath.Join(folder, "trust", "tl", name))
		if err != nil {
			t.Fatal(err)
		}
		l, err := trustlist.Parse(raw)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if n := len(l.Granted(time.Date(2023, 12, 1, 0, 0, 0, 0, time.UTC), trustlist.CAQC)); n < least/5 || len(l.Services) < least {
			t.Errorf("%s: %d services, %d granted", name, len(l.Services), n)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(list))
	f.Fuzz(func(t *testing.T, raw []byte) {
		l, err := trustlist.Parse(raw)
		if err != nil && !errors.Is(err, trustlist.ErrFormat) && !errors.Is(err, trustlist.ErrLimit) {
			t.Fatalf("untyped error: %v", err)
		}
		if l != nil {
			l.Granted(time.Now(), trustlist.CAQC)
		}
	})
}
