package provider

import "net/http"

// GuardedClient is the client for addresses that registrations name.
func GuardedClient(inside bool) *http.Client { return guardedClient(inside) }
