// Package fetch gets small things over HTTP for judging signatures: time-stamps,
// OCSP answers, CRLs and issuer certificates.
//
// The addresses come from certificates, that is from strangers. So a request
// goes to http or https only, never to an address inside this machine or its
// network, follows two redirects at most under the same rules, and is bounded in
// time and size. The address is judged when the connection is made, after the
// name was resolved, so that a name cannot change its meaning in between.
//
// Left out: ldap, authentication of the client, and proxies; a caller who needs
// those hands in a RoundTripper of its own and answers for where it goes.
package fetch
