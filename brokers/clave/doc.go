// Package clave is the Cl@ve 2.0 upstream (Spain): the SAML gateway of the
// Spanish administration, which speaks the eIDAS profile with additions of its
// own. It follows the integration kits that the Spanish administration publishes.
//
// A request can switch identity providers of the gateway off, never choose one:
// a method is chosen by switching all others off. The level is what the answer
// says and nothing else.
//
// Trust is administrative: there is no metadata. The gateway's certificates are
// configured, with the days from which they count.
//
// Left out: Cl@ve 1.0, and citizens whose certificate names only an organisation.
package clave
