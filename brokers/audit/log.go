package audit

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers/filelock"
)

// Options are what a log is made of.
type Options struct {
	// Path is the file that is written. Full ones beside it are named after the
	// number of their last line.
	Path string
	// Key signs checkpoints: Ed25519.
	Key crypto.Signer
	// Outside is told of every checkpoint, for a copy where the operator of this
	// host cannot change it; default nobody.
	Outside func(compact string)
	// Now is default time.Now; Lines, Interval and Size are default 1,000 lines and
	// 60 seconds between checkpoints, and 128 MiB for a file.
	Now      func() time.Time
	Lines    int64
	Interval time.Duration
	Size     int64
}

// Log writes an audit log. It may be used by several goroutines, but a file has
// one writer: a lock holds another process off.
type Log struct {
	options Options
	signer  jose.Signer

	mu      sync.Mutex
	file    *os.File
	size    int64
	name    string
	number  int64
	value   chain
	last    time.Time // of the last line
	marked  int64     // lines at the last checkpoint
	markedT time.Time
	failure error
	// lost are the events that came after the failure.
	lost   int64
	closed bool
}

// recoverInterval is how often a log that failed tries to go on.
const recoverInterval = 2 * time.Second

// The events that the log itself writes.
const (
	eventBegun      = "audit.begun"
	eventContinued  = "audit.continued"
	eventRecovered  = "audit.recovered"
	eventCheckpoint = "audit.checkpoint"
)

// Open continues the chain of a file, or begins one. What a crash leaves at the end is
// removed and told of: half a line, and, after a power cut, zeros where the disk has
// not got what was written, with whatever comes behind them.
func Open(o Options) (*Log, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Lines <= 0 {
		o.Lines = 1000
	}
	if o.Interval <= 0 {
		o.Interval = time.Minute
	}
	if o.Size <= 0 {
		o.Size = 128 << 20
	}
	if o.Outside == nil {
		o.Outside = func(string) {}
	}
	signer, err := newSigner(o.Key)
	if err != nil {
		return nil, err
	}
	l := &Log{options: o, signer: signer}
	if err := l.open(); err != nil {
		return nil, fmt.Errorf("opening audit log: %w", err)
	}
	return l, nil
}

func (l *Log) open() error {
	file, err := os.OpenFile(l.options.Path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := lock(file); err != nil {
		return errors.Join(err, file.Close())
	}
	l.file = file
	// A new file is nobody's if its name does not survive a power cut.
	if err := syncDirectory(filepath.Dir(l.options.Path)); err != nil {
		return errors.Join(err, file.Close())
	}
	torn, err := l.resume()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	first := Line{Event: eventContinued}
	if l.number == 0 {
		if first.Attributes, err = l.inherit(); err != nil {
			return errors.Join(err, file.Close())
		}
	}
	if l.number == 0 {
		l.name = rand.Text()
		first.Event = eventBegun
	}
	if first.Attributes == nil {
		first.Attributes = map[string]string{}
	}
	if torn.bytes > 0 {
		begun := first.Attributes // of a file that is empty now
		first = Line{Event: eventRecovered, Attributes: map[string]string{
			"bytes": fmt.Sprint(torn.bytes), "sha256": base64.RawURLEncoding.EncodeToString(torn.sum[:]),
		}}
		maps.Copy(first.Attributes, begun)
	}
	if l.lost > 0 {
		first.Event = eventRecovered
		first.Attributes["lost"] = fmt.Sprint(l.lost)
	}
	first.Attributes["log"] = l.name
	if err := l.write(&first); err != nil {
		return errors.Join(err, file.Close())
	}
	return l.mark()
}

// inherit continues the newest of the files that were put aside, where a crash
// came between that and the new file.
func (l *Log) inherit() (map[string]string, error) {
	names, err := filepath.Glob(l.options.Path + ".*")
	if err != nil {
		return nil, err
	}
	newest, aside := int64(0), ""
	for _, name := range names {
		number, err := strconv.ParseInt(strings.TrimPrefix(name, l.options.Path+"."), 10, 64)
		if err == nil && number > newest {
			newest, aside = number, name
		}
	}
	if aside == "" {
		return nil, nil
	}
	file, err := os.Open(aside)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	torn, err := l.scan(file)
	if err == nil && torn.bytes > 0 {
		err = errors.New("half a line at its end")
	}
	l.size = 0
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(aside), err)
	}
	return l.continues(aside), nil
}

// continues are the attributes of the first line after a file that was put aside.
func (l *Log) continues(aside string) map[string]string {
	return map[string]string{"log": l.name, "after": filepath.Base(aside), "chain": l.value.String()}
}

// tail is what a crash left at the end of a file.
type tail struct {
	bytes int64
	sum   [sha256.Size]byte
}

// resume reads the file to its end and cuts off what is torn.
func (l *Log) resume() (torn tail, err error) {
	if torn, err = l.scan(l.file); err != nil {
		return torn, err
	}
	if torn.bytes > 0 {
		if err := l.file.Truncate(l.size); err != nil {
			return torn, err
		}
	}
	_, err = l.file.Seek(l.size, io.SeekStart)
	return torn, err
}

// scan reads lines and keeps where the chain is.
func (l *Log) scan(file *os.File) (tail, error) {
	reader := bufio.NewReaderSize(file, 64<<10)
	for {
		text, err := readLine(reader)
		if errors.Is(err, io.EOF) {
			return l.torn(file)
		}
		var line Line
		var body []byte
		var value chain
		if err == nil {
			line, body, value, err = parseLine(bytes.TrimSuffix(text, []byte("\n")))
		}
		if err == nil && l.number == 0 && line.Number > 1 {
			l.value, err = carried(&line)
			l.number = line.Number - 1
		}
		if err == nil && (line.Number != l.number+1 || value != next(l.value, body)) {
			err = errChanged
		}
		// No editor leaves zeros: a page that never reached the disk does. Nothing that
		// was told of in a checkpoint can be behind it, for that was synced. Whoever
		// writes zeros on purpose could as well cut the file off there, which
		// checkpoints that are kept elsewhere give away.
		if err != nil && bytes.IndexByte(text, 0) >= 0 {
			if torn, unknown := l.torn(file); unknown == nil && torn.bytes > 0 {
				return torn, nil
			}
		}
		if err != nil {
			return tail{}, fmt.Errorf("after line %d: %w; the file was changed by another program: keep it, and move it away to begin a new one", l.number, err)
		}
		l.number, l.value, l.last, l.size = line.Number, value, line.Time, l.size+int64(len(text))
		if name := line.Attributes["log"]; name != "" {
			l.name = name
		}
	}
}

// torn describes what comes after the last good line.
func (l *Log) torn(file *os.File) (torn tail, err error) {
	info, err := file.Stat()
	if err != nil {
		return torn, err
	}
	h := sha256.New()
	if torn.bytes, err = io.Copy(h, io.NewSectionReader(file, l.size, info.Size()-l.size)); err != nil {
		return torn, err
	}
	torn.sum = [sha256.Size]byte(h.Sum(nil))
	return torn, nil
}

// readLine reads a line with its newline, in bounded space. What has none comes
// with io.EOF, and the begin of what is too long with errLineTooLong.
func readLine(r *bufio.Reader) ([]byte, error) {
	text, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return bytes.Clone(text), errLineTooLong
	}
	return bytes.Clone(text), err
}

// Record writes one event. Once it has failed it fails until Recover: nothing may
// happen meanwhile, since it could not be told.
func (l *Log) Record(event, reason string, list ...slog.Attr) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failure != nil {
		l.lost++
		return l.failure
	}
	if err := l.write(&Line{Event: clip(event), Reason: clip(reason), Attributes: attributes(list)}); err != nil {
		return err
	}
	if l.number-l.marked >= l.options.Lines || l.options.Now().Sub(l.markedT) >= l.options.Interval {
		return l.mark()
	}
	return nil
}

// Err is the failure that ended the log, if there was one.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failure
}

// write numbers, chains and writes a line.
func (l *Log) write(line *Line) error {
	line.Number = l.number + 1
	line.Time = l.options.Now().UTC().Truncate(time.Millisecond)
	line.ClockBack = line.Time.Before(l.last)
	text, value, err := appendLine(nil, line, l.value)
	if errors.Is(err, errLineTooLong) { // many attributes: the event itself is kept
		line.Attributes = map[string]string{"attributes": "left out: too long"}
		text, value, err = appendLine(nil, line, l.value)
	}
	if err == nil {
		_, err = l.file.Write(text)
	}
	if err != nil {
		l.failure = fmt.Errorf("writing audit log: %w", err)
		return l.failure
	}
	l.number, l.value, l.last, l.size = line.Number, value, line.Time, l.size+int64(len(text))
	return nil
}

// mark writes a checkpoint and has it all reach the disk.
func (l *Log) mark() error {
	compact, err := signCheckpoint(l.signer, Checkpoint{Log: l.name, Lines: l.number, Chain: l.value.String(), Time: l.options.Now().UTC()})
	if err == nil {
		err = l.write(&Line{Event: eventCheckpoint, Checkpoint: compact})
	}
	if err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		l.failure = fmt.Errorf("marking audit log: %w", err)
		return l.failure
	}
	l.marked, l.markedT = l.number, l.options.Now()
	l.options.Outside(compact)
	if l.size >= l.options.Size {
		return l.rotate()
	}
	return nil
}

// rotate puts the full file aside and continues in a new one. The first line of
// that one repeats the name of the chain.
func (l *Log) rotate() error {
	aside := fmt.Sprintf("%s.%d", l.options.Path, l.number)
	err := os.Rename(l.options.Path, aside)
	if err == nil { // or the new file might take the place of the full one
		err = syncDirectory(filepath.Dir(l.options.Path))
	}
	if err == nil {
		err = l.file.Close()
	}
	if err == nil {
		l.file, err = os.OpenFile(l.options.Path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	}
	if err == nil {
		err = lock(l.file)
	}
	if err == nil {
		err = syncDirectory(filepath.Dir(l.options.Path))
	}
	if err != nil {
		l.failure = fmt.Errorf("continuing audit log: %w", err)
		return l.failure
	}
	l.size = 0
	return l.write(&Line{Event: eventContinued, Attributes: l.continues(aside)})
}

// lock keeps other processes from writing the file.
func lock(file *os.File) error {
	err := filelock.Take(file)
	if errors.Is(err, filelock.ErrHeld) {
		err = errors.New("another process writes it; each replica needs an audit log of its own")
	}
	return err
}

func syncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Recover goes on after a failure, if the file can be written again: half a line is
// removed, and the next line tells of that and of how many events were lost. Without
// a failure it does nothing.
func (l *Log) Recover() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failure == nil || l.closed {
		return l.failure
	}
	_ = l.file.Close() // it failed; its lock goes with it
	fresh := &Log{options: l.options, signer: l.signer, lost: l.lost + 1}
	if err := fresh.open(); err != nil {
		l.failure = fmt.Errorf("recovering audit log: %w", err)
		return l.failure
	}
	l.file, l.size, l.name, l.number, l.value = fresh.file, fresh.size, fresh.name, fresh.number, fresh.value
	l.last, l.marked, l.markedT, l.failure, l.lost = fresh.last, fresh.marked, fresh.markedT, nil, 0
	return nil
}

// Keep writes checkpoints in time while nothing happens, and recovers from failures,
// until ctx ends.
func (l *Log) Keep(ctx context.Context) {
	marks, repairs := time.NewTicker(l.options.Interval), time.NewTicker(recoverInterval)
	defer marks.Stop()
	defer repairs.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-marks.C:
			l.Mark()
		case <-repairs.C:
			_ = l.Recover() // Err tells
		}
	}
}

// Mark writes a checkpoint now, unless nothing came since the last.
func (l *Log) Mark() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failure == nil && l.number > l.marked {
		_ = l.mark() // Err tells
	}
}

// Close writes a last checkpoint.
func (l *Log) Close() error {
	l.Mark()
	l.mu.Lock()
	defer l.mu.Unlock()
	failure := l.failure
	l.failure, l.closed = errors.New("the audit log is closed"), true
	if err := l.file.Close(); failure == nil {
		failure = err
	}
	return failure
}
