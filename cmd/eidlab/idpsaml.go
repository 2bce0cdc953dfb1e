package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/idps/clave"
	"github.com/eidbridge/eidbridge/fixtures/idps/digid"
	"github.com/eidbridge/eidbridge/fixtures/idps/eidas"
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

func (c *idpCommand) clave(country *pki.Country, base string, random io.Reader) (*emulator, error) {
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
	service, err := clave.New(clave.Options{
		BaseURL: base, Signing: signing, Clock: time.Now, Random: random, AnswerForeignHosts: c.OtherMachines,
		Organisations: []clave.Organisation{{
			ProviderName: claveProvider, Name: "eidbroker", Certificate: leaf,
			Returns: []string{c.Broker + "/upstream/clave/callback", c.Broker + "/upstream/clave/logout"},
		}},
	})
	if err != nil {
		return nil, err
	}
	return &emulator{handler: service.Handler(), snippet: fmt.Sprintf("[clave]\nprovider_name = %q\nsigning_key = %q\ncertificate = %q\ngateway_url = %q\ngateway_certificates = [{file = %q}]\n",
		claveProvider, key, certificate, base+clave.PathRequest, gateway)}, nil
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
	service, err := eidas.New(eidas.Options{
		BaseURL: base, Country: "ES", Signing: signing, Clock: time.Now, Random: random, AnswerForeignHosts: c.OtherMachines,
		Provider: digid.MetadataFrom(&http.Client{Timeout: 10 * time.Second}, map[string]string{entity: entity}),
	})
	if err != nil {
		return nil, err
	}
	metadata := filepath.Join(c.Out, "eidas-node.xml")
	if err := os.WriteFile(metadata, service.Metadata(), 0o600); err != nil {
		return nil, err
	}
	return &emulator{handler: service.Handler(), snippet: fmt.Sprintf("[eidas]\ncountry = \"ES\"\nsigning_key = %q\ncertificate = %q\ndecryption_key = %q\ndecryption_certificate = %q\nmetadata_file = %q\n",
		key, certificate, decryptionKey, decryptionCertificate, metadata)}, nil
}
