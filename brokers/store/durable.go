package store

import (
	"os"
	"strings"
	"sync"
)

// durable has commits reach the disk before anybody is told of them. SQLite with
// synchronous=NORMAL leaves its log to the system; here the log is synced beside the
// writer, once for all commits that came while the last sync was under way, so that
// neither the writer nor what may be lost waits for the disk.
type durable struct {
	log *os.File

	mu      sync.Mutex
	waiting []*batched // committed
	closed  bool
	due     *sync.Cond
	ended   chan struct{}
}

// startDurable opens the log of a database for a second time, to sync it.
func startDurable(path string) (*durable, error) {
	log, err := os.OpenFile(path+"-wal", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	d := &durable{log: log, ended: make(chan struct{})}
	d.due = sync.NewCond(&d.mu)
	go d.run()
	return d, nil
}

// tell tells a writing how it went: at once if there is nothing to lose.
func (d *durable) tell(w *batched, err error) {
	if err != nil || !w.durable {
		w.done <- err
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting = append(d.waiting, w)
	d.due.Signal()
}

func (d *durable) run() {
	defer close(d.ended)
	for {
		waiting := d.next()
		if len(waiting) == 0 {
			return
		}
		err := d.log.Sync()
		for _, w := range waiting {
			w.done <- err
		}
	}
}

// next is all that waits, or nothing at the end.
func (d *durable) next() []*batched {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.waiting) == 0 && !d.closed {
		d.due.Wait()
	}
	waiting := d.waiting
	d.waiting = nil
	return waiting
}

// close syncs what waits. It is for after the last writing.
func (d *durable) close() error {
	d.mu.Lock()
	d.closed = true
	d.due.Signal()
	d.mu.Unlock()
	<-d.ended
	return d.log.Close()
}

// lasting tells for each statement that writes whether it has to survive a power cut
// once it is acknowledged. A login under way can be begun anew, and is under way until its
// code is redeemed: the code is in the same log as what came of it, and is gone in a
// minute anyway. What is removed again is removed again, and records under the old data
// key are sealed again, for as long as that is there.
func lasting() map[string]bool {
	list := make(map[string]bool)
	for _, named := range writes() {
		name, text := named[0], named[1]
		list[name] = !strings.Contains(text, "{lazily}") && !strings.Contains(text, "{asynchronous}") &&
			!strings.HasPrefix(name, "purge ") && !strings.HasPrefix(name, "seal again ")
	}
	for _, name := range [...]string{"advance", "leave session", "save session", "take part", "insert grant"} { // of IssueCode
		list[name] = false
	}
	return list
}
