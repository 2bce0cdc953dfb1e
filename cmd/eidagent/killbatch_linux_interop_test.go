//go:build interop

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// changes counts what happens to the files of a folder, and calls then at the n-th
// change. It ends with the function that is returned, which tells how many there were.
func changes(t *testing.T, folder string, n int, then func()) (count func() int) {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.InotifyAddWatch(fd, folder, unix.IN_CREATE|unix.IN_MOVED_TO|unix.IN_MODIFY|unix.IN_DELETE); err != nil {
		t.Fatal(err)
	}
	events := os.NewFile(uintptr(fd), "inotify")
	var seen atomic.Int64
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buffer := make([]byte, 64<<10)
		for {
			size, err := events.Read(buffer)
			if err != nil {
				return // closed
			}
			for rest := buffer[:size]; len(rest) >= unix.SizeofInotifyEvent; {
				name := int(rest[12]) | int(rest[13])<<8 // struct inotify_event: len
				rest = rest[unix.SizeofInotifyEvent+name:]
				if seen.Add(1) == int64(n) {
					then()
				}
			}
		}
	}()
	return func() int {
		events.Close()
		<-ended
		return int(seen.Load())
	}
}

// told starts a command and calls line with the number of each line that it prints; it
// returns the names of the outputs that it told of once it has ended.
func (d *batchDesk) told(c *exec.Cmd, started chan<- struct{}, line func(n int)) []string {
	d.t.Helper()
	out, err := c.StdoutPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		d.t.Fatal(err)
	}
	close(started)
	var names []string
	for lines := bufio.NewReader(out); ; {
		text, err := lines.ReadString('\n')
		if err != nil {
			break // what is cut off was not told
		}
		name, _, _ := strings.Cut(text, "\t")
		names = append(names, name)
		line(len(names))
	}
	_, _ = io.Copy(io.Discard, out)
	_ = c.Wait() // it is killed
	return names
}

// kills counts what kills hit.
type kills struct{ all, inside, parts int }

// look judges a folder after a kill.
func (k *kills) look(d *batchDesk, before map[string]string, told []string) map[string]string {
	d.t.Helper()
	k.all++
	k.parts += len(d.parts())
	now := d.done()
	for _, name := range told {
		if now[name] == "" {
			d.t.Fatalf("S-20 %s was told of and is not done", name)
		}
	}
	for name, digest := range before {
		if now[name] != digest {
			d.t.Errorf("%s was in the manifest and was signed again", name)
		}
	}
	if len(now) > len(before) && len(now) < len(d.documents) {
		k.inside++
	}
	return now
}

// S-20: the agent is killed while it signs a folder, at a change of the folder or after
// a line of output that is drawn by lot, and again while it goes on.
func TestInteropKilledInABatch(t *testing.T) {
	for _, row := range []struct {
		name string
		args []string
	}{{"new outputs", nil}, {"outputs replaced", []string{"--force"}}} {
		t.Run(row.name, func(t *testing.T) {
			d := newBatchDesk(t, 70) // three groups
			if len(row.args) > 0 {
				for name := range d.documents {
					d.former[signedName(name)] = []byte("former " + name)
				}
			}
			d.fill(d.folder)
			count := changes(t, d.folder, 0, nil)
			d.goesOn(map[string]string{}, row.args...)
			most := count()
			seed := rand.Uint64()
			random := rand.New(rand.NewPCG(seed, 20))
			var k kills
			for range 4 {
				d.fill(d.folder)
				done := make(map[string]string)
				for range 4 {
					line := 0
					c := d.sign(row.args...)
					started := make(chan struct{})
					kill := func() {
						<-started
						_ = c.Process.Signal(syscall.SIGKILL) // it may be gone
					}
					count := func() int { return 0 }
					left := len(d.documents) - len(done)
					if left == 0 {
						break
					}
					if random.IntN(3) == 0 {
						line = 1 + random.IntN(left)
					} else {
						count = changes(t, d.folder, 1+random.IntN(1+most*left/len(d.documents)), kill)
					}
					told := d.told(c, started, func(n int) {
						if n == line {
							kill()
						}
					})
					count()
					done = k.look(d, done, told)
				}
				d.goesOn(done, row.args...)
			}
			t.Logf("seed %d, %d changes: of %d kills %d hit between the first and the last output; %d temporary files were left", seed, most, k.all, k.inside, k.parts)
		})
	}
}

// S-20: the agent is killed by the very call that puts the n-th file of a thread in
// place, writes, or waits for the disk: in the middle of the steps of a group, however
// fast the machine is.
func TestInteropKilledBetweenTheStepsOfAGroup(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		args  []string
		calls string
		when  []int
		// least and most documents are done after the kill.
		least, most int
	}{
		{nil, "linkat", []int{1}, 0, 0},
		{nil, "linkat", []int{2}, 1, 69}, // there are fewer threads than documents
		{nil, "fsync", []int{1, 7}, 0, 70},
		{[]string{"--force"}, "rename,renameat,renameat2", []int{1}, 0, 0},
		{[]string{"--force"}, "rename,renameat,renameat2", []int{2}, 1, 69},
		{[]string{"--force"}, "fsync", []int{1, 7}, 0, 70},
	} {
		d := newBatchDesk(t, 70)
		if row.args != nil {
			for name := range d.documents {
				d.former[signedName(name)] = []byte("former " + name)
			}
		}
		var k kills
		var hit []int
		for _, when := range row.when {
			d.fill(d.folder)
			c := d.sign(row.args...)
			c.Args = slices.Concat(killingCall(strace, row.calls, when), []string{c.Path}, c.Args[1:])
			c.Path = strace
			done := k.look(d, nil, d.told(c, make(chan struct{}), func(int) {}))
			hit = append(hit, len(done))
			if len(done) < row.least || len(done) > row.most {
				t.Errorf("%v %s %d: %d are done, want %d to %d", row.args, row.calls, when, len(done), row.least, row.most)
			}
			d.goesOn(done, row.args...)
		}
		t.Logf("%v %s %v: done were %v of %d; %d temporary files were left", row.args, row.calls, row.when, hit, len(d.documents), k.parts)
	}
}

// killingCall is strace(1), which kills the program that follows with the n-th such
// call of one of its threads. --seccomp-bpf would be faster, but version 6.1 counts no
// calls with it.
func killingCall(strace, calls string, n int) []string {
	return []string{
		strace, "-f", "-qq", "-e", "signal=none", "-o", os.DevNull, "-e", "trace=" + calls,
		"-e", fmt.Sprintf("inject=%s:signal=SIGKILL:when=%d", calls, n), "--",
	}
}

// S-22: no room in the middle of a batch, for outputs or for the manifest, or none that
// may be written to. What is told of is in place and in the manifest, nothing else is
// there, and the same command signs the rest once there is room.
func TestInteropBatchWithoutRoom(t *testing.T) {
	d := newBatchDesk(t, 0)
	place := d.mount("place", "size=8m")
	wants := func(want string, some bool) {
		t.Helper()
		c := d.sign()
		out, err := c.CombinedOutput()
		d.remount(place, 0, "size=8m")
		done := d.done()
		if c.ProcessState.ExitCode() != exitOther || !bytes.Contains(out, []byte(want)) {
			t.Errorf("%v, want %q:\n%s", err, want, out)
		}
		told := bytes.Count(out, []byte("-signed.pdf\tB-B\n"))
		if told != len(done) || told == len(d.documents) || some && told == 0 || len(d.parts()) > 0 {
			t.Errorf("%d are told of, %d are done, left beside is %v\n%s", told, len(done), d.parts(), out)
		}
		t.Logf("%s: %d of %d are done", want, len(done), len(d.documents))
		d.goesOn(done)
	}

	// The folder takes its documents and the first outputs.
	d.folder = filepath.Join(place, "batch")
	d.more(70)
	d.goesOn(nil)
	all := used(t, place)
	d.fill(d.folder)
	documents := used(t, place)
	d.remount(place, 0, fmt.Sprint("size=", documents+(all-documents)*3/4))
	wants("no space left", true)

	// The manifest has room for the first lines.
	d.fill(filepath.Join(d.dir, "batch"))
	d.manifest = filepath.Join(place, "manifest")
	if err := os.RemoveAll(filepath.Join(place, "batch")); err != nil {
		t.Fatal(err)
	}
	d.remount(place, 0, fmt.Sprint("size=", 4*os.Getpagesize()))
	wants("the manifest cannot be written", true)

	// It has none, and may not be written.
	if err := os.Truncate(d.manifest, 0); err != nil {
		t.Fatal(err)
	}
	d.fill(d.folder)
	d.remount(place, syscall.MS_RDONLY, "")
	wants("hint: Name another place with --manifest", false)
}

// used is how many bytes of a file system are taken.
func used(t *testing.T, place string) uint64 {
	t.Helper()
	var info unix.Statfs_t
	if err := unix.Statfs(place, &info); err != nil {
		t.Fatal(err)
	}
	return (info.Blocks - info.Bfree) * uint64(info.Bsize)
}
