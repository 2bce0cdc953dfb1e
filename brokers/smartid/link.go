package smartid

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// interactions is the list of what the app may show, in base64 as sent: it is
// signed in that form.
func interactions(text string) (string, error) {
	list, err := json.Marshal([]map[string]string{{"type": "displayTextAndPIN", "displayText60": text}})
	if err != nil {
		return "", fmt.Errorf("smart-id: %w", err)
	}
	return base64.StdEncoding.EncodeToString(list), nil
}

// link is the device link of this moment (RP API 3.1, device link flows).
func (u *Upstream) link(m memo, locale string, elapsed int) string {
	link := m.LinkBase + "?deviceLinkType=" + string(m.Flow)
	if m.Flow == flowQR {
		link += "&elapsedSeconds=" + strconv.Itoa(elapsed)
	}
	link += "&sessionToken=" + url.QueryEscape(m.Token) + "&sessionType=auth&version=1.0&lang=" + language(locale)
	return link + "&authCode=" + u.authCode(m, link)
}

// authCode proves to the app that the link was made by the relying party whose
// session it is: an HMAC by the session's secret over the link and all that was
// asked. Empty fields keep their separators.
func (u *Upstream) authCode(m memo, link string) string {
	payload := strings.Join([]string{
		u.c.SchemeName, protocol, m.Challenge, base64.StdEncoding.EncodeToString([]byte(u.c.PartyName)), "",
		u.interactions, m.Callback, link,
	}, "|")
	mac := hmac.New(sha256.New, m.Secret)
	mac.Write([]byte(payload))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// VerificationCode is what an app that got a notification shows: the last two
// bytes of the challenge's SHA-256 as four digits. The challenge is in base64.
func VerificationCode(challenge string) string {
	raw, err := base64.StdEncoding.DecodeString(challenge)
	if err != nil || len(raw) == 0 {
		return ""
	}
	sum := sha256.Sum256(raw)
	return fmt.Sprintf("%04d", binary.BigEndian.Uint16(sum[len(sum)-2:])%10000)
}

// language is the app's name for a language (ISO 639-2), English where it has
// none.
func language(tag string) string {
	switch {
	case strings.HasPrefix(tag, "et"):
		return "est"
	case strings.HasPrefix(tag, "lv"):
		return "lav"
	case strings.HasPrefix(tag, "lt"):
		return "lit"
	case strings.HasPrefix(tag, "ru"):
		return "rus"
	}
	return "eng"
}
