package audit

import (
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Checkpoint says that a chain had so many lines at a time, and how it ended. It
// is the payload of a JWS of type audit-checkpoint+jwt.
type Checkpoint struct {
	// Log names the chain: random text that its first line carries.
	Log string `json:"log"`
	// Lines is the number of the last line it speaks of, Chain that line's value in
	// base64url.
	Lines int64     `json:"lines"`
	Chain string    `json:"chain"`
	Time  time.Time `json:"time"`
}

const checkpointType = "audit-checkpoint+jwt"

func newSigner(key crypto.Signer) (jose.Signer, error) {
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, errors.New("audit: checkpoints are signed by an Ed25519 key")
	}
	return jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: private},
		(&jose.SignerOptions{}).WithType(checkpointType))
}

func signCheckpoint(signer jose.Signer, c Checkpoint) (string, error) {
	payload, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("signing checkpoint: %w", err)
	}
	return signed.CompactSerialize()
}

// ParseCheckpoint verifies a checkpoint by the log's public key.
func ParseCheckpoint(compact string, key ed25519.PublicKey) (Checkpoint, error) {
	var c Checkpoint
	if len(compact) > maxLine {
		return c, errors.New("a checkpoint that is too long")
	}
	signed, err := jose.ParseSignedCompact(compact, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		return c, fmt.Errorf("not a checkpoint: %w", err)
	}
	if typ, _ := signed.Signatures[0].Protected.ExtraHeaders[jose.HeaderType].(string); typ != checkpointType {
		return c, errors.New("a signature that is no checkpoint")
	}
	payload, err := signed.Verify(key)
	if err != nil {
		return c, errors.New("the signature of the checkpoint is wrong, or by another key")
	}
	if err := json.Unmarshal(payload, &c); err != nil {
		return c, fmt.Errorf("not a checkpoint: %w", err)
	}
	return c, nil
}

func (c chain) String() string { return base64.RawURLEncoding.EncodeToString(c[:]) }
