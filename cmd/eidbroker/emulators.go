package main

import (
	"encoding/xml"
	"fmt"
	"os"

	"github.com/eidbridge/eidbridge/brokers/saml"
)

// checkEmulators refuses upstreams on this machine where portals of other machines use
// the broker: what answers there is a laboratory's emulator, which believes anybody
// (threats X-107). A laboratory's broker is itself on this machine, or says lab = true.
func (c config) checkEmulators(dir directory) error {
	if c.Lab || saml.IsLoopbackURL(c.Issuer) {
		return nil
	}
	locations := c.upstreamLocations()
	for setting, file := range c.metadataFiles() {
		locations[setting] = localIn(dir.file(file))
	}
	for setting, location := range locations {
		if saml.IsLoopbackURL(location) {
			return c.at(setting, fmt.Errorf("%s: %q is on this machine, as a laboratory's emulator is; a broker at %s has to ask the service itself", setting, location, c.Issuer))
		}
	}
	return nil
}

// upstreamLocations are where upstreams are, or their metadata, by setting.
func (c config) upstreamLocations() map[string]string {
	found := map[string]string{}
	if c.DigiD != nil {
		found["digid.metadata_url"], found["digid.idp_entity_id"] = c.DigiD.MetadataURL, c.DigiD.IdPEntityID
	}
	if c.DigiD4 != nil {
		found["digid4.metadata_url"], found["digid4.idp_entity_id"] = c.DigiD4.MetadataURL, c.DigiD4.IdPEntityID
	}
	if c.Clave != nil {
		found["clave.gateway_url"], found["clave.gateway_id"] = c.Clave.GatewayURL, c.Clave.GatewayID
	}
	if c.EIDAS != nil {
		found["eidas.metadata_url"] = c.EIDAS.MetadataURL
	}
	for i, o := range c.OIDC {
		found[fmt.Sprintf("oidc[%d].issuer", i)] = o.Issuer
	}
	if c.MobileID != nil {
		found["mobile_id.url"] = c.MobileID.URL
	}
	if c.SmartID != nil {
		found["smart_id.url"] = c.SmartID.URL
	}
	return found
}

// metadataFiles are the files of metadata, by setting.
func (c config) metadataFiles() map[string]string {
	found := map[string]string{}
	if c.DigiD != nil && c.DigiD.MetadataFile != "" {
		found["digid.metadata_file"] = c.DigiD.MetadataFile
	}
	if c.DigiD4 != nil && c.DigiD4.MetadataFile != "" {
		found["digid4.metadata_file"] = c.DigiD4.MetadataFile
	}
	if c.EIDAS != nil && c.EIDAS.MetadataFile != "" {
		found["eidas.metadata_file"] = c.EIDAS.MetadataFile
	}
	return found
}

// localIn is the first name or address of an entity on this machine in a file of
// metadata, or empty. It judges nothing else: what is wrong with a file is told where it
// is read for use.
func localIn(file string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	for decoder := xml.NewDecoder(f); ; {
		token, err := decoder.Token()
		if err != nil {
			return ""
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		for _, a := range start.Attr {
			if (a.Name.Local == "entityID" || a.Name.Local == "Location") && saml.IsLoopbackURL(a.Value) {
				return a.Value
			}
		}
	}
}
