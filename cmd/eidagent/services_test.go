package main

import (
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
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
