package main

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/xml"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/idps/digid"
	"github.com/eidbridge/eidbridge/fixtures/pki"
	"github.com/eidbridge/eidbridge/levels"
)

// digidOptions are of the emulated DigiD alone.
type digidOptions struct {
	BackListen    string   `name:"back-channel" help:"DigiD: where artifacts are resolved over mutual TLS; port 0 takes a free one." default:"127.0.0.1:0" placeholder:"HOST:PORT"`
	Providers     []string `name:"sp-metadata" help:"DigiD: a further service provider, by its signed metadata: a file, or ENTITY=URL on this machine; may be repeated." placeholder:"FILE" sep:"none"`
	Services      string   `name:"services" help:"DigiD 4.x: the service catalogue (JSON) instead of the lab's." placeholder:"FILE" type:"path"`
	Federation    []string `help:"DigiD 3.x: a service provider of the federation in which one login is enough, by entity identifier; may be repeated." placeholder:"ENTITY" sep:"none"`
	UnderReported []string `name:"under-reported" help:"DigiD 3.x: a service provider that is told of Midden where more was proven; may be repeated." placeholder:"ENTITY" sep:"none"`
	LogoutRoots   string   `name:"logout-roots" help:"DigiD 3.x: authorities (PEM) of service providers that are told of logouts over SOAP." placeholder:"FILE" type:"path"`
}

// routedEntity is how the lab's routing service knows eidbroker.
const routedEntity = "urn:nl-eid-gdi:1.0:DV:00000000000000000000:entities:9001"

// digid serves the back channel beside the front channel, over mutual TLS, for both
// generations.
func (c *idpCommand) digid(ctx context.Context, s streams, country *pki.Country, base string) (*emulator, error) {
	host, _, err := net.SplitHostPort(c.BackListen)
	if err != nil {
		return nil, err
	}
	if !c.OtherMachines && !isThisMachine(host) {
		return nil, fmt.Errorf("%s is not this machine alone (--answer-other-machines)", c.BackListen)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.BackListen)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	options := digid.Options{
		BaseURL: base, BackchannelURL: "https://" + listener.Addr().String(), UnderReported: c.UnderReported,
		Clock: time.Now, Random: rand.Reader, AnswerForeignHosts: c.OtherMachines,
	}
	if len(c.Federation) > 0 {
		options.Federations = []digid.Federation{{Name: "lab", Members: c.Federation}}
	}
	var idp string
	if options.SigningKey, idp, _, err = c.pairFiles(country, "digid-idp"); err != nil {
		return nil, err
	}
	if options.Persons, err = digid.Persons(rand.Reader); err != nil {
		return nil, err
	}
	if options.Services, err = c.catalogue(); err != nil {
		return nil, err
	}
	if options.SPMetadata, err = c.serviceProviders(); err != nil {
		return nil, err
	}
	if options.LogoutRoots, err = c.logoutRoots(); err != nil {
		return nil, err
	}
	service, err := digid.New(options)
	if err != nil {
		return nil, err
	}
	server, err := country.IssueService("localhost", "localhost", "127.0.0.1")
	if err != nil {
		return nil, err
	}
	back := &http.Server{Handler: service.BackChannel(), TLSConfig: digid.BackChannelTLS(server), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 11 * time.Minute, MaxHeaderBytes: 16 << 10}
	go func() {
		if err := back.ServeTLS(listener, "", ""); !errors.Is(err, net.ErrClosed) && ctx.Err() == nil {
			fmt.Fprintln(s.err, "back channel stopped serving:", err)
		}
	}()
	snippet, err := c.digidSections(country, base, idp)
	return &emulator{handler: service.FrontChannel(), snippet: snippet}, err
}

// catalogue is the one of the file, or the lab's for eidbroker.
func (c *idpCommand) catalogue() ([]digid.Service, error) {
	if c.Services == "" {
		return digid.LabServices(routedEntity), nil
	}
	data, err := os.ReadFile(c.Services)
	if err != nil {
		return nil, err
	}
	return digid.ParseServices(data)
}

// serviceProviders are eidbroker in both generations, and those of the flags.
func (c *idpCommand) serviceProviders() (func(context.Context, string) ([]byte, error), error) {
	direct := c.Broker + "/upstream/digid/metadata"
	urls := map[string]string{direct: direct, routedEntity: c.Broker + "/upstream/digid4/metadata"}
	files := map[string]string{}
	for _, p := range c.Providers {
		if entity, location, ok := strings.Cut(p, "=http"); ok {
			urls[entity] = "http" + location
			continue
		}
		data, err := os.ReadFile(p)
		if err != nil {
			return nil, err
		}
		var root struct {
			EntityID string `xml:"entityID,attr"`
		}
		if err := xml.Unmarshal(data, &root); err != nil || root.EntityID == "" {
			return nil, fmt.Errorf("%s is no metadata of a service provider", p)
		}
		files[root.EntityID] = p
	}
	fetched := digid.MetadataFrom(&http.Client{Timeout: 10 * time.Second}, urls)
	return func(ctx context.Context, entityID string) ([]byte, error) {
		if file, ok := files[entityID]; ok {
			return os.ReadFile(file)
		}
		return fetched(ctx, entityID)
	}, nil
}

func (c *idpCommand) logoutRoots() (*x509.CertPool, error) {
	if c.LogoutRoots == "" {
		return nil, nil
	}
	data, err := os.ReadFile(c.LogoutRoots)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%s has no certificate", c.LogoutRoots)
	}
	return pool, nil
}

// digidSections are the sections of eidbroker.toml for both generations.
func (c *idpCommand) digidSections(country *pki.Country, base, idp string) (string, error) {
	_, certificate, key, err := c.pairFiles(country, "digid-eidbroker")
	if err != nil {
		return "", err
	}
	_, decryptionCertificate, decryptionKey, err := c.pairFiles(country, "digid-decryption")
	if err != nil {
		return "", err
	}
	shared := func(metadata string) string {
		return fmt.Sprintf("signing_key = %q\ncertificate = %q\nmetadata_url = %q\nmetadata_certificates = %q\nback_channel_roots = %q\n",
			key, certificate, base+metadata, idp, filepath.Join(c.Out, pki.ServicesFile))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "[digid]\nservice_name = \"eidbroker\"\n%s\n[digid4]\nentity_id = %q\n%sdecryption_key = %q\ndecryption_certificate = %q\nrepresentation = true\n",
		shared(digid.PathMetadata), routedEntity, shared(digid.PathRoutedMetadata), decryptionKey, decryptionCertificate)
	if c.Services != "" {
		return b.String(), nil
	}
	worth := map[digid.Level]levels.Level{digid.Basis: levels.BelowLow, digid.Midden: levels.Low, digid.Substantieel: levels.Substantial, digid.Hoog: levels.High}
	for _, s := range digid.LabServices(routedEntity) {
		name := s.Level.String()
		switch {
		case len(s.Mandates) > 0:
			name = "machtigen"
		case s.Identifiers[0] == "Pseudonym":
			name = "pseudoniem"
		}
		fmt.Fprintf(&b, "\n[[digid4.services]]\nmethod = \"digid4-%s\"\nuuid = %q\nlevel = %q\nname = { nl = %q, en = %q }\n",
			name, s.UUID, worth[s.Level], s.Name["nl"], s.Name["en"])
	}
	return b.String(), nil
}
