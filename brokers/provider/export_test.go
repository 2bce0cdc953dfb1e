package provider

import (
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// GuardedClient is the client for addresses that registrations name.
func GuardedClient(inside bool) *http.Client { return guardedClient(inside) }

// Sign makes a JWT of claims.
func Sign(keys *Keys, algorithm jose.SignatureAlgorithm, claims any, now time.Time) (string, error) {
	return keys.sign(algorithm, typeJWT, claims, now)
}
