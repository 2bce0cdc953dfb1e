// Package kms has data keys wrapped by a key management service, so that the master
// key never is in the memory of the broker.
//
// It speaks the protocol of AWS KMS, which other services speak as well, by the
// vendor's own library; credentials come from where that library finds them
// (environment, files, or the role of the machine). What a data key is for is bound to
// it as encryption context: the service refuses to unwrap it for anything else, and
// writes it into its own log of uses. The service is asked when the broker starts, and
// once a day when a data key is made, never during a login.
//
// Left out: other protocols (Vault's transit engine, KMIP), and making keys in the
// service.
package kms

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/eidbridge/eidbridge/brokers/envelope"
)

// Prefix is that of the IDs of these master keys.
const Prefix = "kms:"

const (
	// maxID is what envelope.Master allows.
	maxID = 200
	// patience bounds one question, with all that is tried again.
	patience = 20 * time.Second
	// purpose is the name in the encryption context.
	purpose = "eidbridge"
)

// Master is a master key in a service. It may be used by several goroutines.
type Master struct {
	client *kms.Client
	key    string
}

// Options are choices of a deployment.
type Options struct {
	// Endpoint is the address of a service other than the vendor's: https, or http on
	// this machine only.
	Endpoint string
}

// New takes the ARN of a symmetric key, which names its region. An alias is refused:
// it may come to mean another key, under which nothing could be unwrapped. The service
// is not asked yet.
func New(ctx context.Context, arn string, o Options) (*Master, error) {
	parts := strings.Split(arn, ":")
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "kms" || parts[3] == "" || !strings.HasPrefix(parts[5], "key/") ||
		len(Prefix+arn) > maxID || strings.ContainsFunc(arn, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("kms: a master key is named kms: and the ARN of the key, such as arn:aws:kms:eu-west-1:111122223333:key/…, and not by an alias")
	}
	settings, err := config.LoadDefaultConfig(ctx, config.WithRegion(parts[3]))
	if err != nil {
		return nil, fmt.Errorf("kms: %w", err)
	}
	endpoint := func(*kms.Options) {}
	if o.Endpoint != "" {
		u, err := url.Parse(o.Endpoint)
		if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !local(u.Hostname())) {
			return nil, errors.New("kms: the endpoint is an https address")
		}
		endpoint = func(to *kms.Options) { to.BaseEndpoint = aws.String(o.Endpoint) }
	}
	return &Master{kms.NewFromConfig(settings, endpoint), arn}, nil
}

func local(host string) bool { return host == "localhost" || host == "127.0.0.1" || host == "::1" }

// ID is the ARN with a prefix.
func (m *Master) ID() string { return Prefix + m.key }

// Wrap has the service encrypt a data key.
func (m *Master) Wrap(ctx context.Context, key, bound []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, err := m.client.Encrypt(ctx, &kms.EncryptInput{KeyId: &m.key, Plaintext: key, EncryptionContext: bindingOf(bound)})
	if err != nil {
		return nil, fmt.Errorf("kms: wrapping: %w", err)
	}
	return out.CiphertextBlob, nil
}

// Unwrap has the service decrypt a data key; envelope.ErrSeal if it was wrapped by
// another key or for something else, or was changed.
func (m *Master) Unwrap(ctx context.Context, wrapped, bound []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, err := m.client.Decrypt(ctx, &kms.DecryptInput{KeyId: &m.key, CiphertextBlob: wrapped, EncryptionContext: bindingOf(bound)})
	var invalid *types.InvalidCiphertextException
	var incorrect *types.IncorrectKeyException
	switch {
	case errors.As(err, &invalid), errors.As(err, &incorrect):
		return nil, fmt.Errorf("%w: the service does not unwrap it", envelope.ErrSeal)
	case err != nil:
		return nil, fmt.Errorf("kms: unwrapping: %w", err)
	}
	return out.Plaintext, nil
}

func bindingOf(bound []byte) map[string]string { return map[string]string{purpose: string(bound)} }
