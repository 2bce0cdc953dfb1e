package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/clock"
	"github.com/eidbridge/eidbridge/signing/outfile"
)

const (
	// seenFile is what a broker last saw of its database, kept outside of it.
	seenFile = "database-seen.json"
	// seenInterval is how often it is noted, and seenSlack what may be missing after a
	// power cut.
	seenInterval = 20 * time.Second
	seenSlack    = 3 * time.Minute
	// longestRest is how long a broker may have stood still before the host's clock is
	// not believed.
	longestRest = 400 * 24 * time.Hour
	// watchInterval is how often clock and files are looked at.
	watchInterval = time.Second
)

// seen is the content of seenFile.
type seen struct {
	Epoch int       `json:"epoch"`
	At    time.Time `json:"at"`
}

func readSeen(dir directory) (seen, error) {
	var s seen
	text, err := os.ReadFile(dir.file(seenFile))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		return s, fmt.Errorf("%s: %w", seenFile, err)
	}
	return s, nil
}

func (s seen) write(dir directory) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return outfile.Replace(dir.file(seenFile), append(text, '\n'), 0o600)
}

// epochs is what the watch needs of a store.
type epochs interface {
	Epoch(ctx context.Context) (brokers.Epoch, error)
	SeeEpoch(ctx context.Context, now time.Time) error
	ResetSeen(ctx context.Context, now time.Time) error
	Check() error
	Purge(ctx context.Context, now time.Time, most int) (int, error)
}

// watch stops the service when it cannot be trusted to be right: the host's clock
// jumped, the database was put back from a backup, or its files are gone.
type watch struct {
	dir      directory
	database epochs
	clock    *clock.Clock
	epoch    brokers.Epoch
	events   *slog.Logger
	files    atomic.Pointer[error]
}

// newWatch compares the database with what was last seen of it, and with the clock.
func newWatch(ctx context.Context, dir directory, database epochs, clk *clock.Clock, events *slog.Logger, acceptClock bool) (*watch, error) {
	w := &watch{dir: dir, database: database, clock: clk, events: events}
	var err error
	if w.epoch, err = database.Epoch(ctx); err != nil {
		return nil, fmt.Errorf("reading epoch: %w", err)
	}
	last, err := readSeen(dir)
	if err != nil {
		return nil, err
	}
	if last.Epoch > w.epoch.Number || last.Epoch == w.epoch.Number && w.epoch.SeenAt.Before(last.At.Add(-seenSlack)) {
		return nil, fmt.Errorf("the database is as it was at %s, older than what this broker last saw (%s): it was put back from a backup, and what was used since would be unused again. Run: eidbroker restore",
			w.epoch.SeenAt.UTC().Format(time.RFC3339), last.At.UTC().Format(time.RFC3339))
	}
	if err := w.believe(ctx, acceptClock); err != nil {
		return nil, err
	}
	return w, w.note(ctx)
}

// believe compares the clock with when the database was last worked on.
func (w *watch) believe(ctx context.Context, accept bool) error {
	now, before := w.clock.Now(), w.epoch.SeenAt
	if before.UnixMilli() == 0 || now.After(before.Add(-clock.Tolerance)) && now.Before(before.Add(longestRest)) {
		return nil
	}
	if !accept {
		return fmt.Errorf("the clock of this host says %s, but the database was last worked on at %s. Set the clock right, or start with --accept-clock if it is",
			now.UTC().Format(time.RFC3339), before.UTC().Format(time.RFC3339))
	}
	// What had expired by the earlier time must not come alive by the present one.
	const batch = 500
	for removed := batch; removed >= batch; {
		var err error
		if removed, err = w.database.Purge(ctx, before, batch); err != nil {
			return err
		}
	}
	w.events.LogAttrs(ctx, slog.LevelWarn, "audit", slog.String("event", "clock.accepted"), slog.String("reason", "flag"))
	return w.database.ResetSeen(ctx, now)
}

// note says in the database and beside it that we were here.
func (w *watch) note(ctx context.Context) error {
	now := w.clock.Now()
	if err := w.database.SeeEpoch(ctx, now); err != nil {
		return err
	}
	return seen{w.epoch.Number, now}.write(w.dir)
}

// follow looks at clock and files, and notes, until ctx ends.
func (w *watch) follow(ctx context.Context) {
	looks, notes := time.NewTicker(watchInterval), time.NewTicker(seenInterval)
	defer looks.Stop()
	defer notes.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-looks.C:
			w.clock.Look(ctx)
			err := w.database.Check()
			if err != nil && w.files.Load() == nil {
				w.events.LogAttrs(ctx, slog.LevelError, "audit", slog.String("event", "database.lost"), slog.String("reason", "files"))
			}
			if err != nil {
				w.files.Store(&err) // and it stays: what was written since is elsewhere
			}
		case <-notes.C:
			if w.err() == nil {
				_ = w.note(ctx) // readiness tells of a database that fails
			}
		}
	}
}

// err says why nothing may be served, or nothing.
func (w *watch) err() error {
	if err := w.files.Load(); err != nil {
		return *err
	}
	return w.clock.Err()
}

func epochEvent(number int, actor string) []slog.Attr {
	return []slog.Attr{slog.String("event", "epoch.begun"), slog.String("reason", "restored"), slog.Int("epoch", number), slog.String("actor", actor)}
}
