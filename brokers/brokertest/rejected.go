package brokertest

import (
	"errors"
	"testing"

	"github.com/eidbridge/eidbridge/brokers"
)

// Rejected says what is wrong if an error is not the [brokers.RejectedError] of a reason
// and a category; name tells of which row.
func Rejected(t testing.TB, name string, err error, reason string, category brokers.Category) {
	t.Helper()
	var r *brokers.RejectedError
	if !errors.As(err, &r) || r.Reason != reason || r.Category != category {
		t.Errorf("%s: got %v, want %s (%s)", name, err, reason, category)
	}
}
