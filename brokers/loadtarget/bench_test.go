package loadtarget_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/load"
	"github.com/eidbridge/eidbridge/fixtures/postgres"
)

func TestMain(m *testing.M) {
	if storage := os.Getenv("EIDBRIDGE_BARE"); storage != "" {
		fmt.Fprintln(os.Stderr, serveBare(storage))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// BenchmarkLogins measures whole logins over HTTP, the driver on the same machine,
// on each storage over 8 and 32 connections: this broker, the same with an upstream to
// which browsers are redirected, Dex with its mock connector, to which they are, too,
// and the bare provider, which knows no upstream. They take turns of two seconds, so that
// whatever else the machine does befalls all alike, and the ratios are what counts.
// `make bench` builds Dex into .cache/bin; without it its ratios are left out.
func BenchmarkLogins(b *testing.B) {
	eidlab := filepath.Join(b.TempDir(), "eidlab")
	if out, err := exec.Command("go", "build", "-o", eidlab, "../../cmd/eidlab").CombinedOutput(); err != nil {
		b.Fatalf("building eidlab: %v\n%s", err, out)
	}
	dex, err := filepath.Abs("../../.cache/bin/dex")
	if err != nil {
		b.Fatal(err)
	}
	for _, storage := range []string{"memory", "sqlite", "postgres"} {
		b.Run(storage, func(b *testing.B) {
			var cluster *postgres.Cluster
			if storage == "postgres" {
				cluster = startCluster(b, postgres.Options{Durable: true})
			}
			peer := func(name string) *peerServer {
				return &peerServer{name: name, storage: storage, dir: b.TempDir(), cluster: cluster}
			}
			ours, redirecting, bare := peer("eidbridge"), peer("redirecting"), peer("bare")
			ours.command, redirecting.command = ours.eidbridge(b, eidlab), redirecting.eidbridge(b, eidlab, "--redirect")
			bare.command = bare.bare(b)
			peers := []*peerServer{ours, redirecting, bare}
			if _, err := os.Stat(dex); err == nil {
				peer := peer("dex")
				peer.command = peer.dex(b, dex)
				peers = append(peers, peer)
			} else {
				b.Logf("%s is missing: make bench builds it", dex)
			}
			for _, p := range peers {
				p.start(b)
			}
			for _, connections := range []int{8, 32} {
				b.Run(strconv.Itoa(connections), func(b *testing.B) { takeTurns(b, peers, connections) })
			}
		})
	}
}

// startCluster starts a PostgreSQL that ends with the test.
func startCluster(t testing.TB, o postgres.Options) *postgres.Cluster {
	t.Helper()
	cluster, err := postgres.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	return cluster
}

// takeTurns measures the peers, and reports the first and its ratios to the others.
func takeTurns(b *testing.B, peers []*peerServer, connections int) {
	const turns, turn = 6, 2 * time.Second
	for _, p := range peers {
		p.total, p.used = load.Report{}, 0
		p.driver.Run(b.Context(), connections, 200) // warm
	}
	b.ResetTimer()
	for range b.N * turns {
		for _, p := range peers {
			before := p.processorTime(b)
			p.total = p.total.Add(p.driver.RunFor(b.Context(), connections, turn))
			p.used += p.processorTime(b) - before
		}
	}
	b.StopTimer()
	b.ReportMetric(0, "ns/op")
	ours := peers[0]
	for _, p := range peers {
		rate, cpu := p.total.PerSecond(), float64(p.used.Microseconds())/float64(p.total.Logins)
		b.Logf("%-11s %7.0f logins/s  p50 %6.1f ms  p99 %6.1f ms  %5.0f cpu-µs/login  %4.0f MB", p.name, rate,
			milliseconds(p.total.Quantile(0.5)), milliseconds(p.total.Quantile(0.99)), cpu, p.resident(b))
		if p.total.Failed > 0 {
			b.Logf("%-11s %d of %d logins failed: %v", p.name, p.total.Failed, p.total.Logins, p.total.First)
		}
		if p == ours {
			b.ReportMetric(rate, "logins/s")
			b.ReportMetric(p.resident(b), "MB")
			continue
		}
		b.ReportMetric(ours.total.PerSecond()/rate, "x-"+p.name)
		b.ReportMetric(float64(ours.total.Quantile(0.99))/float64(p.total.Quantile(0.99)), "p99-of-"+p.name)
	}
	if ours.total.Failed > 0 {
		b.Errorf("%d logins failed: %v", ours.total.Failed, ours.total.First)
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// peerServer is one process to be measured.
type peerServer struct {
	name, storage, dir string
	// connection is that of its PostgreSQL database.
	connection string
	cluster    *postgres.Cluster
	command    *exec.Cmd
	// fixed is what to drive, for a server that prints nothing.
	fixed  *load.Target
	driver *load.Driver
	// total is what was measured, used the processor time of the server meanwhile.
	total load.Report
	used  time.Duration
}

func (s *peerServer) eidbridge(b *testing.B, program string, more ...string) *exec.Cmd {
	args := append([]string{"load-target", "--storage", s.storage, "--data", s.dir}, more...)
	if s.storage == "postgres" {
		s.connection = s.schema(b, s.name)
		args = append(args, "--database", s.connection)
	}
	return exec.Command(program, args...)
}

func (s *peerServer) schema(b *testing.B, name string) string {
	b.Helper()
	connection, err := s.cluster.Schema(b.Context(), name)
	if err != nil {
		b.Fatal(err)
	}
	return connection
}

func (s *peerServer) bare(b *testing.B) *exec.Cmd {
	storage := "memory"
	switch s.storage {
	case "sqlite":
		storage = "sqlite:" + filepath.Join(s.dir, "bare.db")
	case "postgres":
		storage = "pgx:" + s.schema(b, "bare")
	}
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), "EIDBRIDGE_BARE="+storage)
	return command
}

func (s *peerServer) dex(b *testing.B, program string) *exec.Cmd {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	issuer := "http://" + address
	storage := "{type: memory}"
	switch s.storage {
	case "sqlite":
		storage = "{type: sqlite3, config: {file: " + filepath.Join(s.dir, "dex.db") + "}}"
	case "postgres":
		database, err := s.cluster.Database(b.Context(), "dex")
		if err != nil {
			b.Fatal(err)
		}
		storage = fmt.Sprintf("{type: postgres, config: {host: %q, port: 5432, database: %s, user: broker, maxOpenConns: 16, maxIdleConns: 16, ssl: {mode: disable}}}", database.Socket, database.Name)
	}
	config := filepath.Join(s.dir, "dex.yaml")
	text := fmt.Sprintf(`issuer: %s
storage: %s
web: {http: %q}
logger: {level: error}
oauth2: {skipApprovalScreen: true}
staticClients: [{id: bench, name: bench, secret: bench-secret, redirectURIs: [%q]}]
connectors: [{type: mockCallback, id: mock, name: Mock}]
`, issuer, storage, address, issuer+"/cb")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	s.fixed = &load.Target{Issuer: issuer, ClientID: "bench", ClientSecret: "bench-secret", RedirectURI: issuer + "/cb"}
	return exec.Command(program, "serve", config)
}

// start runs the server until the end of the benchmark.
func (s *peerServer) start(b *testing.B) {
	b.Helper()
	s.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := s.command.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := s.command.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = s.command.Process.Kill() // it may be gone
		_ = s.command.Wait()         // it was killed
	})
	target := s.target(b, out)
	if s.driver, err = load.NewDriver(b.Context(), target); err != nil {
		b.Fatal(err)
	}
}

// target waits for the server and says what to drive.
func (s *peerServer) target(b *testing.B, out io.Reader) load.Target {
	b.Helper()
	if s.fixed != nil {
		s.answers(b)
		return *s.fixed
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		b.Fatal(err)
	}
	var d struct {
		Issuer      string `json:"issuer"`
		ID          string `json:"client_id"`
		Secret      string `json:"client_secret"`
		RedirectURI string `json:"redirect_uri"`
	}
	if err := json.Unmarshal(line, &d); err != nil {
		b.Fatal(err)
	}
	return load.Target{Issuer: d.Issuer, ClientID: d.ID, ClientSecret: d.Secret, RedirectURI: d.RedirectURI}
}

// answers waits until the server does: it says nothing when it is ready.
func (s *peerServer) answers(b *testing.B) {
	b.Helper()
	begun := time.Now()
	ask := time.NewTicker(50 * time.Millisecond)
	defer ask.Stop()
	for {
		resp, err := http.Get(s.fixed.Issuer + "/.well-known/openid-configuration")
		if err == nil {
			resp.Body.Close()
			return
		}
		if time.Since(begun) > time.Minute {
			b.Fatalf("the server does not answer: %v", err)
		}
		<-ask.C
	}
}

// resident is the resident memory of the server, in megabytes.
func (s *peerServer) resident(b *testing.B) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.command.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kilobytes, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	if err != nil {
		b.Fatal(err)
	}
	return kilobytes / 1024
}

// processorTime is what the server's process has used so far.
func (s *peerServer) processorTime(b *testing.B) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.command.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	ticks := 0
	for _, f := range fields[11:13] { // utime and stime, in hundredths of a second
		n, err := strconv.Atoi(f)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
