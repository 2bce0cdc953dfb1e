package smartid

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/authcert"
)

// signature is what the app signed with, as the API tells it.
type signature struct {
	Value         []byte `json:"value"`
	ServerRandom  string `json:"serverRandom"`
	UserChallenge string `json:"userChallenge"`
	FlowType      string `json:"flowType"`
	Algorithm     string `json:"signatureAlgorithm"`
	Parameters    struct {
		Hash string `json:"hashAlgorithm"`
		Mask struct {
			Algorithm  string `json:"algorithm"`
			Parameters struct {
				Hash string `json:"hashAlgorithm"`
			} `json:"parameters"`
		} `json:"maskGenAlgorithm"`
		Salt    int    `json:"saltLength"`
		Trailer string `json:"trailerField"`
	} `json:"signatureAlgorithmParameters"`
}

// asAsked checks that the parameters are those that we asked for: only then they
// are used (broker.md 6.5).
func (s *signature) asAsked(f flow) error {
	p := s.Parameters
	switch {
	case s.Algorithm != "rsassa-pss", p.Hash != hashName, p.Mask.Algorithm != "id-mgf1", p.Mask.Parameters.Hash != hashName,
		p.Salt != sha512.Size, p.Trailer != "0xbc":
		return reject(authcert.ReasonAlgorithm, brokers.CategoryProtocol, errors.New("signature has other parameters than asked for"))
	case s.FlowType != string(f):
		return reject("flow", brokers.CategoryProtocol, errors.New("app was reached in another way than ours"))
	case !isBase64(s.ServerRandom, base64.StdEncoding), !isBase64(s.UserChallenge, base64.RawURLEncoding):
		return reject("signature_malformed", brokers.CategoryProtocol, errors.New("random values are malformed"))
	}
	return nil
}

func isBase64(s string, encoding *base64.Encoding) bool {
	_, err := encoding.Strict().DecodeString(s)
	return err == nil && s != "" && len(s) <= maxField
}

// signedText is what the app has signed (RP API 3.1, ACSP_V2): eleven fields.
func (u *Upstream) signedText(m memo, s *session) string {
	shown := sha256.Sum256([]byte(u.interactions))
	return strings.Join([]string{
		u.c.SchemeName, protocol, s.Signature.ServerRandom, m.Challenge, s.Signature.UserChallenge,
		base64.StdEncoding.EncodeToString([]byte(u.c.PartyName)), "",
		base64.StdEncoding.EncodeToString(shown[:]), s.Interaction, m.Callback, s.Signature.FlowType,
	}, "|")
}

// event judges the proof.
func (u *Upstream) event(ctx context.Context, d *brokers.Departure, m memo, s *session) (*brokers.AuthenticationEvent, error) {
	if s.Protocol != protocol || s.Interaction != "displayTextAndPIN" {
		return nil, reject("protocol", brokers.CategoryProtocol, errors.New("protocol or interaction is not the one asked for"))
	}
	if err := s.Signature.asAsked(m.Flow); err != nil {
		return nil, err
	}
	certificate, err := authcert.Parse(s.Cert.Value)
	if err != nil {
		return nil, err
	}
	holder, err := u.c.Judge.Check(ctx, certificate, nil, authcert.Purpose{
		// Since April 2025 an own usage, before it client authentication.
		Usages: []string{"1.3.6.1.4.1.62306.5.7.0", authcert.UsageClientAuth},
	})
	if err != nil {
		return nil, err
	}
	value, err := u.kind(holder, s.Cert.Level)
	if err != nil {
		return nil, err
	}
	switch {
	case !slices.Contains(u.c.Countries, holder.Identity.Country):
		return nil, reject("country", brokers.CategoryDenied, errors.New("account is of a country that is not accepted"))
	case m.Flow == flowNotification && holder.Identity.Key != "ee-ik:"+m.Code:
		return nil, reject("other_person", brokers.CategoryProtocol, errors.New("certificate is of another person"))
	}
	digest := sha512.Sum512([]byte(u.signedText(m, s)))
	if err := authcert.Verify(certificate, authcert.PSS, crypto.SHA512, digest[:], s.Signature.Value); err != nil {
		return nil, err
	}
	if err := u.c.Judge.Revocation(ctx, holder); err != nil {
		return nil, err
	}
	now := u.c.Clock()
	if err := u.c.Replay.UseAssertionID(ctx, u.c.URL, m.Session, now.Add(time.Hour)); err != nil {
		if errors.Is(err, brokers.ErrReplayed) {
			return nil, reject("replayed", brokers.CategoryProtocol, err)
		}
		return nil, err
	}
	return holder.Event(authcert.Login{
		Upstream: u.c.ID, Method: d.Request.Method, Issuer: u.c.URL, Session: m.Session, Time: now, Rand: u.c.Rand,
		Mapping: u.c.Mapping, Scheme: scheme, Class: value, Least: d.Request.Level, Most: u.c.MaxLevel,
	})
}

// kind is what the certificate's policies say of the account. What the API says
// of it may be less, never more.
func (u *Upstream) kind(h *authcert.Holder, told string) (string, error) {
	value := ""
	switch {
	case h.Has("1.3.6.1.4.1.10015.17.2") && h.Has("0.4.0.2042.1.2"):
		value = qualified
	case h.Has("1.3.6.1.4.1.10015.17.1") && h.Has("0.4.0.2042.1.1"):
		value = advanced
	}
	accepted := u.accepted()
	if !slices.Contains(accepted, value) || !slices.Contains(accepted, told) || told == qualified && value != qualified {
		return "", reject(authcert.ReasonPolicy, brokers.CategoryLevel, errors.New("certificate is not of the level asked for"))
	}
	if told == advanced {
		return advanced, nil
	}
	return value, nil
}
