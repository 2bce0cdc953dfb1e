package loadtarget_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
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

// BenchmarkLogins measures whole logins over HTTP, the driver on the same
// machine: this broker, Dex with its mock connector, and the bare provider, in
// turn on each storage. `make bench` builds Dex into .cache/bin; without it the
// row is left out.
func BenchmarkLogins(b *testing.B) {
	eidlab := filepath.Join(b.TempDir(), "eidlab")
	if out, err := exec.Command("go", "build", "-o", eidlab, "../../cmd/eidlab").CombinedOutput(); err != nil {
		b.Fatalf("building eidlab: %v\n%s", err, out)
	}
	dex, err := filepath.Abs("../../.cache/bin/dex")
	if err != nil {
		b.Fatal(err)
	}
	cluster, err := postgres.Start(b.Context(), postgres.Options{Durable: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			b.Error(err)
		}
	})
	for _, storage := range []string{"memory", "sqlite", "postgres"} {
		for _, peer := range []string{"eidbridge", "dex", "bare"} {
			server := &peerServer{storage: storage, dir: b.TempDir(), cluster: cluster}
			switch peer {
			case "eidbridge":
				server.command = server.eidbridge(b, eidlab)
			case "dex":
				if _, err := os.Stat(dex); err != nil {
					b.Logf("%s is missing: make bench builds it", dex)
					continue
				}
				server.command = server.dex(b, dex)
			default:
				server.command = server.bare(b)
			}
			b.Run(storage+"/"+peer, func(b *testing.B) { server.measure(b) })
		}
	}
}

// peerServer is one process to be measured.
type peerServer struct {
	storage, dir string
	cluster      *postgres.Cluster
	command      *exec.Cmd
	// fixed is what to drive, for a server that prints nothing.
	fixed *load.Target
}

func (s *peerServer) eidbridge(b *testing.B, program string) *exec.Cmd {
	args := []string{"load-target", "--storage", s.storage, "--data", s.dir}
	if s.storage == "postgres" {
		args = append(args, "--database", s.schema(b, "eidbridge"))
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

// start runs the server and says what to drive.
func (s *peerServer) start(b *testing.B) load.Target {
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
	if s.fixed != nil {
		for range 200 {
			resp, err := http.Get(s.fixed.Issuer + "/.well-known/openid-configuration")
			if err == nil {
				resp.Body.Close()
				return *s.fixed
			}
			time.Sleep(50 * time.Millisecond)
		}
		b.Fatal("the server does not answer")
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

func (s *peerServer) measure(b *testing.B) {
	target := s.start(b)
	for _, connections := range []int{8, 32} {
		driver, err := load.NewDriver(b.Context(), target, connections)
		if err != nil {
			b.Fatal(err)
		}
		driver.Run(b.Context(), connections, 200) // warm
		b.Run(strconv.Itoa(connections), func(b *testing.B) {
			before := s.processorTime(b)
			r := driver.Run(context.Background(), connections, b.N)
			if r.Failed > 0 {
				b.Logf("%d of %d logins failed: %v", r.Failed, r.Logins, r.First)
			}
			b.ReportMetric(r.PerSecond(), "logins/s")
			b.ReportMetric(float64(r.P99.Microseconds())/1000, "p99-ms")
			b.ReportMetric((s.processorTime(b)-before).Seconds()*1000/float64(b.N), "cpu-ms/login")
			b.ReportMetric(s.resident(b), "MB")
			b.ReportMetric(0, "ns/op")
		})
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
