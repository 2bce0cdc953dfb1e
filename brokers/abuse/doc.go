// Package abuse slows down those who guess, flood and enumerate, and nobody else.
//
// Three measures follow each other. Floods of requests and of logins begun meet
// token buckets in the process, one for each address and client. Wrong secrets and
// codes are counted in the store, so that the count holds over replicas and
// restarts; each try beyond the free ones costs a delay that doubles up to a bound,
// told by Retry-After and never slept in the server. Who goes on nevertheless is
// banned, for a while that ends by itself.
//
// Many citizens may share one address. Before logins from an address are refused
// they are asked for a proof of work, which a browser does in less than a second,
// or for a short wait where there are no scripts. A delay for wrong tries at one
// account holds for that account and that address only, so that nobody can be
// locked out by a stranger; what is counted for an address as a whole has more
// free tries. Networks that are trusted are never slowed down.
//
// Counters are kept under keyed hashes: neither an address nor an account can be
// read from the database. What is remembered in the process is bounded.
package abuse
