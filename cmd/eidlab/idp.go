package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/idps/labservice"
	"github.com/eidbridge/eidbridge/fixtures/idps/mobileid"
	"github.com/eidbridge/eidbridge/fixtures/idps/smartid"
	"github.com/eidbridge/eidbridge/fixtures/idps/tara"
	"github.com/eidbridge/eidbridge/fixtures/pki"
)

// idpCommand starts one emulated identity provider.
type idpCommand struct {
	Kind          string `arg:"" enum:"clave,digid,eidas,tara,mobile-id,smart-id" help:"Which one: ${enum}."`
	Listen        string `help:"Where to serve; port 0 takes a free one." default:"127.0.0.1:0" placeholder:"HOST:PORT"`
	Broker        string `help:"The broker's issuer, for the address that answers go back to." default:"http://localhost:8181" placeholder:"URL"`
	Out           string `help:"Folder that receives the certificates and secrets that the configuration names." default:"." placeholder:"DIR" type:"path"`
	digidOptions  `embed:""`
	claveOptions  `embed:""`
	OtherMachines bool `name:"answer-other-machines" help:"Also answer requests that do not come from this machine. An emulator believes anybody: only in an isolated network."`
}

// emulator is what the kinds have in common.
type emulator struct {
	handler http.Handler
	snippet string
}

// Run serves until interrupted. It prints a configuration for eidbroker once it
// answers.
func (c *idpCommand) Run(ctx context.Context, s streams) error {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return err
	}
	if !c.OtherMachines && !isThisMachine(host) {
		return fmt.Errorf("%s is not this machine alone; an emulator believes anybody (--answer-other-machines)", c.Listen)
	}
	if broker, err := url.Parse(c.Broker); !c.OtherMachines && (err != nil || !isThisMachine(broker.Hostname())) {
		return fmt.Errorf("the broker %s is not on this machine; an emulator believes anybody (--answer-other-machines)", c.Broker)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	base := "http://" + listener.Addr().String()
	country, err := pki.New(pki.Options{BaseURL: base})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.Out, 0o750); err != nil {
		return err
	}
	if err := country.WritePEM(c.Out); err != nil {
		return err
	}
	made, err := c.emulator(ctx, s, country, base, rand.Reader)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: made.handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 3 * time.Minute, MaxHeaderBytes: 16 << 10,
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	fmt.Fprintf(s.out, "# %s of the lab, emulated at %s\n# persons and the lab telephone are there, the control API below /_control/\n%s", c.Kind, base, made.snippet)
	select {
	case <-ctx.Done():
		return server.Close()
	case err := <-ended:
		return err
	}
}

func isThisMachine(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// secretBytes are those of a client secret.
const secretBytes = 32

func (c *idpCommand) emulator(ctx context.Context, s streams, country *pki.Country, base string, random io.Reader) (*emulator, error) {
	const party = "00000000-0000-4000-8000-000000000000"
	authorities := fmt.Sprintf("roots = %q\nintermediates = %q\ninternal_responders = [%q]\n",
		filepath.Join(c.Out, pki.RootsFile), filepath.Join(c.Out, pki.IssuersFile), strings.TrimPrefix(base, "http://"))
	// The responders of the country are beside the service.
	with := func(service http.Handler) http.Handler {
		mux := http.NewServeMux()
		mux.Handle("/", service)
		for _, path := range []string{"/ocsp/", "/crl/", "/ca/", "/cps", "/pds/"} {
			mux.Handle(path, country.Handler())
		}
		return mux
	}
	setting := labservice.Setting{
		Country: country, Parties: []labservice.Party{{UUID: party, Name: "DEMO"}}, Clock: time.Now, Random: random, AnswerForeignHosts: c.OtherMachines,
	}
	switch c.Kind {
	case "mobile-id":
		service, err := mobileid.New(mobileid.Options{Setting: setting})
		if err != nil {
			return nil, err
		}
		return &emulator{with(service.Handler()), fmt.Sprintf("[mobile_id]\nurl = %q\nrelying_party_uuid = %q\nrelying_party_name = \"DEMO\"\n%s",
			base+mobileid.Path, party, authorities)}, nil
	case "smart-id":
		service, err := smartid.New(smartid.Options{Setting: setting, BaseURL: base})
		if err != nil {
			return nil, err
		}
		return &emulator{with(service.Handler()), fmt.Sprintf("[smart_id]\nurl = %q\nscheme_name = \"smart-id-demo\"\nrelying_party_uuid = %q\nrelying_party_name = \"DEMO\"\n%s",
			base+smartid.Path, party, authorities)}, nil
	case "tara":
		return c.tara(base, random)
	case "clave":
		return c.clave(ctx, s, country, base, random)
	case "eidas":
		return c.eidas(country, base, random)
	case "digid":
		return c.digid(ctx, s, country, base)
	}
	return nil, errors.New("no such kind")
}

func (c *idpCommand) tara(base string, random io.Reader) (*emulator, error) {
	raw := make([]byte, secretBytes)
	if _, err := io.ReadFull(random, raw); err != nil {
		return nil, err
	}
	secret, file := base64.RawURLEncoding.EncodeToString(raw), filepath.Join(c.Out, "tara-secret")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		return nil, err
	}
	service, err := tara.New(tara.Options{
		Issuer: base, Clock: time.Now, Random: random, AnswerForeignHosts: c.OtherMachines,
		Clients: []tara.Client{{ID: "eidbroker", Secret: secret, Name: "eidbroker", RedirectURIs: []string{c.Broker + "/upstream/tara/callback"}}},
	})
	if err != nil {
		return nil, err
	}
	return &emulator{service.Handler(), fmt.Sprintf("[[oidc]]\nkind = \"tara\"\nissuer = %q\nclient_id = \"eidbroker\"\nsecret_file = %q\n", base, file)}, nil
}
