package main

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/eidbridge/eidbridge/brokers/provider"
)

// labMarker is what certificates of the project's own laboratory have as organization:
// its authorities, cards and emulators believe anybody, or are anybody's.
const labMarker = "eidbridge lab"

// trustedFile is a file of certificates or metadata that a setting makes us believe.
type trustedFile struct{ setting, file string }

// trustedFiles are all of them.
func (c config) trustedFiles() []trustedFile {
	list := []trustedFile{{"client_roots", c.ClientRoots}}
	add := func(section string, files map[string]string) {
		for name, file := range files {
			list = append(list, trustedFile{section + "." + name, file})
		}
	}
	if d := c.DigiD; d != nil {
		add("digid", map[string]string{"metadata_file": d.MetadataFile, "metadata_certificates": d.MetadataCertificates, "back_channel_roots": d.BackChannelRoots})
	}
	if d := c.DigiD4; d != nil {
		add("digid4", map[string]string{"metadata_file": d.MetadataFile, "metadata_certificates": d.MetadataCertificates, "back_channel_roots": d.BackChannelRoots})
	}
	if e := c.EIDAS; e != nil {
		add("eidas", map[string]string{"metadata_file": e.MetadataFile, "metadata_certificates": e.MetadataCertificates})
	}
	if c.Clave != nil {
		for i, trusted := range c.Clave.Certificates {
			add(fmt.Sprintf("clave.gateway_certificates[%d]", i), map[string]string{"file": trusted.File})
		}
	}
	for i, o := range c.OIDC {
		add(fmt.Sprintf("oidc[%d]", i), map[string]string{"server_roots": o.Roots})
	}
	if m := c.MobileID; m != nil {
		add("mobile_id", map[string]string{"roots": m.Roots, "intermediates": m.Intermediates, "server_roots": m.ServerRoots})
	}
	if s := c.SmartID; s != nil {
		add("smart_id", map[string]string{"roots": s.Roots, "intermediates": s.Intermediates, "server_roots": s.ServerRoots})
	}
	if card := c.Card; card != nil {
		add("card", map[string]string{"roots": card.Roots, "intermediates": card.Intermediates})
	}
	slices.SortFunc(list, func(a, b trustedFile) int { return strings.Compare(a.setting, b.setting) })
	return list
}

// refuseLab refuses to believe the laboratory (W-61), unless the issuer is this machine or
// the configuration says that this is one. Files that cannot be read are somebody else's
// to complain about.
func (c config) refuseLab(dir directory) []error {
	if issuer, err := url.Parse(c.Issuer); c.Lab || err == nil && provider.IsLoopback(issuer.Hostname()) {
		return nil
	}
	var problems []error
	for _, trusted := range c.trustedFiles() {
		if trusted.file == "" {
			continue
		}
		text, err := os.ReadFile(dir.file(trusted.file))
		if err != nil {
			continue
		}
		for _, certificate := range certificatesIn(text) {
			if ofLab(certificate) {
				problems = append(problems, c.at(trusted.setting, fmt.Errorf(
					"%s: %s has a certificate of the lab, whose keys prove nothing; for a test broker say lab = true", trusted.setting, trusted.file)))
				break
			}
		}
	}
	return problems
}

// ofLab reports whether a certificate is of the lab, or issued by it.
func ofLab(c *x509.Certificate) bool {
	return slices.Contains(c.Subject.Organization, labMarker) || slices.Contains(c.Issuer.Organization, labMarker) ||
		strings.HasPrefix(c.Subject.CommonName, "bad identity provider: ")
}

// certificatesIn are those of a PEM file, or of metadata in XML.
func certificatesIn(text []byte) []*x509.Certificate {
	var list []*x509.Certificate
	add := func(der []byte) {
		if certificate, err := x509.ParseCertificate(der); err == nil {
			list = append(list, certificate)
		}
	}
	rest := text
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		add(block.Bytes)
	}
	for _, found := range regexp.MustCompile(`<(?:[\w.-]+:)?X509Certificate[^>]*>([A-Za-z0-9+/=\s]+)<`).FindAllSubmatch(text, -1) {
		if der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(found[1])), "")); err == nil {
			add(der)
		}
	}
	return list
}
