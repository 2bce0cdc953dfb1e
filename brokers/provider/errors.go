package provider

import (
	"net/http"
	"time"
)

// oauthError is an error of OAuth 2.0 or OpenID Connect: what the relying party
// is told, and what only the audit log is told.
type oauthError struct {
	code        string
	description string
	// reason is the stable code for the audit log.
	reason string
	// nearest is what could be had instead, for errors about levels.
	nearest *alternative
	// retry is after how long to try again, for what is refused because there was too
	// much of it.
	retry time.Duration
}

// alternative is the highest level that methods reach which work now.
type alternative struct {
	ACR     string   `json:"acr"`
	Methods []string `json:"login_methods"`
}

func (e *oauthError) Error() string { return e.code + ": " + e.reason }

// status is the HTTP status at the token endpoint (RFC 6749 5.2).
func (e *oauthError) status() int {
	if e.retry > 0 {
		return http.StatusTooManyRequests
	}
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
	return &oauthError{code: "invalid_request", description: description, reason: reason}
}

// invalidGrant is one answer for every cause, so that it tells an attacker
// nothing.
func invalidGrant(reason string) *oauthError {
	return &oauthError{code: "invalid_grant", description: "the grant is not valid for this request", reason: reason}
}

func invalidClient(reason string) *oauthError {
	return &oauthError{code: "invalid_client", description: "client authentication failed", reason: reason}
}

func unmet(reason, description string) *oauthError {
	return &oauthError{code: "unmet_authentication_requirements", description: description, reason: reason}
}

func serverError(reason string) *oauthError {
	return &oauthError{code: "server_error", description: "something went wrong on our side", reason: reason}
}
