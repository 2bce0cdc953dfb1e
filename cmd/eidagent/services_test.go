package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/eidbridge/eidbridge/fixtures/pki"
	"github.com/eidbridge/eidbridge/fixtures/trustservices"
)

// cmdCountry starts the services of a country of the script's own. It leaves
// their address in $LAB, certificates in lab/ and a citizen's signature key in
// citizen.pem:
//
//	country
func cmdCountry(ts *testscript.TestScript, neg bool, args []string) {
	server := httptest.NewUnstartedServer(nil)
	address := server.Listener.Addr().String()
	c, err := pki.New(pki.Options{BaseURL: "http://" + address})
	ts.Check(err)
	server.Config.Handler = trustservices.New(c, "http://"+address, nil).Handler()
	server.Start()
	ts.Defer(server.Close)
	ts.Setenv("LAB", address)
	ts.Check(c.WritePEM(ts.MkAbs("lab")))
	keys, err := c.EstonianCitizen(pki.Persons()[0])
	ts.Check(err)
	der, err := x509.MarshalPKCS8PrivateKey(keys.Signature.Key)
	ts.Check(err)
	content := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	content = append(content, pki.PEM(append([]*x509.Certificate{keys.Signature.Certificate}, keys.Issuers[:1]...)...)...)
	ts.Check(os.WriteFile(ts.MkAbs("citizen.pem"), content, 0o600))
}

// cmdFault makes a service of the country misbehave, or behave again:
//
//	fault SERVICE [FAULT]
func cmdFault(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: fault SERVICE [FAULT]")
	}
	order := `{"service": "` + args[0] + `", "fault": "` + strings.Join(args[1:], "") + `"}`
	answer, err := http.Post("http://"+ts.Getenv("LAB")+"/lab/fault", "application/json", strings.NewReader(order))
	ts.Check(err)
	answer.Body.Close()
	if answer.StatusCode != http.StatusNoContent {
		ts.Fatalf("fault: %s", answer.Status)
	}
}

// cmdConfigured writes a configuration file that names the country's services:
//
//	configured FILE
func cmdConfigured(ts *testscript.TestScript, neg bool, args []string) {
	lab := ts.Getenv("LAB")
	content := "tsa = [\"http://" + lab + "/tsa/ee\"]\nanchors = \"" + ts.MkAbs("lab") + "\"\nallow-local = [\"" + lab + "\"]\nlevel = \"B-LTA\"\n"
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(content), 0o600))
}

// cmdMembers starts a time-stamping authority in front of the country's that serves its
// members only: by name and password below /user, by client certificate below /card. It
// leaves its address in $MEMBERS, who vouches for it in club/ca.pem, and a certificate
// with its key in club/.
//
//	members
func cmdMembers(ts *testscript.TestScript, neg bool, args []string) {
	inner, err := url.Parse("http://" + ts.Getenv("LAB"))
	ts.Check(err)
	proxy := httputil.NewSingleHostReverseProxy(inner)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		switch path, member := strings.CutPrefix(r.URL.Path, "/card"); {
		case member && len(r.TLS.PeerCertificates) > 0:
			r.URL.Path = path
		case strings.HasPrefix(r.URL.Path, "/user") && user == "acme" && password == "open sesame":
			r.URL.Path = strings.TrimPrefix(r.URL.Path, "/user")
		default:
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of those who do not know it
	server.StartTLS()
	ts.Defer(server.Close)
	ts.Setenv("MEMBERS", server.Listener.Addr().String())
	folder := ts.MkAbs("club")
	ts.Check(os.Mkdir(folder, 0o700))
	key, err := x509.MarshalPKCS8PrivateKey(server.TLS.Certificates[0].PrivateKey)
	ts.Check(err)
	for name, block := range map[string]*pem.Block{
		"ca.pem": {Type: "CERTIFICATE", Bytes: server.Certificate().Raw}, "member.pem": {Type: "CERTIFICATE", Bytes: server.Certificate().Raw},
		"member.key": {Type: "PRIVATE KEY", Bytes: key},
	} {
		ts.Check(os.WriteFile(filepath.Join(folder, name), pem.EncodeToMemory(block), 0o600))
	}
	accounts := "[[account]]\nurl = \"https://" + ts.Getenv("MEMBERS") + "/user/tsa/ee\"\nuser = \"acme\"\npassword = \"open sesame\"\nca = \"ca.pem\"\n" +
		"[[account]]\nurl = \"https://" + ts.Getenv("MEMBERS") + "/card/tsa/ee\"\ncertificate = \"member.pem\"\nkey = \"member.key\"\nca = \"ca.pem\"\n"
	ts.Check(os.WriteFile(filepath.Join(folder, "accounts.toml"), []byte(accounts), 0o600))
}
