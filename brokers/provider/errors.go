package provider

import (
	"net/http"
)

// oauthError is an error of OAuth 2.0 or OpenID Connect: what the relying party
// is told, and what only the audit log is told.
type oauthError struct {
	code        string
	description string
	// reason is the stable code for the audit log.
	reason string
}

func (e *oauthError) Error() string { return e.code + ": " + e.reason }

// status is the HTTP status at the token endpoint (RFC 6749 5.2).
func (e *oauthError) status() int {
	switch e.code {
	case "invalid_client":
		return http.StatusUnauthorized
	case "server_error":
		return http.StatusInternalServerError
	case "temporarily_unavailable":
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

func invalidRequest(reason, description string) *oauthError {
	return &oauthError{"invalid_request", description, reason}
}

// invalidGrant is one answer for every cause, so that it tells an attacker
// nothing.
func invalidGrant(reason string) *oauthError {
	return &oauthError{"invalid_grant", "the grant is not valid for this request", reason}
}

func invalidClient(reason string) *oauthError {
	return &oauthError{"invalid_client", "client authentication failed", reason}
}

func unmet(reason, description string) *oauthError {
	return &oauthError{"unmet_authentication_requirements", description, reason}
}

func serverError(reason string) *oauthError {
	return &oauthError{"server_error", "something went wrong on our side", reason}
}
