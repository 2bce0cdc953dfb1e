// Package hardening takes from the running process what would let a PIN outlive
// it: core dumps, and reading of its memory by other processes of the same user.
package hardening
