//go:build interop

package loadtarget_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/eidbridge/eidbridge/fixtures/freeport"
	"github.com/eidbridge/eidbridge/fixtures/postgres"
)

// within is a program that runs another one after lines of a shell, which take away from
// what it may use.
func within(t *testing.T, program string, lines ...string) string {
	t.Helper()
	script := filepath.Join(t.TempDir(), "within")
	text := "#!/bin/sh\nset -e\n" + strings.Join(lines, "\n") + "\nexec " + program + " \"$@\"\n"
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return script
}

// group makes a control group with a limit, in whichever version this machine has. Not
// ok is a machine where only others may.
func group(t *testing.T, controller string, first, second map[string]string) (dir string, ok bool) {
	t.Helper()
	name := fmt.Sprintf("eidbridge-test-%d-%d", os.Getpid(), time.Now().UnixNano())
	for _, version := range []struct {
		root   string
		limits map[string]string
	}{{filepath.Join("/sys/fs/cgroup", controller), first}, {"/sys/fs/cgroup", second}} {
		dir := filepath.Join(version.root, name)
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		t.Cleanup(func() {
			for range 100 {
				if os.Remove(dir) == nil {
					return
				}
				moment(context.Background()) // who was in it is about to be gone
			}
			t.Errorf("%s stays", dir)
		})
		if limit(dir, version.limits) == nil {
			return dir, true
		}
	}
	return "", false
}

func limit(dir string, limits map[string]string) error {
	var errs []error
	for name, value := range limits {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			errs = append(errs, err) // no file is made in its place
			continue
		}
		errs = append(errs, os.WriteFile(filepath.Join(dir, name), []byte(value), 0o600))
	}
	return errors.Join(errs...)
}

// crowd is visitors who come all at once, and come again when they are turned away.
type crowd struct {
	*tally
	party                  *relyingParty
	workers                int
	turnedAway, unanswered atomic.Int64
}

func newCrowd(r *replica, workers int) *crowd {
	return &crowd{tally: &tally{}, workers: workers, party: &relyingParty{target: r.target, transport: &http.Transport{MaxIdleConnsPerHost: workers}}}
}

// come runs logins until enough is true.
func (c *crowd) come(t *testing.T, enough func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var all sync.WaitGroup
	for range c.workers {
		all.Go(func() {
			for ctx.Err() == nil && !enough() {
				c.visit(ctx)
			}
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		t.Errorf("it takes too long: %d logins, %d times turned away, %d times without an answer", c.logins(), c.turnedAway.Load(), c.unanswered.Load())
	}
}

func (c *crowd) logins() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.granted)
}

// visit is a login, of which every answer is right, or says to come again, or is none.
func (c *crowd) visit(ctx context.Context) {
	var code, verifier string
	if _, err := c.insist(ctx, func() (err error) { code, verifier, err = c.party.code(ctx); return err }); err != nil {
		if ctx.Err() == nil {
			c.lose("a login: %v", err)
		}
		return
	}
	begun := time.Now()
	var g *granted
	lost, err := c.insist(ctx, func() (err error) { g, err = c.party.redeem(ctx, code, verifier); return err })
	switch {
	case ctx.Err() != nil:
		return
	case lost && errors.Is(err, errRefused): // it was redeemed, and the answer never came
		c.unclear.Add(1)
		return
	case errors.Is(err, errRefused) && time.Since(begun) > time.Minute: // it was turned away for all its life
		c.unclear.Add(1)
		return
	case err != nil:
		c.lose("an acknowledged code: %v", err)
		return
	}
	if _, err := c.insist(ctx, func() error { return c.party.userinfo(ctx, g.Access) }); err != nil && ctx.Err() == nil {
		c.lose("an acknowledged access token: %v", err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.granted = append(c.granted, g)
}

// insist asks until there is an answer that does not say to come again, and tells whether
// an answer was lost before.
func (c *crowd) insist(ctx context.Context, ask func() error) (lost bool, err error) {
	for {
		err := ask()
		var none net.Error
		switch {
		case errors.Is(err, errBusy):
			c.turnedAway.Add(1)
		case errors.As(err, &none) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			c.unanswered.Add(1)
			lost = lost || !errors.Is(err, syscall.ECONNREFUSED)
		default:
			return lost, err
		}
		if ctx.Err() != nil {
			return lost, ctx.Err()
		}
		moment(ctx)
	}
}

// S-30: with few descriptors, one thread, half a processor or little memory the broker
// turns visitors away and answers the others rightly; when they are fewer it is as it
// was, without a restart.
func TestInteropScarceMachine(t *testing.T) {
	program := eidlab(t)
	for _, row := range []struct {
		name      string
		lines     func(t *testing.T) []string
		arguments []string
		workers   int
	}{
		{"64 descriptors", func(*testing.T) []string { return []string{"ulimit -n 64"} }, nil, 96},
		{"one thread", func(*testing.T) []string { return []string{"export GOMAXPROCS=1"} }, []string{"--requests", "16"}, 96},
		{"half a processor", halfProcessor, []string{"--requests", "16"}, 96},
		{"256 MiB", func(t *testing.T) []string {
			_, lines := littleMemory(t, 256<<20)
			return lines
		}, []string{"--requests", "96"}, 384},
	} {
		for _, storage := range []string{"sqlite", "postgres"} {
			t.Run("S-30 "+row.name+" "+storage, func(t *testing.T) {
				r := &replica{program: within(t, program, row.lines(t)...), address: freeport.Address(t), arguments: slices.Concat(kept(t, storage), []string{
					"--code-lifetime", codeLifetime, "--access-token-lifetime", accessLifetime,
				}, row.arguments)}
				if _, err := r.start(); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(r.kill)
				c := newCrowd(r, row.workers)
				c.come(t, func() bool { return c.logins() >= 300 && c.turnedAway.Load() >= 50 })
				t.Logf("%d logins, %d times turned away, %d times without an answer", c.logins(), c.turnedAway.Load(), c.unanswered.Load())
				c.party.transport.CloseIdleConnections()
				calm := newCrowd(r, 1)
				calm.come(t, func() bool { return calm.logins() >= 20 })
				if calm.turnedAway.Load()+calm.unanswered.Load() > 0 {
					t.Errorf("afterwards a single visitor is turned away %d times and gets no answer %d times", calm.turnedAway.Load(), calm.unanswered.Load())
				}
				c.review(t, 10)
			})
		}
	}
}

// kept are the arguments for where a broker keeps its state. A PostgreSQL has what it needs:
// only the broker is short of something.
func kept(t *testing.T, storage string) []string {
	t.Helper()
	arguments := []string{"--storage", storage, "--data", t.TempDir()}
	if storage != "postgres" {
		return arguments
	}
	connection, err := startCluster(t, postgres.Options{}).Schema(t.Context(), "broker")
	if err != nil {
		t.Fatal(err)
	}
	return append(arguments, "--database", connection)
}

// review uses what was acknowledged, one of so many.
func (c *crowd) review(t *testing.T, one int) {
	t.Helper()
	n := &tally{lost: c.lost}
	for i, g := range c.granted {
		if i%one == 0 {
			n.granted = append(n.granted, g)
		}
	}
	c.party.check(t, n)
}

// halfProcessor leaves half of one processor: by a control group, or where that is for
// others to make, by stopping the process half of the time.
func halfProcessor(t *testing.T) []string {
	t.Helper()
	dir, ok := group(t, "cpu", map[string]string{"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "50000"}, map[string]string{"cpu.max": "50000 100000"})
	if ok {
		return []string{"echo $$ > " + filepath.Join(dir, "cgroup.procs")}
	}
	t.Log("no control group: the process is stopped half of the time")
	return []string{`self=$$`, `(while sleep 0.05 && kill -STOP $self && sleep 0.05 && kill -CONT $self; do :; done) >/dev/null 2>&1 &`}
}

// memory is what a process may use, which can change while it runs: by a control group,
// or where that is for others to make, as a limit of the data that it might use.
type memory struct{ dir string }

// littleMemory leaves so many bytes to the program that the lines begin.
func littleMemory(t *testing.T, bytes int) (m memory, lines []string) {
	t.Helper()
	first, second := memoryLimits(bytes)
	if dir, ok := group(t, "memory", first, second); ok {
		return memory{dir}, []string{"echo $$ > " + filepath.Join(dir, "cgroup.procs")}
	}
	t.Log("no control group: the data of the process are limited")
	return memory{}, []string{fmt.Sprintf("ulimit -S -d %d", bytes>>10)}
}

func memoryLimits(bytes int) (first, second map[string]string) {
	return map[string]string{"memory.limit_in_bytes": strconv.Itoa(bytes)}, map[string]string{"memory.max": strconv.Itoa(bytes)}
}

// leave sets what a process may use.
func (m memory) leave(pid, bytes int) error {
	if m.dir == "" {
		var limit unix.Rlimit
		if err := unix.Prlimit(pid, unix.RLIMIT_DATA, nil, &limit); err != nil {
			return err
		}
		limit.Cur = uint64(bytes)
		return unix.Prlimit(pid, unix.RLIMIT_DATA, &limit, nil)
	}
	first, second := memoryLimits(bytes)
	if limit(m.dir, first) == nil {
		return nil
	}
	return limit(m.dir, second)
}

// used is what a process uses of it.
func (m memory) used(pid int) (int, error) {
	for _, name := range []string{"memory.usage_in_bytes", "memory.current"} {
		if text, err := os.ReadFile(filepath.Join(m.dir, name)); err == nil && m.dir != "" {
			return strconv.Atoi(strings.TrimSpace(string(text)))
		}
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "VmData:")
	var kilobytes int
	_, err = fmt.Sscan(rest, &kilobytes)
	return kilobytes << 10, err
}

// squeeze leaves a process hardly more than it uses.
func (m memory) squeeze(pid int) error {
	const more = 2 << 20
	var err error
	for range 100 { // it may use more by the time that it is limited
		var used int
		if used, err = m.used(pid); err == nil {
			err = m.leave(pid, used+more)
		}
		if err == nil {
			return nil
		}
	}
	return err
}

// S-30: a broker that runs out of memory in the midst of logins, and is ended by the
// system, has lost nothing when it is started again, as after any other death (S-25).
func TestInteropMemoryRunsOut(t *testing.T) {
	const deaths, plenty = 5, 256 << 20
	m, lines := littleMemory(t, plenty)
	r := &replica{program: within(t, eidlab(t), lines...), address: freeport.Address(t), arguments: []string{
		"--storage", "sqlite", "--data", t.TempDir(), "--code-lifetime", codeLifetime, "--access-token-lifetime", accessLifetime,
	}}
	if _, err := r.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.kill)
	c := newCrowd(r, 64)
	var died atomic.Int64
	watched := make(chan error, 1)
	over := make(chan struct{})
	go func() { watched <- r.reviveAfter(m, plenty, deaths, &died, over) }()
	c.come(t, func() bool { return died.Load() >= deaths && c.logins() >= 100 || len(watched) > 0 })
	t.Logf("out of memory %d times; %d logins, %d answers lost when a code was redeemed, %d in all", died.Load(), c.logins(), c.unclear.Load(), c.unanswered.Load())
	if died.Load() < deaths {
		t.Fatalf("it ran out of memory %d times: %v", died.Load(), <-watched)
	}
	c.party.transport.CloseIdleConnections()
	c.review(t, 1+c.logins()/100)
	close(over)
	if err := syscall.Kill(r.command.Process.Pid, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	if err := <-watched; err != nil {
		t.Error(err)
	}
}

// reviveAfter starts the broker again whenever it died, and leaves it too little memory
// until it has died often enough.
func (r *replica) reviveAfter(m memory, plenty int, deaths int64, died *atomic.Int64, over <-chan struct{}) error {
	for {
		r.mu.Lock()
		command := r.command
		r.mu.Unlock()
		if died.Load() < deaths {
			if err := m.squeeze(command.Process.Pid); err != nil && !errors.Is(err, syscall.ESRCH) {
				return err
			}
		}
		err := command.Wait()
		select {
		case <-over:
			return nil
		default:
		}
		var ended *exec.ExitError
		if !errors.As(err, &ended) || ended.ExitCode() != -1 && ended.ExitCode() != 2 { // killed, or the runtime gave up
			return fmt.Errorf("the broker ended with %w", err)
		}
		if m.dir != "" {
			if err := m.leave(0, plenty); err != nil {
				return err
			}
		}
		if _, err := r.start(); err != nil {
			return err
		}
		died.Add(1)
	}
}
