package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/pki"
	"github.com/eidbridge/eidbridge/fixtures/trustservices"
)

type countryCommand struct {
	Listen string `help:"Where to serve; port 0 takes a free one." default:"127.0.0.1:8184" placeholder:"HOST:PORT"`
	Seed   string `help:"Make the same keys and authorities whenever this text is the same: for a trust store that is set up once." placeholder:"TEXT"`
	PKI    string `name:"pki" help:"Folder that receives the certificates: roots.pem, issuers.pem, lotl-signer.pem and .cer." placeholder:"DIR" type:"path"`
	Person string `help:"Whose signature key to write with --key: an isikukood or a NIF; eidlab card persons lists them." default:"60001019906" placeholder:"NUMBER"`
	Key    string `help:"Write a citizen's signature key with its certificates to this PEM file, for eidagent --p12 and other programs." placeholder:"FILE" type:"path"`
}

// Run serves until interrupted. It prints where everything is, as one JSON object,
// once it answers.
func (c *countryCommand) Run(ctx context.Context, s streams) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	base := "http://" + listener.Addr().String()
	country, err := pki.New(pki.Options{Seed: []byte(c.Seed), BaseURL: base})
	if err != nil {
		return err
	}
	services := trustservices.New(country, base, nil)
	description, err := services.Describe()
	if err != nil {
		return err
	}
	if err := c.write(country, services); err != nil {
		return err
	}
	server := &http.Server{Handler: services.Handler(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	out := json.NewEncoder(s.out)
	out.SetIndent("", "  ")
	if err := out.Encode(description); err != nil {
		return errors.Join(err, server.Close())
	}
	select {
	case <-ctx.Done():
		return server.Close()
	case err := <-ended:
		return err
	}
}

// write leaves what was asked for in files.
func (c *countryCommand) write(country *pki.Country, services *trustservices.Services) error {
	if c.PKI != "" {
		if err := country.WritePEM(c.PKI); err != nil {
			return err
		}
		signer, err := services.LOTLSigner()
		if err != nil {
			return err
		}
		for name, content := range map[string][]byte{"lotl-signer.pem": pki.PEM(signer), "lotl-signer.cer": signer.Raw} {
			if err := os.WriteFile(filepath.Join(c.PKI, name), content, 0o644); err != nil { //nolint:gosec // certificates are public
				return err
			}
		}
	}
	if c.Key == "" {
		return nil
	}
	person, ok := pki.Citizen(c.Person)
	if !ok {
		return fmt.Errorf("nobody in the lab has the number %q; eidlab card persons lists who is there", c.Person)
	}
	issue := country.EstonianCitizen
	if person.PersonalCode == "" {
		issue = country.SpanishCitizen
	}
	keys, err := issue(person)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(keys.Signature.Key)
	if err != nil {
		return err
	}
	content := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	content = append(content, pki.PEM(append([]*x509.Certificate{keys.Signature.Certificate}, keys.Issuers[:1]...)...)...)
	return os.WriteFile(c.Key, content, 0o600)
}
