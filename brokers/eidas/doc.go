// Package eidas is the upstream for an eIDAS node: the connector of our own
// country, which sends citizens of other member states to the node of theirs. It
// follows the eIDAS SAML message format, attribute profile and cryptographic
// requirements, versions 1.2 to 1.4, and Commission Implementing Regulation (EU)
// 2015/1501.
//
// Assertions have to come encrypted. Which country is the citizen's is asked by
// the connector, or told to it in a field of the form.
//
// An identifier is meant for the country that asked and may differ elsewhere, so
// the subject key is the whole of it. It is not matched to registers.
//
// Left out: national dialects in front of a node, keys of our own on Brainpool
// curves (the node's may be), discovery of nodes by their signed list.
package eidas
