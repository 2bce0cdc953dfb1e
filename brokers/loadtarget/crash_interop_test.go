//go:build interop

package loadtarget_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
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

	"github.com/eidbridge/eidbridge/fixtures/freeport"
	"github.com/eidbridge/eidbridge/fixtures/load"
	"github.com/eidbridge/eidbridge/fixtures/postgres"
)

// What was granted first is asked for last, after as many minutes as a machine takes for
// all logins, and a code has to outlive a start of the broker.
const codeLifetime, accessLifetime = "60s", "1h"

// replica is a broker that is killed and started again at one address.
type replica struct {
	arguments []string
	program   string
	address   string

	mu      sync.Mutex
	command *exec.Cmd
	target  load.Target
}

// start returns when the broker says that it listens, and how long that took.
func (r *replica) start() (time.Duration, error) {
	r.mu.Lock()
	r.command = exec.Command(r.program, append([]string{"load-target", "--listen", r.address}, r.arguments...)...)
	r.mu.Unlock()
	return r.run()
}

// run starts the command.
func (r *replica) run() (time.Duration, error) {
	begun := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	command := r.command
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var problems strings.Builder
	command.Stderr = &problems
	out, err := command.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := command.Start(); err != nil {
		return 0, err
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		return 0, fmt.Errorf("it said nothing: %w: %s", errors.Join(err, command.Wait()), &problems)
	}
	var d struct {
		Issuer      string `json:"issuer"`
		ID          string `json:"client_id"`
		Secret      string `json:"client_secret"`
		RedirectURI string `json:"redirect_uri"`
	}
	if err := json.Unmarshal(line, &d); err != nil {
		return 0, err
	}
	r.target = load.Target{Issuer: d.Issuer, ClientID: d.ID, ClientSecret: d.Secret, RedirectURI: d.RedirectURI}
	return time.Since(begun), nil
}

// startReplicas starts three of a program on one cluster, with so many connections to it
// each, behind a front.
func startReplicas(t *testing.T, cluster *postgres.Cluster, program, front, connections string) []*replica {
	t.Helper()
	connection, err := cluster.Schema(t.Context(), "broker")
	if err != nil {
		t.Fatal(err)
	}
	data := t.TempDir()
	var replicas []*replica
	for range 3 {
		r := &replica{program: program, address: freeport.Address(t), arguments: []string{
			"--storage", "postgres", "--database", connection, "--data", data, "--issuer", "http://" + front, "--connections", connections,
			"--code-lifetime", codeLifetime, "--access-token-lifetime", accessLifetime,
		}}
		if _, err := r.start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.kill)
		replicas = append(replicas, r)
	}
	return replicas
}

// findNginx is the program that the front is.
func findNginx(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"nginx", "/usr/sbin/nginx"} {
		if program, err := exec.LookPath(name); err == nil {
			return program
		}
	}
	t.Fatal("nginx is missing: make setup-test installs it")
	return ""
}

// kill is SIGKILL, at whatever the broker is doing.
func (r *replica) kill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.command.Process.Kill() // it may be gone
	_ = r.command.Wait()         // it was killed
}

func eidlab(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "eidlab")
	if out, err := exec.Command("go", "build", "-o", program, "github.com/eidbridge/eidbridge/cmd/eidlab").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
}

// relyingParty is a client that notes what was acknowledged to it.
type relyingParty struct {
	target    load.Target
	transport *http.Transport
}

// errRefused is an answer that says no, in contrast to none.
var errRefused = errors.New("refused")

// errBusy is an answer that says to come again later.
var errBusy = errors.New("turned away")

func turnedAway(resp *http.Response) bool {
	return (resp.StatusCode == http.StatusServiceUnavailable || resp.StatusCode == http.StatusTooManyRequests) && resp.Header.Get("Retry-After") != ""
}

func (p *relyingParty) post(ctx context.Context, path string, form url.Values, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.target.Issuer+path, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(p.target.ClientID), url.QueryEscape(p.target.ClientSecret))
	return p.do(req, into)
}

func (p *relyingParty) do(req *http.Request, into any) error {
	resp, err := (&http.Client{Transport: p.transport, Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	switch {
	case turnedAway(resp):
		return fmt.Errorf("%w: status %d", errBusy, resp.StatusCode)
	case resp.StatusCode >= 500:
		return fmt.Errorf("status %d", resp.StatusCode)
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%w: %d %s", errRefused, resp.StatusCode, text)
	}
	return json.Unmarshal(text, into)
}

// code logs in up to the code.
func (p *relyingParty) code(ctx context.Context) (code, verifier string, err error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return "", "", err
	}
	browser := &http.Client{Transport: p.transport, Jar: jar, Timeout: 10 * time.Second, CheckRedirect: func(req *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(req.URL.String(), p.target.RedirectURI) {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	verifier = rand.Text() + rand.Text()
	challenge := sha256.Sum256([]byte(verifier))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.target.Issuer+"/authorize?"+url.Values{
		"client_id": {p.target.ClientID}, "redirect_uri": {p.target.RedirectURI}, "response_type": {"code"}, "scope": {"openid offline_access"},
		"state": {"s"}, "prompt": {"consent"}, "code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}.Encode(), nil)
	if err != nil {
		return "", "", err
	}
	resp, err := browser.Do(req)
	if err != nil {
		return "", "", err
	}
	defer resp.Body.Close()
	at, err := resp.Location()
	if turnedAway(resp) {
		return "", "", fmt.Errorf("%w: status %d", errBusy, resp.StatusCode)
	}
	if err != nil {
		return "", "", fmt.Errorf("status %d without a way back", resp.StatusCode)
	}
	if code = at.Query().Get("code"); code == "" {
		return "", "", fmt.Errorf("came back with %s", at.Query().Get("error"))
	}
	return code, verifier, nil
}

type granted struct {
	code, verifier string
	Access         string `json:"access_token"`
	Refresh        string `json:"refresh_token"`
}

func (p *relyingParty) redeem(ctx context.Context, code, verifier string) (*granted, error) {
	g := &granted{code: code, verifier: verifier}
	return g, p.post(ctx, "/token", url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {p.target.RedirectURI}, "code_verifier": {verifier}}, g)
}

func (p *relyingParty) refresh(ctx context.Context, token string) (*granted, error) {
	g := &granted{}
	return g, p.post(ctx, "/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}, g)
}

func (p *relyingParty) userinfo(ctx context.Context, access string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.target.Issuer+"/userinfo", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+access)
	return p.do(req, &struct{}{})
}

// tally counts what happened in a run.
type tally struct {
	mu       sync.Mutex
	granted  []*granted
	begun    atomic.Int64
	unclear  atomic.Int64 // codes whose answer was lost
	lost     []string     // what was acknowledged and refused later
	attempts atomic.Int64
}

func (t *tally) lose(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lost = append(t.lost, fmt.Sprintf(format, args...))
}

// one login: the code may be asked for again until there is one; an acknowledged
// code has to be redeemed, unless the answer to it was lost with the broker.
func (p *relyingParty) login(ctx context.Context, n *tally) {
	var code, verifier string
	for {
		var err error
		n.attempts.Add(1)
		if code, verifier, err = p.code(ctx); err == nil {
			break
		}
		if ctx.Err() != nil {
			return
		}
		moment(ctx)
	}
	unanswered := false
	for ctx.Err() == nil {
		g, err := p.redeem(ctx, code, verifier)
		if err == nil {
			n.mu.Lock()
			n.granted = append(n.granted, g)
			n.mu.Unlock()
			return
		}
		if errors.Is(err, errRefused) {
			if unanswered { // the broker had redeemed it when it died
				n.unclear.Add(1)
				return
			}
			n.lose("an acknowledged code: %v", err)
			return
		}
		// Nobody took a request that met a closed door.
		unanswered = unanswered || !errors.Is(err, syscall.ECONNREFUSED)
		moment(ctx)
	}
}

// moment waits a little for a broker that is not there.
func moment(ctx context.Context) {
	timer := time.NewTimer(20 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// S-25: SIGKILL at random moments during 1,000 logins, or as many as a fast machine
// makes until the broker was killed ten times. What was acknowledged still works, and
// nothing can be used twice.
func TestInteropKilledBrokersLoseNothing(t *testing.T) {
	program := eidlab(t)
	for _, storage := range []string{"sqlite", "postgres"} {
		t.Run(storage, func(t *testing.T) {
			r := &replica{program: program, address: freeport.Address(t), arguments: []string{
				"--storage", storage, "--data", t.TempDir(), "--code-lifetime", codeLifetime, "--access-token-lifetime", accessLifetime,
			}}
			if storage == "postgres" {
				connection, err := startCluster(t, postgres.Options{Durable: true}).Schema(t.Context(), "broker")
				if err != nil {
					t.Fatal(err)
				}
				r.arguments = append(r.arguments, "--database", connection)
			}
			if _, err := r.start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(r.kill)
			const logins, fewest, workers = 1000, 10, 8
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			p := &relyingParty{target: r.target, transport: &http.Transport{MaxIdleConnsPerHost: workers}}
			n := &tally{}
			ended := make(chan struct{})
			var kills atomic.Int64
			var all sync.WaitGroup
			for range workers {
				all.Go(func() {
					for ctx.Err() == nil && (n.begun.Load() < logins || kills.Load() < fewest) {
						n.begun.Add(1)
						p.login(ctx, n)
					}
				})
			}
			go func() { all.Wait(); close(ended) }()
			slowest := killAtRandom(t, r, &kills, ended)
			if ctx.Err() != nil {
				t.Fatal("the logins did not come to an end")
			}
			p.check(t, n)
			t.Logf("%d logins acknowledged, %d answers lost with the broker, %d kills, %d attempts, slowest start %v",
				len(n.granted), n.unclear.Load(), kills.Load(), n.attempts.Load(), slowest)
			if got, begun := int64(len(n.granted)+len(n.lost))+n.unclear.Load(), n.begun.Load(); got != begun || begun < logins || kills.Load() < fewest {
				t.Errorf("%d begun, %d granted, %d unclear, %d kills", begun, len(n.granted), n.unclear.Load(), kills.Load())
			}
			if slowest > 30*time.Second { // the machine may have other things to do
				t.Errorf("a start took %v", slowest)
			}
		})
	}
}

// killAtRandom kills and starts a broker until the logins are over.
func killAtRandom(t *testing.T, r *replica, kills *atomic.Int64, ended <-chan struct{}) (slowest time.Duration) {
	t.Helper()
	for {
		timer := time.NewTimer(time.Duration(20+mathrand.IntN(180)) * time.Millisecond)
		select {
		case <-ended:
			timer.Stop()
			return slowest
		case <-timer.C:
		}
		r.kill()
		took, err := r.start()
		if err != nil {
			t.Fatalf("after %d kills: %v", kills.Load(), err)
		}
		kills.Add(1)
		slowest = max(slowest, took)
	}
}

// check uses everything that was acknowledged, once and then again.
func (p *relyingParty) check(t *testing.T, n *tally) {
	t.Helper()
	ctx := t.Context()
	for _, lost := range n.lost {
		t.Errorf("lost: %s", lost)
	}
	codes := map[string]bool{}
	for _, g := range n.granted {
		if codes[g.code] {
			t.Error("a code was redeemed twice")
		}
		codes[g.code] = true
		if err := p.userinfo(ctx, g.Access); err != nil {
			t.Errorf("acknowledged access token: %v", err)
		}
		next, err := p.refresh(ctx, g.Refresh)
		if err != nil {
			t.Errorf("acknowledged refresh token: %v", err)
			continue
		}
		last, err := p.refresh(ctx, next.Refresh)
		if err != nil {
			t.Errorf("its successor: %v", err)
			continue
		}
		if _, err := p.refresh(ctx, g.Refresh); !errors.Is(err, errRefused) {
			t.Errorf("the first refresh token was used twice: %v", err)
		}
		if err := p.userinfo(ctx, last.Access); !errors.Is(err, errRefused) {
			t.Errorf("the family lives on after the replay: %v", err)
		}
	}
	for i, g := range n.granted {
		if i%10 != 0 {
			continue
		}
		if _, err := p.redeem(ctx, g.code, g.verifier); !errors.Is(err, errRefused) {
			t.Errorf("a code was redeemed a second time: %v", err)
		}
	}
}

// Three replicas behind nginx on one PostgreSQL, 10,000 logins: one replica is
// killed, another one restarted. No login is lost after one retry, no code or
// refresh token is accepted twice.
func TestInteropReplicasBehindNginx(t *testing.T) {
	nginx, front := findNginx(t), freeport.Address(t)
	replicas := startReplicas(t, startCluster(t, postgres.Options{Durable: true}), eidlab(t), front, "8")
	var upstreams strings.Builder
	for _, r := range replicas {
		fmt.Fprintf(&upstreams, "server %s max_fails=1 fail_timeout=1s;\n", r.address)
	}
	serveNginx(t, nginx, front, upstreams.String())
	const logins, workers = 10_000, 8
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	p := &relyingParty{target: replicas[0].target, transport: &http.Transport{MaxIdleConnsPerHost: workers}}
	var begun, failed, lost atomic.Int64
	var mu sync.Mutex
	var sample []*granted
	once := func() error {
		code, verifier, err := p.code(ctx)
		if err != nil {
			return err
		}
		g, err := p.redeem(ctx, code, verifier)
		if err != nil {
			return err
		}
		if err := p.userinfo(ctx, g.Access); err != nil {
			return err
		}
		mu.Lock()
		sample = append(sample, g)
		mu.Unlock()
		return nil
	}
	start := time.Now()
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for {
				switch n := begun.Add(1); {
				case n > logins || ctx.Err() != nil:
					return
				case n == logins/3:
					replicas[0].kill()
				case n == logins/2:
					all.Go(func() {
						replicas[1].kill()
						if _, err := replicas[1].start(); err != nil {
							t.Error(err)
						}
					})
				}
				if once() != nil {
					failed.Add(1)
					if err := once(); err != nil {
						lost.Add(1)
						t.Errorf("lost after a retry: %v", err)
					}
				}
			}
		})
	}
	all.Wait()
	took := time.Since(start)
	t.Logf("%d logins in %v (%.0f a second), %d needed a retry, %d lost", logins, took.Round(time.Second), logins/took.Seconds(), failed.Load(), lost.Load())
	if ctx.Err() != nil {
		t.Fatal("the logins did not come to an end")
	}
	n := &tally{}
	for i, g := range sample {
		if i%20 == 0 {
			n.granted = append(n.granted, g)
		}
	}
	if slices.ContainsFunc(sample, func(g *granted) bool { return g.Refresh == "" }) {
		t.Error("a login without a refresh token")
	}
	p.check(t, n)
}

func serveNginx(t *testing.T, program, front, upstreams string) {
	t.Helper()
	dir := t.TempDir()
	text := fmt.Sprintf(`daemon off; master_process off; pid %[1]s/pid; error_log %[1]s/error.log;
events { worker_connections 512; }
http {
  access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  upstream replicas { %[3]s keepalive 32; }
  server {
    listen %[2]s;
    location / {
      proxy_pass http://replicas; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host; proxy_redirect off;
      proxy_next_upstream error timeout; proxy_connect_timeout 1s;
    }
  }
}
`, dir, front, upstreams)
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(program, "-p", dir, "-c", filepath.Join(dir, "nginx.conf"))
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill() // it may be gone
		_ = command.Wait()         // it was killed
	})
	awaitListener(t, front)
}

// awaitListener returns when somebody listens at an address.
func awaitListener(t *testing.T, address string) {
	t.Helper()
	for range 500 {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			_ = conn.Close() // it was to see whether somebody listens
			return
		}
		moment(t.Context())
	}
	t.Fatalf("nobody listens at %s", address)
}
