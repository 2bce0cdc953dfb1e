package provider

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers"
)

// The two kinds of keys to which tokens are bound, as brokers.Token names them.
const (
	// boundByProof is a thumbprint of a DPoP key (RFC 9449, RFC 7638).
	boundByProof = "jkt:"
	// boundByCertificate is a thumbprint of a client certificate (RFC 8705).
	boundByCertificate = "x5t#S256:"
)

// bind finds out to which key the tokens of a call are bound: the key of a proof
// if there is one, otherwise that of a certificate if the client is registered for
// it, or has to bind its tokens to something.
func (p *Provider) bind(call *clientCall) *oauthError {
	switch {
	case len(call.Header.Values("DPoP")) > 0:
		key, problem := p.proof(call.Request, "", call.client.ProofNonce)
		if problem != nil {
			return problem
		}
		call.binding = boundByProof + key
	case call.client.CertificateBound:
		certificate := p.cfg.ClientCertificate(call.Request)
		if certificate == nil {
			return invalidRequest("certificate_missing", "tokens of this client are bound to a certificate, and there is none")
		}
		call.binding = certificateBinding(certificate)
	case call.client.SenderConstrained && p.cfg.ClientCertificate(call.Request) != nil:
		call.binding = certificateBinding(p.cfg.ClientCertificate(call.Request)) // RFC 8705 3
	case call.client.SenderConstrained:
		return invalidRequest("proof_missing", "tokens of this client are bound to a key, and the request shows none")
	}
	return nil
}

// proofClaims are the claims of a DPoP proof (RFC 9449 4.2).
type proofClaims struct {
	registered
	Method    string `json:"htm"`
	URL       string `json:"htu"`
	TokenHash string `json:"ath"`
	Nonce     string `json:"nonce"`
}

// proof checks the DPoP proof of a request and returns the thumbprint of its
// key. At a resource the proof is for one access token.
func (p *Provider) proof(r *http.Request, accessToken string, nonceRequired bool) (string, *oauthError) {
	refuse := func(reason string) (string, *oauthError) {
		return "", &oauthError{code: "invalid_dpop_proof", description: "the DPoP proof is not valid for this request", reason: reason}
	}
	headers := r.Header.Values("DPoP")
	if len(headers) != 1 {
		return refuse("proof_count")
	}
	s, err := parseStatement(headers[0], modernAlgorithms(), "dpop+jwt")
	if err != nil {
		return refuse("proof_malformed")
	}
	key := s.jws.Signatures[0].Header.JSONWebKey
	if key == nil || !key.IsPublic() || !strongEnough(key) {
		return refuse("proof_key")
	}
	if s.verify([]jose.JSONWebKey{{Key: key.Key}}) != nil {
		return refuse("proof_signature")
	}
	var claims proofClaims
	if json.Unmarshal(s.payload, &claims) != nil {
		return refuse("proof_malformed")
	}
	now := p.cfg.Now()
	switch {
	case claims.ID == "" || len(claims.ID) > maxID:
		return refuse("proof_id")
	case claims.Method != r.Method:
		return refuse("proof_method")
	case !p.sameURL(claims.URL, r.URL.Path):
		return refuse("proof_url")
	case claims.IssuedAt == nil || claims.IssuedAt.Before(now.Add(-proofAge)) || claims.IssuedAt.After(now.Add(proofAge)):
		return refuse("proof_time")
	case p.beforeEpoch(claims.IssuedAt, 2*proofAge):
		return refuse("proof_epoch")
	case accessToken != "" && claims.TokenHash != hash256(accessToken):
		return refuse("proof_token_hash")
	case claims.Nonce == "" && nonceRequired, claims.Nonce != "" && !p.knownNonce(claims.Nonce, now):
		return "", &oauthError{code: "use_dpop_nonce", description: "the DPoP proof needs the nonce of the header DPoP-Nonce", reason: "proof_nonce"}
	}
	print, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return refuse("proof_key")
	}
	thumbprint := base64.RawURLEncoding.EncodeToString(print)
	err = p.cfg.Store.UseAssertionID(r.Context(), "dpop:"+thumbprint, claims.ID, claims.IssuedAt.Add(2*proofAge))
	if errors.Is(err, brokers.ErrReplayed) {
		return refuse("proof_replayed")
	}
	if err != nil {
		return "", p.storeProblem(r.Context(), "using proof", err)
	}
	return thumbprint, nil
}

// strongEnough refuses small RSA keys; curves go with their algorithm.
func strongEnough(key *jose.JSONWebKey) bool {
	public, ok := key.Key.(*rsa.PublicKey)
	return key.Valid() && (!ok || public.N.BitLen() >= 2048 && public.N.BitLen() <= 8192)
}

func hash256(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// sameURL compares an htu with one of our addresses, without query and fragment
// (RFC 9449 4.3, number 9).
func (p *Provider) sameURL(text, path string) bool {
	u, err := url.Parse(text)
	return err == nil && u.User == nil && strings.EqualFold(u.Scheme, p.issuer.Scheme) && u.Path == path &&
		(strings.EqualFold(u.Host, p.issuer.Host) || u.Port() == defaultPort(u.Scheme) && strings.EqualFold(u.Hostname(), p.issuer.Host))
}

func defaultPort(scheme string) string {
	if strings.EqualFold(scheme, "https") {
		return "443"
	}
	return "80"
}

// proofNonceAt is the nonce for proofs at a time. It is derived, so that every
// replica knows it.
func (p *Provider) proofNonceAt(t time.Time) string {
	window := strconv.FormatInt(t.Unix()/int64(proofNonce.Seconds()), 10)
	return base64.RawURLEncoding.EncodeToString(keyed(p.tokenKey, "dpop nonce", window)[:18])
}

func (p *Provider) knownNonce(nonce string, now time.Time) bool {
	h := brokers.HashOf(nonce)
	return h.Matches(p.proofNonceAt(now)) || h.Matches(p.proofNonceAt(now.Add(-proofNonce)))
}

// holds checks that a request comes from the holder of the key to which its
// token is bound, and that the token is brought the way its kind is.
func (p *Provider) holds(r *http.Request, scheme, accessToken, binding string, nonceRequired bool) *oauthError {
	wrong := &oauthError{code: "invalid_token", description: "the token is bound to a key that the request does not show", reason: "token_key"}
	if strings.HasPrefix(binding, boundByProof) != strings.EqualFold(scheme, "DPoP") {
		return wrong
	}
	switch {
	case strings.HasPrefix(binding, boundByProof):
		key, problem := p.proof(r, accessToken, nonceRequired)
		if problem != nil {
			return problem
		}
		if boundByProof+key != binding {
			return wrong
		}
	case strings.HasPrefix(binding, boundByCertificate):
		certificate := p.cfg.ClientCertificate(r)
		if certificate == nil || certificateBinding(certificate) != binding {
			return wrong
		}
	}
	return nil
}
