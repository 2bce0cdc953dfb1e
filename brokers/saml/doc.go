// Package saml is a strict SAML 2.0 service provider.
package saml
