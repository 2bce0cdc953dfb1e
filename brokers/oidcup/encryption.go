package oidcup

import (
	"encoding/base64"
	"errors"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// open decrypts an ID token, if there are keys for it: then one that is not
// encrypted is refused. Algorithms are fixed (O-31): none that a password opens,
// none with the padding of before, and no compression.
func (u *Upstream) open(raw string) (string, error) {
	if len(u.c.DecryptionKeys) == 0 {
		return raw, nil
	}
	parts := strings.Split(raw, ".")
	if len(raw) > 2*maxIDToken || len(parts) != 5 {
		return "", errors.New("ID token is not encrypted, or too long")
	}
	header, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		return "", errors.New("header of the encrypted ID token cannot be read")
	}
	head, err := strictObject(header)
	if err != nil {
		return "", err
	}
	for _, name := range []string{"zip", "crit", "jku", "x5u"} {
		if _, ok := head[name]; ok {
			return "", errors.New("header of the encrypted ID token has more than it may")
		}
	}
	token, err := jose.ParseEncryptedCompact(raw,
		[]jose.KeyAlgorithm{jose.RSA_OAEP, jose.RSA_OAEP_256, jose.ECDH_ES, jose.ECDH_ES_A128KW, jose.ECDH_ES_A256KW},
		[]jose.ContentEncryption{jose.A128GCM, jose.A256GCM, jose.A128CBC_HS256, jose.A256CBC_HS512})
	if err != nil {
		return "", errors.New("ID token is encrypted in another way")
	}
	for _, key := range u.c.DecryptionKeys {
		if token.Header.KeyID != "" && key.KeyID != "" && token.Header.KeyID != key.KeyID {
			continue
		}
		if inner, err := token.Decrypt(key.Key); err == nil {
			return string(inner), nil
		}
	}
	return "", errors.New("ID token cannot be decrypted")
}
