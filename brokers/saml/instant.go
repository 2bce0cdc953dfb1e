package saml

import (
	"strconv"
	"strings"
	"time"
)

// parseInstant reads an xs:dateTime in UTC (SAML Core 1.3.3): only "Z", no
// comma, no leap second. Fractions of a second may have any length up to
// nanoseconds; longer ones are refused.
func parseInstant(s string, lenient Leniency) (time.Time, bool) {
	if len(s) > len("2006-01-02T15:04:05.999999999+00:00") || strings.Contains(s, ",") {
		return time.Time{}, false
	}
	if !strings.HasSuffix(s, "Z") && !lenient.OffsetTimes {
		return time.Time{}, false
	}
	t, err := time.Parse("2006-01-02T15:04:05Z07:00", s)
	if err != nil {
		return time.Time{}, false
	}
	return t.UTC(), true
}

func formatInstant(t time.Time) string {
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

// instant reads a time attribute. Absent is the zero time without an error.
func (e *element) instant(local string, reason Reason, lenient Leniency) (time.Time, error) {
	value, present := e.attribute(local)
	if !present {
		return time.Time{}, nil
	}
	t, ok := parseInstant(value, lenient)
	if !ok {
		return time.Time{}, reject(reason, "%s is not a time in UTC", local)
	}
	return t, nil
}

// parseDuration reads the xs:duration of a cacheDuration. Years and months have
// no fixed length and are counted as 365 and 30 days; more than ten years is
// refused.
func parseDuration(s string) (time.Duration, bool) {
	rest, ok := strings.CutPrefix(s, "P")
	if !ok || rest == "" || strings.HasSuffix(rest, "T") {
		return 0, false
	}
	date, clock, _ := strings.Cut(rest, "T")
	total, ok := sumUnits(date, []unit{{'Y', 365 * day}, {'M', 30 * day}, {'D', day}})
	if !ok {
		return 0, false
	}
	more, ok := sumUnits(clock, []unit{{'H', time.Hour}, {'M', time.Minute}, {'S', time.Second}})
	return total + more, ok && total+more <= maxDuration
}

const (
	day         = 24 * time.Hour
	maxDuration = 3650 * day
)

type unit struct {
	letter byte
	length time.Duration
}

func sumUnits(s string, units []unit) (time.Duration, bool) {
	var total time.Duration
	for _, u := range units {
		digits, rest, found := strings.Cut(s, string(u.letter))
		if !found {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 16)
		if err != nil || time.Duration(n) > maxDuration/u.length {
			return 0, false
		}
		total += time.Duration(n) * u.length
		s = rest
	}
	return total, s == ""
}
