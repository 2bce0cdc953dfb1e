package asic_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/signers"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/asic"
)

func extend(t testing.TB, data []byte, level signing.Baseline, country *signers.Country) []byte {
	t.Helper()
	var out bytes.Buffer
	e, err := open(t, data).Extend(t.Context(), &out, level, country.Services)
	if err != nil {
		t.Fatalf("Extend: %v", err)
	}
	if e.After != level || e.Shortfall != "" || e.Size != int64(out.Len()) {
		t.Errorf("%+v, %d bytes", e, out.Len())
	}
	return out.Bytes()
}

func TestLevels(t *testing.T) {
	for _, f := range flavours() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			country := signers.NewCountry(t)
			basic, _ := sign(t, f.kind, country.Citizen, asic.Options{CAdES: f.cades, SigningTime: country.Now()})
			for _, level := range []signing.Baseline{signing.BaselineT, signing.BaselineLT, signing.BaselineLTA} {
				data, result := sign(t, f.kind, country.Citizen, asic.Options{CAdES: f.cades, Level: level, Services: country.Services, SigningTime: country.Now()})
				if result.Baseline != level || result.Shortfall != "" {
					t.Errorf("%s: %+v", level, result)
				}
				o := country.Trusting()
				if level == signing.BaselineT || level == signing.BaselineLTA {
					o.Fetch = country.Client // the newest time-stamp speaks for itself
				}
				passed(t, verify(t, data, o), level)
				passed(t, verify(t, extend(t, basic, level, country), o), level)
			}
		})
	}
}

func TestArchiveIsRenewed(t *testing.T) {
	for _, f := range flavours() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			country := signers.NewCountry(t)
			data, _ := sign(t, f.kind, country.Citizen, asic.Options{CAdES: f.cades, Level: signing.BaselineLTA, Services: country.Services, SigningTime: country.Now()})
			for range 2 {
				country.Advance(400 * 24 * time.Hour)
				data = extend(t, data, signing.BaselineLTA, country)
			}
			// The citizen's certificate has ended by then, the newest time-stamp's has not.
			country.Advance(3 * 365 * 24 * time.Hour)
			o := country.Trusting()
			o.Fetch = country.Client
			report := verify(t, data, o)
			passed(t, report, signing.BaselineLTA)
			archives := 0
			for _, st := range append(report.Signatures[0].TimeStamps, report.TimeStamps...) {
				if st.Kind == signing.ArchiveStamp {
					archives++
				}
			}
			if archives != 3 {
				t.Errorf("%d archive time-stamps", archives)
			}
			if f.kind == signing.ASiCE && f.cades {
				names := strings.Join(open(t, data).SignatureFiles(), " ")
				if !strings.Contains(names, "timestamp003.tst") {
					t.Error(names)
				}
			}
		})
	}
}
