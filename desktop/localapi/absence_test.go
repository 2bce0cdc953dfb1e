package localapi

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// L-41: a page that drops its long poll is missed once, after pageGrace, unless it
// looks again; and of the pages of a day nothing is kept.
func TestAbsencesAreNoticedOnceAndForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		door, stop := context.WithCancel(t.Context())
		a := absences{away: make(map[string]*absence)}
		missed := make(chan string, 100)
		leave := func(id string) { a.left(door, id, func() { missed <- id }) }
		seen := func() (all []string) {
			synctest.Wait()
			for len(missed) > 0 {
				all = append(all, <-missed)
			}
			return all
		}

		for i := range 1000 {
			a.came(strconv.Itoa(i)) // looks, and never again
		}
		if len(a.away) != 0 {
			t.Errorf("%d pages that only looked are remembered", len(a.away))
		}
		leave("closed")
		leave("back")
		leave("restless")
		time.Sleep(pageGrace - time.Second)
		a.came("back")
		leave("restless") // a second poll, which waited for longer
		if early := seen(); early != nil {
			t.Errorf("missed before the time: %q", early)
		}
		time.Sleep(time.Second)
		if got := seen(); !slices.Equal(got, []string{"closed"}) {
			t.Errorf("missed %q, want the closed one", got)
		}
		time.Sleep(pageGrace)
		if got := seen(); !slices.Equal(got, []string{"restless"}) {
			t.Errorf("missed %q, want the one that left twice, once", got)
		}
		leave("at the end")
		stop()
		time.Sleep(2 * pageGrace)
		if got := seen(); got != nil {
			t.Errorf("missed %q although the door was closed", got)
		}
		if len(a.away) != 0 {
			t.Errorf("%d absences are remembered", len(a.away))
		}
	})
}
