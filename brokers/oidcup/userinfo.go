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

// badInfo refuses user information.
func badInfo(reason, text string) error {
	return reject("userinfo_"+reason, brokers.CategoryProtocol, text)
}

// fetchUserInfo asks for user information. What comes is JSON, or signed: then a JWT
// that nobody has verified yet.
func (u *Upstream) fetchUserInfo(ctx context.Context, known *metadata, token *oauth2.Token) (text []byte, signed bool, err error) {
	if known.UserInfo == "" {
		return nil, false, badInfo("endpoint", "upstream has no user information endpoint")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, known.UserInfo, nil)
	if err != nil {
		return nil, false, badInfo("endpoint", "address cannot be used")
	}
	request.Header.Set("Authorization", "Bearer "+token.AccessToken)
	response, err := u.source.client.Do(request)
	if err != nil {
		return nil, false, reject("unavailable", brokers.CategoryUnavailable, "user information")
	}
	defer response.Body.Close()
	if response.StatusCode >= http.StatusInternalServerError {
		return nil, false, reject("unavailable", brokers.CategoryUnavailable, "user information")
	}
	kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	signed = kind == "application/jwt"
	if err != nil || response.StatusCode != http.StatusOK || !signed && (kind != "application/json" || u.c.SignedUserInfo) {
		return nil, false, badInfo("form", "user information is refused, unsigned or of another kind")
	}
	if text, err = readAll(response); err != nil {
		return nil, false, badInfo("form", "user information is too large or cut off")
	}
	return text, signed, nil
}

// userInfo fills in what the ID token did not have from user information (OpenID
// Connect Core 5.3; O-35). It is of the same subject or refused.
func (u *Upstream) userInfo(ctx context.Context, known *metadata, token *oauth2.Token, t *idToken, s *brokers.Subject) error {
	text, signed, err := u.fetchUserInfo(ctx, known, token)
	if err != nil {
		return err
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
			return badInfo("form", err.Error())
		}
		payload, err := u.source.keys.VerifySignature(oidc.ClientContext(ctx, u.source.client), string(text))
		if err != nil {
			return badInfo("signature", "user information is signed by another key")
		}
		text = payload
	}
	if _, err := strictObject(text); err != nil {
		return badInfo("form", err.Error())
	}
	if err := json.Unmarshal(text, &info); err != nil {
		return badInfo("form", "a claim of the user information is of another type")
	}
	switch {
	case info.Subject != t.Subject:
		return badInfo("sub", "user information is of another subject")
	case signed && (info.Issuer != u.c.Issuer || !contains(info.Audience, u.c.ClientID)):
		return badInfo("aud", "user information is for somebody else")
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
		return badInfo("names", "names or date of birth are malformed")
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
