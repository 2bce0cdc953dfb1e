//go:build interop

package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/freeport"
)

// proxies are the programs that PROXIES.md has a section for. Each is started with
// that text; before it comes what Debian's own configuration has, or what has every
// port and file of a test at another place.
func proxies() map[string]struct{ language, before, file string } {
	return map[string]struct{ language, before, file string }{
		"nginx": {"nginx", `daemon off; worker_processes 1; pid $DIR/pid; error_log $DIR/error.log;
events {}
http {
access_log off; client_body_temp_path $DIR/b; proxy_temp_path $DIR/p; fastcgi_temp_path $DIR/f; uwsgi_temp_path $DIR/u; scgi_temp_path $DIR/s;
$TEXT
}
`, "nginx.conf"},
		"haproxy": {"haproxy", "$TEXT", "haproxy.cfg"},
		"apache2": {"apache", `ServerRoot $DIR
ServerName localhost
PidFile $DIR/pid
ErrorLog $DIR/error.log
$USER
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so
LoadModule http2_module /usr/lib/apache2/modules/mod_http2.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
LoadModule headers_module /usr/lib/apache2/modules/mod_headers.so
LoadModule authn_core_module /usr/lib/apache2/modules/mod_authn_core.so
LoadModule authz_user_module /usr/lib/apache2/modules/mod_authz_user.so
LoadModule auth_openidc_module /usr/lib/apache2/modules/mod_auth_openidc.so
Listen 127.0.0.1:$PORT
$TEXT`, "apache.conf"},
		"caddy": {"caddy", `{
	admin off
	auto_https disable_redirects
	https_port $PORT
	default_bind 127.0.0.1
	servers {
		protocols h1 h2
	}
}
$TEXT`, "Caddyfile"},
	}
}

// TestInteropProxiesAndBrokerSeeTheSameRequests is W-41: each proxy as the guide has it
// before the broker, and requests with two ends over HTTP/1.1 and HTTP/2 between the
// requests of others. Nobody gets another's answer, and the broker serves nothing that
// the proxy did not send as a request. TestDesyncProbeFindsBadProxies shows that the
// probe finds it where it happens.
func TestInteropProxiesAndBrokerSeeTheSameRequests(t *testing.T) {
	for name := range proxies() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broker, monitor := startBehind(t)
			r := record(t, broker)
			address, trust := beforeBroker(r.listener.Addr().String()).start(t, name)
			p := &probe{address: address, host: "login.example", recorder: r, tls: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: trust, ServerName: "login.example"}}
			until(t, func() bool { return reachable(p) })
			for range 3 {
				if wrong := p.victims(t); len(wrong) > 0 {
					t.Fatalf("before anything was done: %v", wrong)
				}
			}
			if !bytes.Contains(p.want, []byte(`"keys"`)) {
				t.Fatalf("victims get %s", p.want)
			}
			answers, desyncs := map[string]int{}, 0
			note := func(attack string, wrong []string, got string) {
				answers[got]++
				if len(wrong) > 0 {
					desyncs++
					t.Errorf("%s (answered %s): %s", attack, got, strings.Join(wrong, "; "))
				}
			}
			plain, framed := plainAttacks(), framedAttacks()
			for _, attack := range slices.Sorted(maps.Keys(plain)) {
				wrong, got := p.attackPlain(t, plain[attack])
				note("HTTP/1.1 "+attack, wrong, got)
			}
			for _, attack := range slices.Sorted(maps.Keys(framed)) {
				wrong, got := p.attackFramed(t, framed[attack])
				note("HTTP/2 "+attack, wrong, got)
			}
			r.mu.Lock()
			requests, connections := r.requests, len(r.along)/2
			marks := 0
			for target, n := range r.targets {
				if strings.HasPrefix(target, "/assets/") {
					marks += n
				}
			}
			r.mu.Unlock()
			t.Logf("%d attacks, %d desynchronised; the broker's side saw %d requests on %d connections; answers %v", len(plain)+len(framed), desyncs, requests, connections, answers)
			if connections >= requests/2 {
				t.Errorf("%d connections for %d requests: nothing was shared", connections, requests)
			}
			if served := servedAssets(t, monitor); served > marks {
				t.Errorf("the broker served %d marked requests, the proxy sent %d", served, marks)
			}
		})
	}
}

// startBehind starts a broker for https://login.example and says where it listens.
func startBehind(t *testing.T) (address, monitor string) {
	t.Helper()
	config := filepath.Join(t.TempDir(), "c.toml")
	address, monitor = freeport.Address(t), freeport.Address(t)
	write(t, config, fmt.Sprintf("issuer = \"https://login.example\"\nlisten = %q\nmonitor_listen = %q\ntrusted_proxies = [\"127.0.0.1/32\"]\n[abuse]\ntrusted_networks = [\"127.0.0.1/32\"]\n", address, monitor))
	start(t, "--config", config)
	return address, monitor
}

// servedAssets is what the broker itself counted.
func servedAssets(t *testing.T, monitor string) int {
	t.Helper()
	_, figures := get(t, "http://"+monitor+"/metrics")
	sum := 0
	for _, found := range regexp.MustCompile(`(?m)^eidbroker_request_seconds_count\{[^}]*route="/assets/[^}]*\} (\d+)$`).FindAllStringSubmatch(string(figures), -1) {
		n, err := strconv.Atoi(found[1])
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}

// guide is a file with a section for each proxy, and what is elsewhere in a test.
type guide struct {
	file, host string
	replace    []string // pairs, as strings.NewReplacer has them
	beside     string   // language of a further file that goes with the section, if it has one
}

// beforeBroker is PROXIES.md.
func beforeBroker(broker string) guide {
	return guide{file: "PROXIES.md", host: "login.example", replace: []string{"127.0.0.1:8181", broker}}
}

// start runs a proxy with the text of the guide.
func (g guide) start(t *testing.T, program string) (address string, trust *x509.CertPool) {
	t.Helper()
	dir, authority := t.TempDir(), newWebAuthority(t, "proxies")
	certificate := authority.forServer(t, g.host)
	writeCertificate(t, dir, certificate)
	write(t, filepath.Join(dir, "all.pem"), privatePEM(t, certificate)+certificatePEM(certificate))
	p := proxies()[program]
	if g.beside != "" {
		write(t, filepath.Join(dir, "beside"), strings.NewReplacer(g.replace...).Replace(g.section(t, g.beside)))
	}
	text := strings.NewReplacer(g.replace...).Replace(g.section(t, p.language))
	// Somebody else may take a port before the proxy does; then it ends.
	for range 5 {
		address = freeport.Address(t)
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		user := ""
		if os.Getuid() == 0 {
			user = "User www-data\nGroup www-data"
		}
		ported := strings.NewReplacer("/etc/ssl/"+g.host, dir, "/etc/haproxy/eidbridge.lua", filepath.Join(dir, "beside"), "listen 443", "listen "+address, "bind :443", "bind "+address, "*:443", "*:"+port).Replace(text)
		config := strings.NewReplacer("$DIR", dir, "$PORT", port, "$USER", user, "$TEXT", ported).Replace(p.before)
		write(t, filepath.Join(dir, p.file), config)
		ended, output := runProxy(t, program, filepath.Join(dir, p.file), dir)
		for {
			conn, err := net.DialTimeout("tcp", address, time.Second)
			if err == nil {
				_ = conn.Close() // it was to see whether somebody listens
				return address, authority.pool()
			}
			select {
			case <-ended:
			case <-time.After(50 * time.Millisecond):
				continue
			}
			break
		}
		t.Logf("%s ended: %s", program, output)
	}
	t.Fatalf("%s does not start", program)
	return "", nil
}

// runProxy starts a proxy in the foreground until the test ends.
func runProxy(t *testing.T, program, config, dir string) (ended <-chan struct{}, output *bytes.Buffer) {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		path = "/usr/sbin/" + program
	}
	args := map[string][]string{
		"nginx": {"-p", dir, "-c", config}, "haproxy": {"-db", "-f", config},
		"apache2": {"-f", config, "-DFOREGROUND"}, "caddy": {"run", "--adapter", "caddyfile", "--config", config},
	}[program]
	command := exec.Command(path, args...)
	command.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	output = &bytes.Buffer{}
	command.Stdout, command.Stderr = output, output
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		_ = command.Wait() // it is killed, or says why it ended
		close(done)
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL) // with its workers; they may be gone
		<-done
	})
	return done, output
}

// section is the text of the guide in a language.
func (g guide) section(t *testing.T, language string) string {
	t.Helper()
	text, err := os.ReadFile(g.file)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(found) != 1 {
		t.Fatalf("%s has %d sections for %s", g.file, len(found), language)
	}
	return found[0][1]
}

// until waits for a condition.
func until(t *testing.T, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(endurance); !met(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come to that")
		}
	}
}

// reachable says whether the proxy passes something on.
func reachable(p *probe) bool {
	client := &http.Client{Timeout: endurance, Transport: &http.Transport{TLSClientConfig: p.tls, DisableKeepAlives: true}}
	resp, err := client.Get("https://" + p.address + asked)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return true
}
