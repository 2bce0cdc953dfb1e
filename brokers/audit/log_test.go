package audit_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers/audit"
)

type bench struct {
	path    string
	key     ed25519.PrivateKey
	now     time.Time
	outside []string
	lines   int64
	size    int64
}

func newBench(t testing.TB) *bench {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &bench{path: filepath.Join(t.TempDir(), "audit.jsonl"), key: key, now: time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC), lines: 10}
}

func (b *bench) public() ed25519.PublicKey { return b.key.Public().(ed25519.PublicKey) }

func (b *bench) open(t testing.TB) *audit.Log {
	t.Helper()
	l, err := audit.Open(audit.Options{
		Path: b.path, Key: b.key, Now: func() time.Time { return b.now }, Lines: b.lines, Size: b.size,
		Outside: func(compact string) { b.outside = append(b.outside, compact) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// fill writes so many events and closes the log.
func (b *bench) fill(t testing.TB, n int) {
	t.Helper()
	l := b.open(t)
	for i := range n {
		b.now = b.now.Add(time.Millisecond)
		if err := l.Record("login.begun", "ok", slog.String("login", fmt.Sprint("login", i)), slog.String("client", "portal")); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) read(t testing.TB, names ...string) []io.Reader {
	t.Helper()
	if len(names) == 0 {
		names = []string{b.path}
	}
	var list []io.Reader
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, bytes.NewReader(data))
	}
	return list
}

func TestLogVerifiesOverRestarts(t *testing.T) {
	b := newBench(t)
	b.fill(t, 25)
	b.fill(t, 25)
	v, err := audit.Verify(b.public(), b.outside, b.read(t)...)
	if err != nil {
		t.Fatal(err)
	}
	// 50 events; two starts with a line and a checkpoint each; a checkpoint after
	// each ten lines and at each end.
	if v.Lines < 50+4 || v.Checkpoints != len(b.outside) || v.Marked != v.Lines-1 {
		t.Errorf("%+v with %d checkpoints outside", v, len(b.outside))
	}
}

// S-13: whatever an editor does to the file, the verifier names the first entry
// that is wrong.
func TestVerifyNamesTheFirstBadEntry(t *testing.T) {
	b := newBench(t)
	b.fill(t, 30)
	whole, err := os.ReadFile(b.path)
	if err != nil {
		t.Fatal(err)
	}
	lines := func() [][]byte { return bytes.SplitAfter(bytes.Clone(whole), []byte("\n")) }
	for name, c := range map[string]struct {
		edit    func([][]byte) [][]byte
		number  int64
		problem string
	}{
		"edited": {func(l [][]byte) [][]byte {
			l[6] = bytes.Replace(l[6], []byte("portal"), []byte("mortal"), 1)
			return l
		}, 7, "was changed"},
		"edited in its chain value": {func(l [][]byte) [][]byte {
			if at := len(l[6]) - 10; l[6][at] != 'A' {
				l[6][at] = 'A'
			} else {
				l[6][at] = 'B'
			}
			return l
		}, 7, "was changed"},
		"removed":            {func(l [][]byte) [][]byte { return slices.Delete(l, 6, 7) }, 7, "missing"},
		"inserted":           {func(l [][]byte) [][]byte { return slices.Insert(l, 6, l[5]) }, 7, "inserted"},
		"reordered":          {func(l [][]byte) [][]byte { l[6], l[7] = l[7], l[6]; return l }, 7, "another order"},
		"beginning removed":  {func(l [][]byte) [][]byte { return l[3:] }, 1, "beginning is missing"},
		"end removed":        {func(l [][]byte) [][]byte { return l[:20] }, 21, "was cut off"},
		"a line of another":  {func(l [][]byte) [][]byte { l[6] = []byte("{}\n"); return l }, 7, "not a line"},
		"half a line":        {func(l [][]byte) [][]byte { l[20] = l[20][:30]; return l[:21] }, 21, "half a line"},
		"a line without end": {func(l [][]byte) [][]byte { l[6] = bytes.Repeat([]byte("x"), 1<<20); return l }, 7, "more than"},
		"a field too many": {func(l [][]byte) [][]byte {
			l[6] = bytes.Replace(l[6], []byte(`{"n"`), []byte(`{"x":1,"n"`), 1)
			return l
		}, 7, "not a line"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := audit.Verify(b.public(), b.outside, bytes.NewReader(bytes.Join(c.edit(lines()), nil)))
			var f *audit.Finding
			if !errors.As(err, &f) || f.Number != c.number || !strings.Contains(f.Problem, c.problem) {
				t.Errorf("got %v, want entry %d: …%s…", err, c.number, c.problem)
			}
		})
	}
}

// S-13, S-14: a log that was written anew as a whole is consistent in itself; a
// checkpoint kept elsewhere, or the key, gives it away.
func TestCheckpointsGiveAnotherHistoryAway(t *testing.T) {
	b := newBench(t)
	b.fill(t, 30)
	kept := slices.Clone(b.outside)
	if err := os.Remove(b.path); err != nil {
		t.Fatal(err)
	}
	b.fill(t, 40)
	if _, err := audit.Verify(b.public(), kept, b.read(t)...); err == nil || !strings.Contains(err.Error(), "another log") {
		t.Errorf("another log with the same key: %v", err)
	}
	other := *b
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	other.key, other.path = key, b.path+"x"
	other.fill(t, 3)
	if _, err := audit.Verify(b.public(), nil, other.read(t)...); err == nil || !strings.Contains(err.Error(), "by another key") {
		t.Errorf("another key: %v", err)
	}
	if _, err := audit.Verify(b.public(), []string{"a.b.c"}, b.read(t)...); err == nil {
		t.Error("a kept checkpoint that is none was taken")
	}
}

// A fork: one history up to a point, then two. A checkpoint of one is not in the
// other (S-14).
func TestForkIsNoticed(t *testing.T) {
	b := newBench(t)
	b.fill(t, 5)
	common, err := os.ReadFile(b.path)
	if err != nil {
		t.Fatal(err)
	}
	b.fill(t, 12)
	kept := b.outside[len(b.outside)-1]
	if err := os.WriteFile(b.path, common, 0o600); err != nil {
		t.Fatal(err)
	}
	b.now = b.now.Add(time.Second)
	b.fill(t, 30)
	if _, err := audit.Verify(b.public(), []string{kept}, b.read(t)...); err == nil || !strings.Contains(err.Error(), "another history") {
		t.Errorf("got %v", err)
	}
}

// A crash leaves half a line; the next start removes it and says so (S-25).
func TestHalfALineIsRecovered(t *testing.T) {
	b := newBench(t)
	b.fill(t, 5)
	file, err := os.OpenFile(b.path, os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(`{"n":12,"time":"2026-`); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	b.fill(t, 1)
	if _, err := audit.Verify(b.public(), b.outside, b.read(t)...); err != nil {
		t.Error(err)
	}
	data, err := os.ReadFile(b.path)
	if err != nil || !bytes.Contains(data, []byte(`"audit.recovered"`)) || !bytes.Contains(data, []byte(`"bytes":"21"`)) {
		t.Errorf("%v, %s", err, data)
	}
}

// A power cut leaves zeros where pages had not reached the disk, and maybe later pages
// behind them (S-21). They are removed, and told of; a checkpoint from elsewhere gives
// away who writes zeros over what had been synced.
func TestZerosAreRecovered(t *testing.T) {
	for name, behind := range map[string]string{"at the end": "", "with a line behind": "\n" + `{"n":20}` + "\n", "many": strings.Repeat("\x00", 1<<17) + "\n"} {
		b := newBench(t)
		b.fill(t, 5)
		whole, err := os.ReadFile(b.path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(b.path, append(whole, `{"n":1`+strings.Repeat("\x00", 4096)+behind...), 0o600); err != nil {
			t.Fatal(err)
		}
		b.fill(t, 1)
		if _, err := audit.Verify(b.public(), b.outside, b.read(t)...); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		data, err := os.ReadFile(b.path)
		if err != nil || !bytes.HasPrefix(data, whole) || !bytes.Contains(data, fmt.Appendf(nil, `"bytes":"%d"`, 6+4096+len(behind))) || bytes.IndexByte(data, 0) >= 0 {
			t.Errorf("%s: %v, %d bytes", name, err, len(data))
		}
	}
	b := newBench(t)
	b.fill(t, 30)
	whole, err := os.ReadFile(b.path)
	if err != nil {
		t.Fatal(err)
	}
	clear(whole[len(whole)/2:][:100])
	if err := os.WriteFile(b.path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	kept := slices.Clone(b.outside)
	b.fill(t, 1)
	if _, err := audit.Verify(b.public(), kept, b.read(t)...); err == nil {
		t.Error("who wrote zeros over entries is not noticed")
	}
}

// Whoever changed the file while the broker was down is told to keep it.
func TestOpenRefusesAChangedFile(t *testing.T) {
	b := newBench(t)
	if err := os.WriteFile(b.path, []byte("shopping list\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := audit.Open(audit.Options{Path: b.path, Key: b.key}); err == nil || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("got %v", err)
	}
	b.path += "2"
	l := b.open(t)
	defer func() { _ = l.Close() }() // the test is over
	if _, err := audit.Open(audit.Options{Path: b.path, Key: b.key}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second writer: %v", err)
	}
}

// S-17: full files are put aside, and a crash between that and the next file
// loses the chain neither.
func TestFullFilesArePutAside(t *testing.T) {
	b := newBench(t)
	b.size = 4000
	b.fill(t, 60)
	aside, err := filepath.Glob(b.path + ".*")
	if err != nil || len(aside) < 2 {
		t.Fatalf("%v, %v", aside, err)
	}
	slices.SortFunc(aside, func(a, c string) int { return len(a)*100 + strings.Compare(a, c) - len(c)*100 })
	v, err := audit.Verify(b.public(), b.outside, b.read(t, append(aside, b.path)...)...)
	if err != nil || v.Lines < 60 {
		t.Errorf("%+v, %v", v, err)
	}
	if v, err := audit.Verify(b.public(), nil, b.read(t)...); err != nil || v.Lines < 60 {
		t.Errorf("the last file alone: %+v, %v", v, err)
	}
	if err := os.Remove(b.path); err != nil {
		t.Fatal(err)
	}
	b.size = 0
	b.fill(t, 5)
	if _, err := audit.Verify(b.public(), nil, b.read(t, append(aside, b.path)...)...); err != nil {
		t.Errorf("after a crash while it was put aside: %v", err)
	}
}

// S-15: one event is one line of at most 8 KiB, whatever it says.
func TestNothingBreaksALine(t *testing.T) {
	b := newBench(t)
	l := b.open(t)
	nasty := []string{"two\nlines\r\n", "\x1b[2J\x1b[31mred", `"},"chain":"AAAA"}`, strings.Repeat("x", 1<<20), "\xff\xfe", "\u2028\u202e", "\x00"}
	for _, text := range nasty {
		if err := l.Record(text, text, slog.String(text, text)); err != nil {
			t.Fatal(err)
		}
	}
	var many []slog.Attr
	for i := range 100 {
		many = append(many, slog.String(fmt.Sprint("key", i), strings.Repeat("y", 500)))
	}
	if err := l.Record("many", "", many...); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(b.path)
	if err != nil {
		t.Fatal(err)
	}
	rows := bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
	if want := 2 + len(nasty) + 1 + 1; len(rows) != want { // begun, checkpoint, …, checkpoint
		t.Errorf("%d lines, want %d", len(rows), want)
	}
	for i, row := range rows {
		if len(row) > 8<<10+128 || bytes.ContainsFunc(row, func(r rune) bool { return r < ' ' }) {
			t.Errorf("line %d has %d bytes, or control characters", i+1, len(row))
		}
	}
	if _, err := audit.Verify(b.public(), b.outside, b.read(t)...); err != nil {
		t.Error(err)
	}
}

// S-18: a clock that goes back changes no order and is told.
func TestClockThatGoesBackIsTold(t *testing.T) {
	b := newBench(t)
	l := b.open(t)
	for _, step := range []time.Duration{time.Minute, -time.Hour, time.Second} {
		b.now = b.now.Add(step)
		if err := l.Record("login.begun", "ok"); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(b.path)
	if err != nil || bytes.Count(data, []byte(`"clockBack":true`)) != 1 {
		t.Errorf("%v, %s", err, data)
	}
	if _, err := audit.Verify(b.public(), b.outside, b.read(t)...); err != nil {
		t.Error(err)
	}
}

// S-17: a log that cannot be written fails and stays failed, so that logins stop
// instead of going untold.
func TestFailureStays(t *testing.T) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	if l, err := audit.Open(audit.Options{Path: "/dev/full", Key: key}); err == nil {
		_ = l.Close() // it is about the opening
		t.Error("a log on a full disk was opened")
	}
	b := newBench(t)
	l := b.open(t)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := l.Record("login.begun", "ok"); err == nil || l.Err() == nil {
			t.Error("a closed log took an event")
		}
	}
}

func TestManyWriteAtOnce(t *testing.T) {
	b := newBench(t)
	l := b.open(t)
	logger := slog.New(l.Handler()).With("replica", "a")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				logger.Info("audit", "event", "token.issued", "reason", "ok")
			}
		})
	}
	all.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	v, err := audit.Verify(b.public(), b.outside, b.read(t)...)
	if err != nil || v.Lines < 400 {
		t.Errorf("%+v, %v", v, err)
	}
	data, err := os.ReadFile(b.path)
	if err != nil || bytes.Count(data, []byte(`"event":"token.issued","reason":"ok","attributes":{"replica":"a"}`)) != 400 {
		t.Errorf("%v", err)
	}
}

func FuzzVerify(f *testing.F) {
	b := newBench(f)
	b.fill(f, 3)
	whole, err := os.ReadFile(b.path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-5])
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := audit.Verify(b.public(), nil, bytes.NewReader(data))
		// Only a beginning of the true log verifies as far as a checkpoint reaches.
		if err == nil && v.Marked > 0 && !bytes.HasPrefix(whole, data[:min(len(data), 200)]) {
			t.Errorf("verified %q", data)
		}
	})
}

func BenchmarkRecord(bm *testing.B) {
	b := newBench(bm)
	b.lines = 1000
	l := b.open(bm)
	defer func() { _ = l.Close() }() // the test is over
	for bm.Loop() {
		if err := l.Record("token.issued", "ok", slog.String("grant", "0123456789"), slog.String("client", "portal")); err != nil {
			bm.Fatal(err)
		}
	}
}
