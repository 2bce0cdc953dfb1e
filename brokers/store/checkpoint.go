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
	// state is whose turn it is: never both work at once, for then SQLite lets neither
	// finish.
	state atomic.Int32
	// written counts since the last checkpoint, by the writer alone.
	written int
}

// Whose turn it is.
const (
	// idle is the writer's until enough was written.
	idle = iota
	// copying is beside the writer.
	copying
	// copied is the writer's: all but the latest pages are in the database.
	copied
)

func startCheckpoints(ctx context.Context, db *sql.DB) *checkpoints {
	c := &checkpoints{db: db, due: make(chan struct{}, 1), ended: make(chan struct{})}
	go c.run(context.WithoutCancel(ctx))
	return c
}

func (c *checkpoints) run(ctx context.Context) {
	defer close(c.ended)
	for range c.due {
		if _, err := c.db.ExecContext(ctx, checkpoint); err != nil {
			c.state.Store(idle)
			continue
		}
		c.state.Store(copied)
	}
}

// wrote is for the writer, between two transactions.
func (c *checkpoints) wrote(ctx context.Context, writer *sql.Conn, writings int) {
	c.written += writings
	switch c.state.Load() {
	case copied:
		_, _ = writer.ExecContext(ctx, checkpoint) // see above
		c.state.Store(idle)
	case idle:
		if c.written >= checkpointEvery {
			c.written = 0
			c.state.Store(copying)
			c.due <- struct{}{} // has room: nobody else asks
		}
	}
}

// close is for after the last writing.
func (c *checkpoints) close() error {
	close(c.due)
	<-c.ended
	return c.db.Close()
}
