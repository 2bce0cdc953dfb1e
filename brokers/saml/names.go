package saml

import "strings"

// Namespaces.
const (
	protocolNS  = "urn:oasis:names:tc:SAML:2.0:protocol"
	assertionNS = "urn:oasis:names:tc:SAML:2.0:assertion"
	metadataNS  = "urn:oasis:names:tc:SAML:2.0:metadata"
	signatureNS = "http://www.w3.org/2000/09/xmldsig#"
	// Extensions of metadata: Registration and Publication Information 1.0, and
	// Entity Attributes 1.0.
	publicationNS      = "urn:oasis:names:tc:SAML:metadata:rpi"
	entityAttributesNS = "urn:oasis:names:tc:SAML:metadata:attribute"
	soapNS             = "http://schemas.xmlsoap.org/soap/envelope/"
	xmlNS              = "http://www.w3.org/XML/1998/namespace"
	xmlnsNS            = "http://www.w3.org/2000/xmlns/"
	schemaNS           = "http://www.w3.org/2001/XMLSchema-instance"
	excC14NNS          = "http://www.w3.org/2001/10/xml-exc-c14n#"
)

// Bindings (SAML Bindings 2.0, section 3).
const (
	BindingRedirect = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
	BindingPOST     = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
	BindingArtifact = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Artifact"
	BindingSOAP     = "urn:oasis:names:tc:SAML:2.0:bindings:SOAP"
)

// Status codes (SAML Core 3.2.2.2). The first group stands at the top, the
// second below it.
const (
	StatusSuccess         = "urn:oasis:names:tc:SAML:2.0:status:Success"
	StatusRequester       = "urn:oasis:names:tc:SAML:2.0:status:Requester"
	StatusResponder       = "urn:oasis:names:tc:SAML:2.0:status:Responder"
	StatusVersionMismatch = "urn:oasis:names:tc:SAML:2.0:status:VersionMismatch"

	StatusAuthnFailed        = "urn:oasis:names:tc:SAML:2.0:status:AuthnFailed"
	StatusNoAuthnContext     = "urn:oasis:names:tc:SAML:2.0:status:NoAuthnContext"
	StatusNoPassive          = "urn:oasis:names:tc:SAML:2.0:status:NoPassive" //nolint:gosec // G101: a status code, no credential
	StatusRequestDenied      = "urn:oasis:names:tc:SAML:2.0:status:RequestDenied"
	StatusRequestUnsupported = "urn:oasis:names:tc:SAML:2.0:status:RequestUnsupported"
	StatusNoAvailableIDP     = "urn:oasis:names:tc:SAML:2.0:status:NoAvailableIDP"
	StatusNoSupportedIDP     = "urn:oasis:names:tc:SAML:2.0:status:NoSupportedIDP"
	StatusUnknownPrincipal   = "urn:oasis:names:tc:SAML:2.0:status:UnknownPrincipal"
)

const (
	version          = "2.0"
	methodBearer     = "urn:oasis:names:tc:SAML:2.0:cm:bearer" //nolint:gosec // G101: a confirmation method, no credential
	formatEntity     = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity"
	transformEnv     = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
	c14nExclusive    = "http://www.w3.org/2001/10/xml-exc-c14n#"
	c14nExclusiveCmt = "http://www.w3.org/2001/10/xml-exc-c14n#WithComments"
	c14nInclusive    = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
	c14nInclusiveCmt = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315#WithComments"
	c14n11           = "http://www.w3.org/2006/12/xml-c14n11"
)

// statusPrefix begins every status code of SAML Core.
const statusPrefix = "urn:oasis:names:tc:SAML:2.0:status:"

// shortStatus is a status code for the operator's log.
func shortStatus(code string) string { return strings.TrimPrefix(code, statusPrefix) }
