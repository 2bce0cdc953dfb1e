package oidcup

import (
	"context"
	json "encoding/json/v2"
	"mime"
	"net/http"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/eidbridge/eidbridge/brokers"
)

// userInfo asks for user information and fills in what the ID token did not have
// (OpenID Connect Core 5.3; O-35). It is of the same subject or refused.
func (u *Upstream) userInfo(ctx context.Context, known *metadata, token *oauth2.Token, t *idToken, s *brokers.Subject) error {
	bad := func(reason, text string) error {
		return reject("userinfo_"+reason, brokers.CategoryProtocol, text)
	}
	if known.UserInfo == "" {
		return bad("endpoint", "upstream has no user information endpoint")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, known.UserInfo, nil)
	if err != nil {
		return bad("endpoint", "address cannot be used")
	}
	request.Header.Set("Authorization", "Bearer "+token.AccessToken)
	response, err := u.source.client.Do(request)
	if err != nil {
		return reject("unavailable", brokers.CategoryUnavailable, "user information")
	}
	defer response.Body.Close()
	if response.StatusCode >= http.StatusInternalServerError {
		return reject("unavailable", brokers.CategoryUnavailable, "user information")
	}
	kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	signed := kind == "application/jwt"
	if err != nil || response.StatusCode != http.StatusOK || !signed && (kind != "application/json" || u.c.SignedUserInfo) {
		return bad("form", "user information is refused, unsigned or of another kind")
	}
	text, err := readAll(response)
	if err != nil {
		return bad("form", "user information is too large or cut off")
	}
	var info struct {
		Issuer     string `json:"iss"`
		Audience   list   `json:"aud"`
		Subject    string `json:"sub"`
		GivenName  string `json:"given_name"`
		FamilyName string `json:"family_name"`
		Birthdate  string `json:"birthdate"`
	}
	if signed {
		if _, err := compact(string(text)); err != nil {
			return bad("form", err.Error())
		}
		payload, err := u.source.keys.VerifySignature(oidc.ClientContext(ctx, u.source.client), string(text))
		if err != nil {
			return bad("signature", "user information is signed by another key")
		}
		text = payload
	}
	if _, err := strictObject(text); err != nil {
		return bad("form", err.Error())
	}
	if err := json.Unmarshal(text, &info); err != nil {
		return bad("form", "a claim of the user information is of another type")
	}
	switch {
	case info.Subject != t.Subject:
		return bad("sub", "user information is of another subject")
	case signed && (info.Issuer != u.c.Issuer || !contains(info.Audience, u.c.ClientID)):
		return bad("aud", "user information is for somebody else")
	}
	for _, field := range []struct {
		into *string
		from string
	}{{&s.GivenName, info.GivenName}, {&s.FamilyName, info.FamilyName}, {&s.Birthdate, info.Birthdate}} {
		if *field.into == "" {
			*field.into = field.from
		}
	}
	if !names(s) {
		return bad("names", "names or date of birth are malformed")
	}
	return nil
}

func contains(l list, s string) bool {
	for _, have := range l {
		if have == s {
			return true
		}
	}
	return false
}
