package asic_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/trustlist"
)

// listed are options that trust the services of a trusted list that were granted
// at a time.
func listed(t *testing.T, path string, at time.Time) signing.VerifyOptions {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	list, err := trustlist.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return signing.VerifyOptions{
		Roots:      list.Granted(at, trustlist.CAQC, trustlist.CAPKC, trustlist.TimeStampQ),
		Responders: list.Granted(at, trustlist.OCSPQC),
	}
}

// estonia trusts the list of the Estonian test services, as SiVa's policy for
// qualified signatures does.
func estonia(t *testing.T, folder string) signing.VerifyOptions {
	t.Helper()
	return listed(t, filepath.Join(folder, "trust", "tl", "EE_T.xml"), time.Now())
}
