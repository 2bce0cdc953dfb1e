package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// errReplica and errOvertaken are servers that must not be asked: what they say may be
// what was true before.
var (
	errReplica   = errors.New("the server is a replica, or may not be written")
	errOvertaken = errors.New("another server has taken this one's place: its timeline is older")
)

// timelines keeps a broker from a primary whose place another server has taken and that
// goes on nevertheless (split brain, threats S-27). Each time that a replica of PostgreSQL
// becomes the primary it begins a timeline with the next number; so whoever has seen a
// number must take no smaller one from a server with the same files. A server that was
// made anew, from a dump, is another system.
//
// It notices what it sees. A broker that sees only the earlier primary goes on with it;
// that nothing acknowledged there is lost is for synchronous_standby_names and for the
// fencing of the operator.
type timelines struct {
	// path is of a file that remembers the newest for the next start, changed is told of
	// it, and why it is not remembered; both may be missing.
	path    string
	changed func(before, now int, forgotten error)

	mu     sync.Mutex
	known  bool
	newest timeline
}

// timeline is a number, and of what system it is; the zero value is of a server that
// does not say.
type timeline struct {
	system string
	number int
}

// WithTimelines has a PostgreSQL database remember the newest timeline of its server from
// one start to the next in a file, and tell when another server takes over, or the first
// one cannot be remembered: then the number before is 0. A file that is missing remembers
// nothing, and a file system that takes no file keeps nobody from working.
func WithTimelines(path string, changed func(before, now int, forgotten error)) Option {
	return func(d *database) {
		if d.timelines != nil {
			d.timelines.path, d.timelines.changed = path, changed
		}
	}
}

// Timeline is the number of the newest that was seen, 0 if the server does not say.
func (p *Postgres) Timeline() int {
	p.timelines.mu.Lock()
	defer p.timelines.mu.Unlock()
	return p.timelines.newest.number
}

// asWhat is where the timeline of a connection is noted with it.
const asWhat = "eidbroker timeline"

// after is what judges a server after another judgement, if there is one.
func (t *timelines) after(first pgconn.ValidateConnectFunc) pgconn.ValidateConnectFunc {
	return func(ctx context.Context, conn *pgconn.PgConn) error {
		if first != nil {
			if err := first(ctx, conn); err != nil {
				return err
			}
		}
		return t.validate(ctx, conn)
	}
}

// validate judges a server to which a connection was made.
func (t *timelines) validate(ctx context.Context, conn *pgconn.PgConn) error {
	results, err := conn.Exec(ctx, `SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'`).ReadAll()
	if err != nil {
		return err
	}
	if word(results, 0) != "f" {
		return errReplica
	}
	seen, err := timelineOf(ctx, conn)
	if err != nil {
		return err
	}
	conn.CustomData()[asWhat] = seen
	return t.note(seen)
}

// timelineOf asks a primary. The name of its log begins with the number, in hexadecimal:
// that is true from the moment of its promotion, whereas the control file learns of it
// with the next checkpoint.
func timelineOf(ctx context.Context, conn *pgconn.PgConn) (timeline, error) {
	results, err := conn.Exec(ctx, `SELECT (SELECT system_identifier FROM pg_control_system()), substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)`).ReadAll()
	var refused *pgconn.PgError
	if errors.As(err, &refused) { // a server that is like PostgreSQL, or tells nobody
		return timeline{}, nil
	}
	if err != nil {
		return timeline{}, err
	}
	number, err := strconv.ParseInt(word(results, 1), 16, 64)
	if err != nil {
		return timeline{}, fmt.Errorf("the timeline of the server: %w", err)
	}
	return timeline{word(results, 0), int(number)}, nil
}

// word is a column of the only row.
func word(results []*pgconn.Result, column int) string {
	if len(results) != 1 || len(results[0].Rows) != 1 || len(results[0].Rows[0]) <= column {
		return ""
	}
	return string(results[0].Rows[0][column])
}

// note takes what was seen for the newest, or is errOvertaken.
func (t *timelines) note(seen timeline) error {
	if seen == (timeline{}) {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.remember(); err != nil {
		return err
	}
	switch {
	case seen.system == t.newest.system && seen.number < t.newest.number:
		return fmt.Errorf("%w: %d, and %d was seen", errOvertaken, seen.number, t.newest.number)
	case seen == t.newest:
		return nil
	}
	var err error
	if t.path != "" {
		err = replaceFile(t.path, fmt.Sprintf("%s %d\n", seen.system, seen.number))
	}
	before := t.newest
	t.newest = seen
	if t.changed != nil && (before.number != 0 || err != nil) {
		t.changed(before.number, seen.number, err)
	}
	return nil
}

// remember reads the file, once.
func (t *timelines) remember() error {
	if t.known || t.path == "" {
		return nil
	}
	text, err := os.ReadFile(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		t.known = true
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := fmt.Sscanf(string(text), "%s %d\n", &t.newest.system, &t.newest.number); err != nil {
		return fmt.Errorf("%s has to be a system and a number of PostgreSQL, or to be removed: %w", t.path, err)
	}
	t.known = true
	return nil
}

// reuse keeps a connection of the pool from being used once its server was overtaken.
func (t *timelines) reuse(_ context.Context, conn *pgx.Conn) error {
	of, _ := conn.PgConn().CustomData()[asWhat].(timeline)
	t.mu.Lock()
	defer t.mu.Unlock()
	if of != (timeline{}) && of != t.newest {
		return driver.ErrBadConn
	}
	return nil
}

// replaceFile writes a small file as a whole or not at all.
func replaceFile(path, text string) error {
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		return err
	}
	if err := syncFile(path + ".new"); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
