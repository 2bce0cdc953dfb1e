package asic_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/corpus"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/archive"
	"github.com/eidbridge/eidbridge/signing/asic"
)

// TestCorpus judges containers of other producers: every row must have the
// expected verdicts, and the levels that it names.
func TestCorpus(t *testing.T) {
	c := corpus.Open(t, corpus.Of("asic"))
	for _, row := range c.Rows {
		t.Run(row["file"], func(t *testing.T) {
			data := c.Read(t, row)
			var o signing.VerifyOptions
			if strings.HasPrefix(row["trust setting"], "EE test TL") {
				o = estonia(t, c.Folder)
			}
			begin := time.Now()
			report, err := asic.Verify(t.Context(), bytes.NewReader(data), int64(len(data)), o)
			if took := time.Since(begin); took > 20*time.Second {
				t.Errorf("took %s", took)
			}
			if row.Refused() {
				if !errors.Is(err, archive.ErrName) && !errors.Is(err, asic.ErrFormat) {
					t.Errorf("not refused with a typed error: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if o.Roots != nil {
				report.Require(signing.BaselineLT) // as the policy of the Estonian rows does
			}
			row.Check(t, report)
		})
	}
	t.Logf("%d rows", len(c.Rows))
}
