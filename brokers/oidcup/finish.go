package oidcup

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/levels"
)

// Correlate implements brokers.Upstream: state is the handle.
func (u *Upstream) Correlate(r *http.Request) (string, error) {
	states := r.URL.Query()["state"]
	if r.Method != http.MethodGet || len(states) != 1 {
		return "", errors.New("callback without one state")
	}
	return states[0], nil
}

func reject(reason string, category brokers.Category, text string) error {
	var err error
	if text != "" {
		err = errors.New(text)
	}
	return &brokers.RejectedError{Reason: reason, Category: category, Err: err}
}

// Finish implements brokers.Upstream: it redeems the code and judges what comes
// for it.
func (u *Upstream) Finish(ctx context.Context, r *http.Request, d *brokers.Departure) (*brokers.AuthenticationEvent, error) {
	method, _, ok := u.method(d.Request.Method)
	if !ok {
		return nil, reject("method", brokers.CategoryConfiguration, "method is offered no more")
	}
	var m memo
	if err := json.Unmarshal(d.Memo, &m); err != nil {
		return nil, reject("memo", brokers.CategoryProtocol, "login was not remembered")
	}
	known, err := u.source.metadata(ctx)
	if err != nil {
		return nil, reject("unavailable", brokers.CategoryUnavailable, "discovery")
	}
	query := r.URL.Query()
	for _, name := range []string{"code", "state", "iss", "error"} {
		if len(query[name]) > 1 {
			return nil, reject("parameters", brokers.CategoryProtocol, "parameter is repeated")
		}
	}
	switch issuer := query.Get("iss"); {
	case query.Get("state") != d.Request.RelayState:
		return nil, reject("state", brokers.CategoryProtocol, "answer of another login")
	case issuer != "" && issuer != u.c.Issuer, issuer == "" && known.NamesIssuer:
		return nil, reject("issuer", brokers.CategoryProtocol, "answer of another issuer") // O-56
	case query.Get("error") != "":
		return nil, refused(query.Get("error"))
	case query.Get("code") == "" || len(query.Get("code")) > 4096:
		return nil, reject("code", brokers.CategoryProtocol, "code is missing or too long")
	}
	token, err := u.redeem(ctx, known, method, m, query.Get("code"))
	if err != nil {
		return nil, err
	}
	raw, _ := token.Extra("id_token").(string)
	claims, err := u.idToken(ctx, raw, token.AccessToken, m, d)
	if err != nil {
		return nil, err
	}
	return u.event(ctx, known, method, token, claims, d)
}

// refused sorts the errors of a callback (RFC 6749 4.1.2.1, OpenID Connect Core
// 3.1.2.6, TARA 4.2).
func refused(code string) error {
	category := brokers.CategoryProtocol
	switch code {
	case "user_cancel", "access_denied", "consent_required":
		return brokers.ErrCancelled
	case "login_required", "interaction_required", "account_selection_required":
		category = brokers.CategoryDenied
	case "server_error", "temporarily_unavailable":
		category = brokers.CategoryUnavailable
	case "unmet_authentication_requirements":
		category = brokers.CategoryLevel
	case "invalid_request", "unauthorized_client", "unsupported_response_type", "invalid_scope", "invalid_request_uri", "invalid_request_object", "request_not_supported":
		category = brokers.CategoryConfiguration
	default:
		code = "unknown"
	}
	return reject("error_"+code, category, "")
}

// redeem exchanges the code.
func (u *Upstream) redeem(ctx context.Context, known *metadata, method Method, m memo, code string) (*oauth2.Token, error) {
	var options []oauth2.AuthCodeOption
	if m.Verifier != "" {
		options = append(options, oauth2.VerifierOption(m.Verifier))
	}
	if u.c.Auth == PrivateKeyJWT {
		assertion, err := u.assertion()
		if err != nil {
			return nil, err
		}
		options = append(options, oauth2.SetAuthURLParam("client_assertion_type", assertionType), oauth2.SetAuthURLParam("client_assertion", assertion))
	}
	token, err := u.config(known, method).Exchange(oidc.ClientContext(ctx, u.source.client), code, options...)
	var answered *oauth2.RetrieveError
	switch {
	case errors.As(err, &answered) && answered.Response.StatusCode >= http.StatusInternalServerError:
		return nil, reject("unavailable", brokers.CategoryUnavailable, "token endpoint")
	case errors.As(err, &answered):
		// An expired code is time that ran out; a client that is not known is our
		// registration.
		switch answered.ErrorCode {
		case "invalid_grant":
			return nil, reject("code_refused", brokers.CategoryTimeout, "")
		case "invalid_client", "unauthorized_client":
			return nil, reject("client_refused", brokers.CategoryConfiguration, "")
		}
		return nil, reject("token_refused", brokers.CategoryProtocol, "")
	case err != nil:
		return nil, reject("unavailable", brokers.CategoryUnavailable, "token endpoint cannot be reached or understood")
	}
	return token, nil
}

// event judges level and person.
func (u *Upstream) event(ctx context.Context, known *metadata, method Method, token *oauth2.Token, claims *idToken, d *brokers.Departure) (*brokers.AuthenticationEvent, error) {
	if len(method.AMR) > 0 && !slices.ContainsFunc(claims.AMR, func(have string) bool { return slices.Contains(method.AMR, have) }) {
		return nil, reject("amr", brokers.CategoryProtocol, "login was by another method than the one asked for")
	}
	ceilings := brokers.Ceilings(u.c.ID, u.c.MaxLevel)
	if method.MaxLevel != levels.None {
		ceilings = append(ceilings, levels.Ceiling{Source: "method:" + method.ID, Max: method.MaxLevel})
	}
	assessment, err := u.c.Mapping.Assess(u.c.Scheme, claims.ACR, ceilings...)
	if err != nil {
		// Without acr, or with one that is not known, the level is not known: that is
		// not "low" (broker.md 8.5 rule 1).
		return nil, reject("context_class", brokers.CategoryProtocol, "acr is missing or not one of the upstream's")
	}
	asked, err := u.c.Mapping.Assess(u.c.Scheme, classOf(d))
	if err != nil || assessment.Asserted < asked.Asserted || assessment.Level < d.Request.Level {
		return nil, reject("loa_too_low", brokers.CategoryLevel, "answered level is below the one asked for")
	}
	subject, err := u.subject(claims)
	if err != nil {
		return nil, err
	}
	if u.c.UserInfo {
		if err := u.userInfo(ctx, known, token, claims, subject); err != nil {
			return nil, err
		}
	}
	id := claims.ID
	if id == "" {
		id = claims.hash // tokens without jti are named by their digest
	}
	if err := u.c.Replay.UseAssertionID(ctx, u.c.Issuer, id, claims.expiry.Add(u.c.Skew)); err != nil {
		if errors.Is(err, brokers.ErrReplayed) {
			return nil, reject("replayed", brokers.CategoryProtocol, "")
		}
		return nil, err
	}
	name, err := brokers.NewEventID(u.c.Rand)
	if err != nil {
		return nil, err
	}
	amr := method.Event
	if amr == nil {
		amr = assessment.AMR
	}
	return &brokers.AuthenticationEvent{
		ID: name, Upstream: u.c.ID, Method: method.ID, Issuer: u.c.Issuer, AssertionID: id,
		Assessment: assessment, AuthTime: claims.authTime(), AMR: amr, Subject: *subject,
	}, nil
}

func classOf(d *brokers.Departure) string {
	var m memo
	if json.Unmarshal(d.Memo, &m) != nil {
		return ""
	}
	return m.Class
}
