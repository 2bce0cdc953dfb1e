package saml

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/beevik/etree"
)

// AuthnRequest asks an identity provider to authenticate the citizen (SAML Core
// 3.4.1). Where answers go is named either by ACSURL or, if that is empty, by
// ACSIndex.
type AuthnRequest struct {
	ID           string
	IssueInstant time.Time
	Destination  string
	Issuer       string

	ACSURL string
	// ACSIndex is the index in our metadata.
	ACSIndex int
	// ProtocolBinding goes with ACSURL only.
	ProtocolBinding string

	ForceAuthn   bool
	ProviderName string
	// NotPassive says IsPassive="false" although that is the default, as eIDAS
	// wants it and DigiD does not.
	NotPassive bool
	// Consent is a URI of SAML Core 8.4; optional.
	Consent string
	// IssuerFormat is the Format of Issuer; optional.
	IssuerFormat string
	// ServiceIndex is an AttributeConsumingServiceIndex of our metadata; optional.
	ServiceIndex *int
	// NameIDFormat asks for a kind of identifier; optional. AllowCreate goes with
	// it.
	NameIDFormat string
	AllowCreate  bool
	// Comparison and ContextClasses are the RequestedAuthnContext; without
	// classes there is none.
	Comparison     string
	ContextClasses []string
	// Extensions are the elements of a scheme's own vocabulary, each declaring
	// its namespaces.
	Extensions []*etree.Element
	// IDPs and RequesterIDs are the Scoping: who may answer, and for whom we ask.
	IDPs, RequesterIDs []string
}

// NewID makes a message identifier of 160 random bits (SAML Core 1.3.4).
func NewID(random io.Reader) (string, error) {
	b := make([]byte, 20)
	if _, err := io.ReadFull(random, b); err != nil {
		return "", fmt.Errorf("making a message identifier: %w", err)
	}
	return "_" + hex.EncodeToString(b), nil
}

// element builds the request in schema order; the signature goes to place 1.
func (r *AuthnRequest) element() (*etree.Element, error) {
	e, err := messageElement("AuthnRequest", r.ID, r.Issuer, r.Destination, r.IssueInstant)
	if err != nil {
		return nil, err
	}
	optional(e.SelectElement("Issuer"), "Format", r.IssuerFormat)
	optional(e, "Consent", r.Consent)
	e.CreateAttr("ForceAuthn", strconv.FormatBool(r.ForceAuthn))
	if r.NotPassive {
		e.CreateAttr("IsPassive", "false")
	}
	if r.ACSURL != "" {
		e.CreateAttr("AssertionConsumerServiceURL", r.ACSURL)
		if r.ProtocolBinding != "" {
			e.CreateAttr("ProtocolBinding", r.ProtocolBinding)
		}
	} else {
		e.CreateAttr("AssertionConsumerServiceIndex", strconv.Itoa(r.ACSIndex))
	}
	if r.ServiceIndex != nil {
		e.CreateAttr("AttributeConsumingServiceIndex", strconv.Itoa(*r.ServiceIndex))
	}
	optional(e, "ProviderName", r.ProviderName)
	if len(r.Extensions) > 0 {
		extensions := e.CreateElement("samlp:Extensions")
		for _, x := range r.Extensions {
			extensions.AddChild(x.Copy())
		}
	}
	if r.NameIDFormat != "" {
		policy := e.CreateElement("samlp:NameIDPolicy")
		if r.AllowCreate {
			policy.CreateAttr("AllowCreate", "true")
		}
		policy.CreateAttr("Format", r.NameIDFormat)
	}
	if len(r.ContextClasses) > 0 {
		requested := e.CreateElement("samlp:RequestedAuthnContext")
		requested.CreateAttr("Comparison", r.Comparison)
		for _, class := range r.ContextClasses {
			requested.CreateElement("saml:AuthnContextClassRef").SetText(class)
		}
	}
	if len(r.IDPs)+len(r.RequesterIDs) > 0 {
		scoping := e.CreateElement("samlp:Scoping")
		if len(r.IDPs) > 0 {
			list := scoping.CreateElement("samlp:IDPList")
			for _, id := range r.IDPs {
				list.CreateElement("samlp:IDPEntry").CreateAttr("ProviderID", id)
			}
		}
		for _, id := range r.RequesterIDs {
			scoping.CreateElement("samlp:RequesterID").SetText(id)
		}
	}
	return e, nil
}

// RedirectURL is the request for the HTTP-Redirect binding: deflated, with a
// detached signature over the query (SAML Bindings 3.4.4.1).
func (r *AuthnRequest) RedirectURL(c Credential, relayState string, random io.Reader) (string, error) {
	e, err := r.element()
	if err != nil {
		return "", err
	}
	return redirectURL(e, r.Destination, "SAMLRequest", relayState, c, random)
}

// PostForm is the request for the HTTP-POST binding: the fields of a form whose
// action is Destination, with an enveloped signature.
func (r *AuthnRequest) PostForm(c Credential, relayState string, random io.Reader) (map[string]string, error) {
	e, err := r.element()
	if err != nil {
		return nil, err
	}
	return postForm(e, "SAMLRequest", relayState, c, random)
}

func redirectURL(e *etree.Element, destination, parameter, relayState string, c Credential, random io.Reader) (string, error) {
	message, err := serialize(e)
	if err != nil {
		return "", err
	}
	query, err := signedQuery(parameter, message, relayState, c, random)
	if err != nil {
		return "", err
	}
	separator := "?"
	if strings.Contains(destination, "?") {
		separator = "&"
	}
	return destination + separator + query, nil
}

func postForm(e *etree.Element, parameter, relayState string, c Credential, random io.Reader) (map[string]string, error) {
	if len(relayState) > maxRelayState {
		return nil, errRelayState
	}
	if err := c.envelop(random, e, 1); err != nil {
		return nil, err
	}
	message, err := serialize(e)
	if err != nil {
		return nil, err
	}
	form := map[string]string{parameter: base64.StdEncoding.EncodeToString(message)}
	if relayState != "" {
		form["RelayState"] = relayState
	}
	return form, nil
}

// signedQuery deflates a message and signs the query string that carries it.
func signedQuery(parameter string, message []byte, relayState string, c Credential, random io.Reader) (string, error) {
	if len(relayState) > maxRelayState {
		return "", errRelayState
	}
	m, err := c.method()
	if err != nil {
		return "", err
	}
	var deflated bytes.Buffer
	w, err := flate.NewWriter(&deflated, flate.BestCompression)
	if err != nil {
		return "", err
	}
	if _, err := w.Write(message); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	query := parameter + "=" + url.QueryEscape(base64.StdEncoding.EncodeToString(deflated.Bytes()))
	if relayState != "" {
		query += "&RelayState=" + url.QueryEscape(relayState)
	}
	query += "&SigAlg=" + url.QueryEscape(m.uri)
	value, err := c.sign(random, m, []byte(query))
	if err != nil {
		return "", err
	}
	return query + "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(value)), nil
}
