package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"sync"
)

// maxBatch is how many writings share a commit at most.
const maxBatch = 64

var errClosed = errors.New("the store is closed")

// batches writes through one connection of SQLite. What waits while a commit is
// under way shares the next one; nobody waits for company, but those that have to last
// for the disk. Each writing holds or
// fails by itself, and may be run again before it is told how it went.
type batches struct {
	db         *sql.DB
	conn       *sql.Conn
	statements map[string]*sql.Stmt
	// lasting are the statements whose commits are synced before they are told of.
	lasting  map[string]bool
	log      *checkpoints
	durable  *durable
	queue    chan *batched
	closing  chan struct{}
	ended    chan struct{}
	once     sync.Once
	unsynced error // of closing the log, for close
}

type batched struct {
	f       writing
	several bool
	// durable is set by the statements that it runs.
	durable bool
	done    chan error
}

// startBatches takes the pool's only connection for itself, and what works beside it
// for checkpoints.
func startBatches(ctx context.Context, path string, db, beside *sql.DB, d dialect) (*batches, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("opening database: %w", err)
	}
	b := &batches{
		db: db, conn: conn, statements: map[string]*sql.Stmt{}, lasting: lasting(),
		queue: make(chan *batched, maxBatch), closing: make(chan struct{}), ended: make(chan struct{}),
	}
	frame := [][2]string{{"begin", "BEGIN IMMEDIATE"}, {"commit", "COMMIT"}, {"rollback", "ROLLBACK"}}
	for _, texts := range [][][2]string{frame, writes()} {
		if err := d.prepare(ctx, conn, texts, b.statements); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	if b.durable, err = startDurable(path); err != nil {
		return nil, errors.Join(fmt.Errorf("opening database: %w", err), closeAll(b.statements), conn.Close())
	}
	b.log = startCheckpoints(ctx, beside)
	go b.run(context.WithoutCancel(ctx))
	return b, nil
}

// write waits for its turn and for the commit. Once queued it is not given up: an
// interrupted statement would undo those of others.
func (b *batches) write(ctx context.Context, several bool, f writing) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w := &batched{f: f, several: several, done: make(chan error, 1)}
	select {
	case b.queue <- w:
	case <-b.closing:
		return errClosed
	}
	select {
	case err := <-w.done:
		return err
	case <-b.ended:
	}
	select { // the last batch may have had it
	case err := <-w.done:
		return err
	default:
		return errClosed
	}
}

// close lets the batch under way finish. It may be called again.
func (b *batches) close() (err error) {
	b.once.Do(func() {
		close(b.closing)
		<-b.ended
		err = errors.Join(b.unsynced, b.log.close(), closeAll(b.statements), b.conn.Close(), b.db.Close())
	})
	return err
}

// closeAll lets go of statements: SQLite keeps a connection open as long as one is.
func closeAll(statements map[string]*sql.Stmt) error {
	var errs []error
	for _, s := range statements {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

func (b *batches) run(ctx context.Context) {
	defer close(b.ended)
	defer func() { b.unsynced = b.durable.close() }()
	var batch []*batched
	for {
		select {
		case w := <-b.queue:
			batch = append(batch[:0], w)
		case <-b.closing:
			return
		}
		batch = b.gather(batch)
		b.perform(ctx, batch)
		b.log.wrote(ctx, b.conn, len(batch))
	}
}

// gather adds who is about to write to a batch, round by round until nobody comes along.
// Where there is nothing else to do a round takes no time.
func (b *batches) gather(batch []*batched) []*batched {
	for came := true; came; {
		runtime.Gosched()
		came = false
		for more := true; more && len(batch) < maxBatch; {
			select {
			case w := <-b.queue:
				batch, came = append(batch, w), true
			default:
				more = false
			}
		}
	}
	return batch
}

func (b *batches) statement(name string) *sql.Stmt { return b.statements[name] }

// one runs one writing and notes whether what it did has to last.
func (b *batches) one(ctx context.Context, w *batched) error {
	return w.f(ctx, func(name string) *sql.Stmt {
		w.durable = w.durable || b.lasting[name]
		return b.statements[name]
	})
}

// perform commits a batch and tells each writing how it went. If one of several
// statements fails in the middle, the batch is undone and taken one by one; that
// is rarer than to note for each where to go back to.
func (b *batches) perform(ctx context.Context, batch []*batched) {
	if len(batch) == 1 {
		b.durable.tell(batch[0], b.alone(ctx, batch[0]))
		return
	}
	errs, err := b.together(ctx, batch)
	if err != nil {
		_, _ = b.statement("rollback").ExecContext(ctx) // SQLite may have done it already
		for _, w := range batch {
			b.durable.tell(w, b.alone(ctx, w))
		}
		return
	}
	for i, w := range batch {
		b.durable.tell(w, errs[i])
	}
}

// together runs a batch in one transaction. An error means that it has to be
// undone.
func (b *batches) together(ctx context.Context, batch []*batched) ([]error, error) {
	if _, err := b.statement("begin").ExecContext(ctx); err != nil {
		return nil, err
	}
	errs := make([]error, len(batch))
	for i, w := range batch {
		errs[i] = b.one(ctx, w) // a single statement that fails undoes itself
		if errs[i] != nil && w.several {
			return nil, errs[i]
		}
	}
	_, err := b.statement("commit").ExecContext(ctx)
	return errs, err
}

// alone runs one writing in a transaction of its own.
func (b *batches) alone(ctx context.Context, w *batched) error {
	if !w.several { // a statement is a transaction by itself
		return b.one(ctx, w)
	}
	if _, err := b.statement("begin").ExecContext(ctx); err != nil {
		return fmt.Errorf("beginning: %w", err)
	}
	err := b.one(ctx, w)
	if err == nil {
		_, err = b.statement("commit").ExecContext(ctx)
	}
	if err != nil {
		_, _ = b.statement("rollback").ExecContext(ctx) // SQLite may have done it already
	}
	return err
}
