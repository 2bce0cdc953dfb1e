package batch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"time"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/outfile"
	"github.com/eidbridge/eidbridge/signing/pades"
)

// PDF signs with pades.SignFile. With more than one worker the credential's Signer
// must be safe for concurrent use, and the options must not ask for a mark, whose
// fonts are not.
func PDF(credential signing.Credential, o pades.Options) Sign {
	return func(ctx context.Context, item Item, group *outfile.Group) (Record, error) {
		own := o
		own.Group = group
		result, err := pades.SignFile(ctx, item.In, item.Out, credential, own)
		if err != nil {
			return Record{}, err
		}
		return Record{
			Item: item, SourceSHA256: hex.EncodeToString(result.SourceSHA256[:]), SHA256: hex.EncodeToString(result.SHA256[:]),
			Baseline: result.Baseline, Shortfall: result.Shortfall, Time: result.SigningTime.UTC().Truncate(time.Second),
		}, nil
	}
}

// Digest is the SHA-256 of a file in lower-case hex.
func Digest(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
