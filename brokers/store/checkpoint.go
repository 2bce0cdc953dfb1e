package store

import (
	"context"
	"database/sql"
	"sync/atomic"
)

// checkpointEvery is after how many writings the log is copied: some 3,000 pages.
const checkpointEvery = 512

const checkpoint = `PRAGMA wal_checkpoint(PASSIVE)`

// checkpoints copy SQLite's write-ahead log into the database, and sync both, beside
// the writer. Left to SQLite, the writer does it, and again after every commit until
// a moment without readers, while everybody waits.
//
// The writer only copies the few pages that it has added meanwhile, so that its next
// transaction can begin the log anew; if somebody reads just then, the next time. A
// checkpoint that fails is no harm: the log is as good, only longer.
type checkpoints struct {
	db    *sql.DB
	due   chan struct{}
	ended chan struct{}
	// copied is set when all but the latest pages are in the database.
	copied atomic.Bool
	// written counts since the last checkpoint, by the writer alone.
	written int
}

func startCheckpoints(ctx context.Context, db *sql.DB) *checkpoints {
	c := &checkpoints{db: db, due: make(chan struct{}, 1), ended: make(chan struct{})}
	go c.run(context.WithoutCancel(ctx))
	return c
}

func (c *checkpoints) run(ctx context.Context) {
	defer close(c.ended)
	for range c.due {
		if _, err := c.db.ExecContext(ctx, checkpoint); err == nil {
			c.copied.Store(true)
		}
	}
}

// wrote is for the writer, between two transactions.
func (c *checkpoints) wrote(ctx context.Context, writer *sql.Conn, writings int) {
	if c.copied.CompareAndSwap(true, false) {
		_, _ = writer.ExecContext(ctx, checkpoint) // see above
	}
	if c.written += writings; c.written >= checkpointEvery {
		c.written = 0
		select {
		case c.due <- struct{}{}:
		default: // one is under way
		}
	}
}

// close is for after the last writing.
func (c *checkpoints) close() error {
	close(c.due)
	<-c.ended
	return c.db.Close()
}
