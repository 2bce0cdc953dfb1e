package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/idps/clave"
	"github.com/eidbridge/eidbridge/fixtures/idps/digid"
	"github.com/eidbridge/eidbridge/fixtures/idps/eidas"
	"github.com/eidbridge/eidbridge/fixtures/idps/samlwire"
	"github.com/eidbridge/eidbridge/fixtures/pki"
)

// pairFiles writes a certificate with its key beside each other.
func (c *idpCommand) pairFiles(country *pki.Country, name string, hosts ...string) (pair tls.Certificate, certificate, key string, err error) {
	if pair, err = country.IssueService("Lab "+name, hosts...); err != nil {
		return pair, "", "", err
	}
	certificate, key = filepath.Join(c.Out, name+"-cert.pem"), filepath.Join(c.Out, name+"-key.pem")
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		return pair, "", "", err
	}
	for file, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			return pair, "", "", err
		}
	}
	return pair, certificate, key, nil
}

// claveProvider is how the lab's gateway knows eidbroker.
const claveProvider = "S0000000X_E00000001;EIDBROKER"

// claveOptions are those of the gateway, and of the node that it sends people to.
type claveOptions struct {
	CertificateListen string `name:"certificate-port" help:"clave: where browsers are asked for a certificate in the TLS handshake." default:"127.0.0.1:0" placeholder:"HOST:PORT"`
	CertificateRoots  string `name:"certificate-roots" help:"clave: further authorities whose certificates are believed there, PEM." placeholder:"FILE" type:"existingfile"`
	Node              string `name:"eidas-node" help:"clave: the node that citizens of other countries are sent to (eidlab idp eidas)." placeholder:"URL"`
	SingleSignOn      bool   `name:"single-sign-on" help:"clave: remember who logged in, and answer requests that do not force a login from that."`
	Gateway           string `name:"gateway" help:"eidas: a gateway that sends people here (eidlab idp clave)." placeholder:"URL"`
}

func (c *idpCommand) clave(ctx context.Context, s streams, country *pki.Country, base string, random io.Reader) (*emulator, error) {
	signing, gateway, _, err := c.pairFiles(country, "clave-gateway")
	if err != nil {
		return nil, err
	}
	ours, certificate, key, err := c.pairFiles(country, "clave-eidbroker")
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(ours.Certificate[0])
	if err != nil {
		return nil, err
	}
	options := clave.Options{
		BaseURL: base, Signing: signing, Clock: time.Now, Random: random, AnswerForeignHosts: c.OtherMachines, SingleSignOn: c.SingleSignOn,
		Organisations: []clave.Organisation{{
			ProviderName: claveProvider, Name: "eidbroker", Certificate: leaf,
			Returns: []string{c.Broker + "/upstream/clave/callback", c.Broker + "/upstream/clave/logout"},
		}},
	}
	listener, err := c.certificatePort(ctx, country, &options)
	if err != nil {
		return nil, err
	}
	if c.Node != "" {
		if options.Node, err = c.node(ctx); err != nil {
			return nil, fmt.Errorf("eidas-node: %w", err)
		}
	}
	service, err := clave.New(options)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return nil, err
	}
	pair, err := country.IssueService("localhost", "localhost", host)
	if err != nil {
		return nil, err
	}
	port := &http.Server{Handler: service.CertificateHandler(), TLSConfig: clave.CertificateTLS(pair), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10}
	go func() {
		if err := port.ServeTLS(listener, "", ""); !errors.Is(err, net.ErrClosed) && ctx.Err() == nil {
			fmt.Fprintln(s.err, "certificate port stopped serving:", err)
		}
	}()
	return &emulator{handler: service.Handler(), snippet: fmt.Sprintf("# certificates are asked for at %s\n[clave]\nprovider_name = %q\nsigning_key = %q\ncertificate = %q\ngateway_url = %q\ngateway_certificates = [{file = %q}]\n",
		options.Certificates.BaseURL, claveProvider, key, certificate, base+clave.PathRequest, gateway)}, nil
}

// certificatePort listens where certificates are asked for, and says whose count:
// the country's, and those of the file.
func (c *idpCommand) certificatePort(ctx context.Context, country *pki.Country, o *clave.Options) (net.Listener, error) {
	host, _, err := net.SplitHostPort(c.CertificateListen)
	if err != nil {
		return nil, err
	}
	if !c.OtherMachines && !isThisMachine(host) {
		return nil, fmt.Errorf("%s is not this machine alone (--answer-other-machines)", c.CertificateListen)
	}
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	for _, root := range country.Roots() {
		roots.AddCert(root)
	}
	for _, issuer := range country.Issuers() {
		intermediates.AddCert(issuer)
	}
	if c.CertificateRoots != "" {
		text, err := os.ReadFile(c.CertificateRoots)
		if err != nil {
			return nil, err
		}
		if !roots.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s holds no certificate", c.CertificateRoots)
		}
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.CertificateListen)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	o.Certificates = &clave.Certificates{BaseURL: "https://" + listener.Addr().String(), Roots: roots, Intermediates: intermediates}
	return listener, nil
}

// node reads who the eIDAS node is.
func (c *idpCommand) node(ctx context.Context) (*clave.Node, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Node+eidas.PathMetadata, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	const most = 64 << 10
	text, err := io.ReadAll(io.LimitReader(response.Body, most))
	if err != nil {
		return nil, err
	}
	root, err := samlwire.Parse(text)
	if err != nil {
		return nil, err
	}
	found := root.FindElement("//X509Certificate")
	if found == nil {
		return nil, errors.New("metadata names no key")
	}
	der, err := base64.StdEncoding.DecodeString(strings.TrimSpace(found.Text()))
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	return &clave.Node{EntityID: c.Node + eidas.PathMetadata, Location: c.Node + eidas.PathRequest, Certificate: certificate}, err
}

func (c *idpCommand) eidas(country *pki.Country, base string, random io.Reader) (*emulator, error) {
	signing, err := country.IssueService("Lab EU node")
	if err != nil {
		return nil, err
	}
	_, certificate, key, err := c.pairFiles(country, "eidas-eidbroker")
	if err != nil {
		return nil, err
	}
	_, decryptionCertificate, decryptionKey, err := c.pairFiles(country, "eidas-decryption")
	if err != nil {
		return nil, err
	}
	entity := c.Broker + "/upstream/eidas/metadata"
	providers := map[string]string{entity: entity}
	if c.Gateway != "" {
		providers[c.Gateway+"/nodemetadata"] = c.Gateway + "/nodemetadata"
	}
	service, err := eidas.New(eidas.Options{
		BaseURL: base, Country: "ES", Signing: signing, Clock: time.Now, Random: random, AnswerForeignHosts: c.OtherMachines,
		Provider: digid.MetadataFrom(&http.Client{Timeout: 10 * time.Second}, providers),
	})
	if err != nil {
		return nil, err
	}
	metadata := filepath.Join(c.Out, "eidas-node.xml")
	if err := os.WriteFile(metadata, service.Metadata(), 0o600); err != nil {
		return nil, err
	}
	return &emulator{handler: service.Handler(), snippet: fmt.Sprintf("[eidas]\nservice_name = \"eidbroker\"\ncountry = \"ES\"\nsigning_key = %q\ncertificate = %q\ndecryption_key = %q\ndecryption_certificate = %q\nmetadata_file = %q\n",
		key, certificate, decryptionKey, decryptionCertificate, metadata)}, nil
}
