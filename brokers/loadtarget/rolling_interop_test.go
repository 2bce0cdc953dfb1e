//go:build interop

package loadtarget_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/child"
	"github.com/eidbridge/eidbridge/fixtures/freeport"
	"github.com/eidbridge/eidbridge/fixtures/postgres"
)

// nextEidlab is the program of the next version: the same sources with one migration
// more, which the compiler is shown in place of a file that is not there.
func nextEidlab(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	replaced := map[string]string{}
	for _, kind := range []string{"sqlite", "postgres"} {
		folder, err := filepath.Abs(filepath.Join("..", "store", "migrations", kind))
		if err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join("..", "store", "testdata", "next", kind+".sql"))
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, kind+".sql")
		if err := os.WriteFile(file, fmt.Appendf(nil, "-- usable from %d\n%s", len(entries), text), 0o600); err != nil {
			t.Fatal(err)
		}
		replaced[filepath.Join(folder, fmt.Sprintf("%04d_next.sql", len(entries)+1))] = file
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "eidlab-next")
	if out, err := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", program, "github.com/eidbridge/eidbridge/cmd/eidlab").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
}

// stop is what an operator does: the replica ends what is under way and leaves.
func (r *replica) stop() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.command.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return r.command.Wait()
}

// front is nginx, whose replicas an operator takes out and puts back.
type front struct {
	t       *testing.T
	dir     string
	address string
	master  *child.Process
}

func startFront(t *testing.T, address string, replicas []*replica) *front {
	t.Helper()
	program := findNginx(t)
	f := &front{t: t, dir: t.TempDir(), address: address}
	f.write(replicas)
	var err error
	if f.master, err = child.Start(exec.Command(program, "-p", f.dir, "-c", filepath.Join(f.dir, "nginx.conf"))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.master.Stop)
	awaitListener(t, address)
	return f
}

// write makes the configuration with the replicas that are in. Connections of clients
// are not kept, so that a client has none that nginx closes at the same moment.
func (f *front) write(in []*replica) {
	f.t.Helper()
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;"
	}
	var servers strings.Builder
	for _, r := range in {
		fmt.Fprintf(&servers, "server %s; ", r.address)
	}
	text := fmt.Sprintf(`daemon off; worker_processes 1; pid %[1]s/pid; error_log %[1]s/error.log; %[4]s
events { worker_connections 512; }
http {
  access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  keepalive_timeout 0;
  upstream replicas { %[3]s keepalive 16; }
  server {
    listen %[2]s;
    location / { proxy_pass http://replicas; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host; proxy_redirect off; }
  }
}
`, f.dir, f.address, servers.String(), user)
	if err := os.WriteFile(filepath.Join(f.dir, "nginx.conf"), []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// workers are the processes that serve: all but the master.
func (f *front) workers() []int {
	f.t.Helper()
	list, err := child.Living(f.master.Group())
	if err != nil {
		f.t.Fatal(err)
	}
	return slices.DeleteFunc(list, func(pid int) bool { return pid == f.master.Group() })
}

// use reloads with the replicas that are in, and returns when nobody serves with others
// any more.
func (f *front) use(in []*replica) {
	f.t.Helper()
	f.write(in)
	before := f.workers()
	if err := syscall.Kill(f.master.Group(), syscall.SIGHUP); err != nil {
		f.t.Fatal(err)
	}
	for range 3000 {
		now := f.workers()
		if len(now) > 0 && !slices.ContainsFunc(before, func(pid int) bool { return slices.Contains(now, pid) }) {
			return
		}
		moment(f.t.Context())
	}
	f.t.Fatal("nginx goes on with its earlier configuration")
}

// S-35: replicas go one by one to the next version, whose program changes the schema
// under the others, and back, while citizens log in: no login fails, without any retry,
// and all that either version granted is good at the end.
func TestInteropRollingUpgradeAndDowngrade(t *testing.T) {
	this, next := eidlab(t), nextEidlab(t)
	cluster, address := startCluster(t, postgres.Options{}), freeport.Address(t)
	replicas := startReplicas(t, cluster, this, address, "6")
	proxy := startFront(t, address, replicas)
	l := startLogins(t, &relyingParty{target: replicas[0].target, transport: &http.Transport{DisableKeepAlives: true}})
	l.await(t, 50)
	for _, to := range []string{next, this} {
		for i, r := range replicas {
			proxy.use(slices.Delete(slices.Clone(replicas), i, i+1))
			if err := r.stop(); err != nil {
				t.Fatalf("a replica did not end well: %v", err)
			}
			r.program = to
			if _, err := r.start(); err != nil {
				t.Fatalf("replica %d as %s: %v", i, filepath.Base(to), err)
			}
			proxy.use(replicas)
			l.await(t, 50) // old and new side by side, in the end one kind alone
		}
	}
	granted := l.end()
	if n := cluster.Do(t.Context(), "SELECT novelty FROM broker.grants", "SELECT id FROM broker.novelties"); n != nil {
		t.Errorf("the next version did not change the schema: %v", n)
	}
	t.Logf("%d logins, %d failed, over six changes of program", len(granted)+int(l.failed.Load()), l.failed.Load())
	n := &tally{}
	for i, g := range granted {
		if i%20 == 0 {
			n.granted = append(n.granted, g)
		}
	}
	l.party.check(t, n)
}

// logins go on until they are ended.
type logins struct {
	party  *relyingParty
	stop   context.CancelFunc
	all    sync.WaitGroup
	ended  atomic.Int64
	failed atomic.Int64

	mu      sync.Mutex
	granted []*granted
}

func startLogins(t *testing.T, party *relyingParty) *logins {
	t.Helper()
	const workers = 4
	l := &logins{party: party}
	running, stop := context.WithCancel(t.Context())
	l.stop = stop
	for range workers {
		l.all.Go(func() {
			for running.Err() == nil {
				if err := l.once(t.Context()); err != nil {
					l.failed.Add(1)
					t.Errorf("a login failed: %v", err)
				}
				l.ended.Add(1)
			}
		})
	}
	t.Cleanup(func() { l.end() })
	return l
}

// once is a login with everything that follows.
func (l *logins) once(ctx context.Context) error {
	code, verifier, err := l.party.code(ctx)
	if err != nil {
		return err
	}
	g, err := l.party.redeem(ctx, code, verifier)
	if err != nil {
		return err
	}
	if err := l.party.userinfo(ctx, g.Access); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.granted = append(l.granted, g)
	return nil
}

// await returns when so many more logins have come to an end.
func (l *logins) await(t *testing.T, more int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for until := l.ended.Load() + more; l.ended.Load() < until; {
		if ctx.Err() != nil {
			t.Fatal("logins do not come to an end")
		}
		moment(ctx)
	}
}

// end lets the logins under way finish, and says what was granted.
func (l *logins) end() []*granted {
	l.stop()
	l.all.Wait()
	return l.granted
}
