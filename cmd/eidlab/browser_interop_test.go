//go:build interop && linux

package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/chromium"
)

// The tests of this file do what the guide beside this program tells a portal's CI
// to do, with unmodified browsers: TLS client authentication by a card that only
// eidlab card serve has.

// browserTime bounds one browser from its start to the page.
const browserTime = 5 * time.Minute

// clientPortal is a portal that takes nobody without a certificate of the lab's.
// It answers with the serial number of the subject.
type clientPortal struct {
	*httptest.Server
	certificate string // of its authority; file, PEM
	seen        chan string
}

func newClientPortal(t *testing.T, anchors ...string) *clientPortal {
	t.Helper()
	pool := x509.NewCertPool()
	for _, file := range anchors {
		text, err := os.ReadFile(file)
		if err != nil || !pool.AppendCertsFromPEM(text) {
			t.Fatalf("%s: %v", file, err)
		}
	}
	authority, authorityKey := issue(t, nil, nil)
	certificate, key := issue(t, authority, authorityKey)
	p := &clientPortal{certificate: filepath.Join(t.TempDir(), "portal.pem"), seen: make(chan string, 16)}
	if err := os.WriteFile(p.certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		number := r.TLS.PeerCertificates[0].Subject.SerialNumber
		fmt.Fprintf(w, "<!doctype html><title>%s</title>", number)
		select {
		case p.seen <- number:
		default:
		}
	}))
	p.Config.ErrorLog = log.New(io.Discard, "", 0)
	p.TLS = &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{certificate.Raw}, PrivateKey: key}},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: pool, MinVersion: tls.VersionTLS12,
	}
	p.StartTLS()
	t.Cleanup(p.Close)
	return p
}

// issue makes the portal's authority, or with one its own certificate.
func issue(t *testing.T, authority *x509.Certificate, authorityKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "Portal's authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
	if authority == nil {
		authority, authorityKey = template, key
	} else {
		template.Subject.CommonName, template.DNSNames, template.IsCA = "localhost", []string{"localhost"}, false
		template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, authority, key.Public(), authorityKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, key
}

// address is the portal's by the name in its certificate.
func (p *clientPortal) address() string {
	return "https://localhost:" + strconv.Itoa(p.Listener.Addr().(*net.TCPAddr).Port) + "/"
}

// module is OpenSC's PKCS #11 module.
func module(t *testing.T) string {
	t.Helper()
	modules, err := filepath.Glob("/usr/lib/*/opensc-pkcs11.so")
	if err != nil || len(modules) == 0 {
		t.Fatal("package opensc-pkcs11 is not installed")
	}
	return modules[0]
}

func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%s is not installed", program)
		}
	}
}

// desk is a served card with the environment in which browsers find it.
type desk struct {
	*serving
	portal *clientPortal
	env    []string
	home   string
	module string
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{serving: serveCards(t, "--own-pcscd", "--seed", "my-portal-ci"), module: module(t)}
	d.home = chromium.Folder(t)
	d.env = append(os.Environ(), "HOME="+d.home)
	// As a shell would source it.
	text, err := os.ReadFile(filepath.Join(d.dir, "env"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		d.env = append(d.env, name+"="+strings.Trim(value, "'"))
	}
	// One slot, for logging in.
	conf := filepath.Join(d.home, "opensc.conf")
	if err := os.WriteFile(conf, []byte("app opensc-pkcs11 {\n\tpkcs11 { create_slots_for_pins = \"user\"; }\n}\napp default { framework pkcs15 { use_file_caching = no; } }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.env = append(d.env, "OPENSC_CONF="+conf)
	d.portal = newClientPortal(t, filepath.Join(d.dir, "pki", "roots.pem"), filepath.Join(d.dir, "pki", "issuers.pem"))
	return d
}

func (d *desk) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, program, args...)
	c.Env = d.env
	return c
}

func (d *desk) do(program string, args ...string) {
	d.t.Helper()
	c := d.command(d.t.Context(), program, args...)
	if out, err := c.CombinedOutput(); err != nil {
		d.t.Fatalf("%s: %v\n%s", program, err, out)
	}
}

// database makes an NSS database that knows the module and trusts the portal.
func (d *desk) database(dir string) {
	d.t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		d.t.Fatal(err)
	}
	d.do("certutil", "-d", "sql:"+dir, "-N", "--empty-password")
	d.do("modutil", "-dbdir", "sql:"+dir, "-add", "opensc", "-libfile", d.module, "-force")
	d.do("certutil", "-d", "sql:"+dir, "-A", "-t", "C,,", "-n", "portal", "-i", d.portal.certificate)
}

// screen starts an X server of the test's own, for the dialogues of browsers.
func (d *desk) screen() {
	d.t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		d.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(d.t.Context())
	c := d.command(ctx, "Xvfb", "-displayfd", "3", "-screen", "0", "1280x900x24", "-nolisten", "tcp")
	c.ExtraFiles = []*os.File{write}
	if err := c.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		cancel()
		_ = c.Wait()
	})
	write.Close()
	number, err := bufio.NewReader(read).ReadString('\n')
	if err != nil {
		d.t.Fatalf("Xvfb: %v", err)
	}
	d.env = append(d.env, "DISPLAY=:"+strings.TrimSpace(number))
}

// visit opens the portal's page in a browser, types the PIN into the browser's own
// window with this in its title, and waits until the portal has seen the citizen.
func (d *desk) visit(title, pin string, browser string, args ...string) string {
	d.t.Helper()
	d.screen()
	ctx, cancel := context.WithTimeout(d.t.Context(), browserTime)
	c := d.command(ctx, browser, append(args, d.portal.address())...)
	if err := c.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		cancel()
		_ = c.Wait()
	})
	for _, step := range [][]string{
		{"search", "--sync", "--onlyvisible", "--name", title, "windowfocus", "--sync", "type", "--delay", "50", pin},
		{"key", "Return"},
	} {
		if out, err := d.command(ctx, "xdotool", step...).CombinedOutput(); err != nil {
			d.t.Fatalf("xdotool %s: %v: %s", step[0], err, out)
		}
	}
	select {
	case number := <-d.portal.seen:
		return number
	case <-ctx.Done():
		d.t.Fatal("the portal sees nobody")
		return ""
	}
}

func TestInteropFirefoxLogsInToAPortalWithTheCard(t *testing.T) {
	needs(t, "firefox-esr", "certutil", "modutil", "Xvfb", "xdotool")
	d := newDesk(t)
	profile := chromium.Folder(t) // Firefox's processes write on for a moment, too
	d.database(profile)
	// The certificate is chosen without a question, and nothing else is fetched.
	preferences := `user_pref("security.default_personal_cert", "Select Automatically");
user_pref("app.normandy.enabled", false);
user_pref("browser.aboutwelcome.enabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("datareporting.policy.firstRunURL", "");
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("toolkit.telemetry.enabled", false);
`
	if err := os.WriteFile(filepath.Join(profile, "user.js"), []byte(preferences), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := d.visit("Password Required", "1234", "firefox-esr", "--no-remote", "--profile", profile); got != "PNOEE-60001019906" {
		t.Errorf("the portal sees %q", got)
	}
}

// chromiumPolicies is where Debian's Chromium looks for policies.
const chromiumPolicies = "/etc/chromium/policies/managed"

func TestInteropChromiumLogsInToAPortalWithTheCard(t *testing.T) {
	needs(t, "chromium", "certutil", "modutil", "Xvfb", "xdotool")
	d := newDesk(t)
	d.database(filepath.Join(d.home, ".pki", "nssdb"))
	// A policy is the only way to choose a certificate without a question. It is
	// about this portal alone.
	err := os.MkdirAll(chromiumPolicies, 0o755)
	if errors.Is(err, fs.ErrPermission) {
		t.Skip("only root sets policies of Chromium")
	}
	if err != nil {
		t.Fatal(err)
	}
	policy, err := os.CreateTemp(chromiumPolicies, "eidlab-test-*.json")
	if errors.Is(err, fs.ErrPermission) {
		t.Skip("only root sets policies of Chromium")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(policy.Name()) })
	pattern := strings.TrimSuffix(d.portal.address(), "/")
	_, err = fmt.Fprintf(policy, `{"AutoSelectCertificateForUrls": ["{\"pattern\":\"%s\",\"filter\":{}}"]}`, pattern)
	if err := errors.Join(err, policy.Chmod(0o644), policy.Close()); err != nil {
		t.Fatal(err)
	}
	got := d.visit("Unlock Security Device", "1234", "chromium", "--no-sandbox", "--no-first-run", "--no-default-browser-check",
		"--disable-background-networking", "--disable-gpu", "--user-data-dir="+filepath.Join(d.home, "profile"))
	if got != "PNOEE-60001019906" {
		t.Errorf("the portal sees %q", got)
	}
}

// The way without a browser: curl through OpenSSL's engine for PKCS #11.
func TestInteropCurlLogsInToAPortalWithTheCard(t *testing.T) {
	needs(t, "curl", "openssl", "pkcs11-tool")
	if engines, err := filepath.Glob("/usr/lib/*/engines-*/pkcs11.so"); err != nil || len(engines) == 0 {
		t.Fatal("package libengine-pkcs11-openssl is not installed")
	}
	d := newDesk(t)
	dir := t.TempDir()
	der, file := filepath.Join(dir, "client.der"), filepath.Join(dir, "client.pem")
	d.do("pkcs11-tool", "--module", d.module, "--read-object", "--type", "cert", "--id", "01", "--output-file", der)
	d.do("openssl", "x509", "-inform", "DER", "-in", der, "-out", file)
	d.do("curl", "--silent", "--show-error", "--fail", "--max-time", "60", "--cacert", d.portal.certificate, "--engine", "pkcs11", "--cert", file, "--key-type", "ENG",
		"--key", "pkcs11:id=%01;type=private;pin-value=1234", d.portal.address())
	if got := <-d.portal.seen; got != "PNOEE-60001019906" {
		t.Errorf("the portal sees %q", got)
	}
}
