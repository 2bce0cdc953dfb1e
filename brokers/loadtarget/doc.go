// Package loadtarget is a broker for load and conformance tools: the real OpenID
// Provider and the real stores, with one upstream that approves a numbered person
// at once, and with clients of every kind ready to be used.
//
// Whoever reaches it can be anybody, so it is for this machine's tests only:
// eidlab has it, eidbroker must not.
package loadtarget
