package kms_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers/envelope"
	"github.com/eidbridge/eidbridge/brokers/envelope/kms"
)

const arn = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"

// The library looks for credentials in the environment first.
func credentials(t *testing.T) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", "/nonexistent")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
}

// service answers as the API reference of AWS KMS says for Encrypt and Decrypt; what
// it gives out is the request itself, so that it needs no memory.
func service(t *testing.T) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var ask struct {
			KeyID             string `json:"KeyId"`
			Plaintext         []byte
			CiphertextBlob    []byte
			EncryptionContext map[string]string
		}
		if err := json.NewDecoder(r.Body).Decode(&ask); err != nil || !strings.Contains(r.Header.Get("Authorization"), "/eu-west-1/kms/aws4_request") {
			t.Errorf("%v %v", err, r.Header)
		}
		answer := map[string]any{"KeyId": ask.KeyID}
		bound, err := json.Marshal(ask.EncryptionContext)
		if err != nil {
			t.Error(err)
		}
		bound = append(bound, ask.KeyID...)
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		switch r.Header.Get("X-Amz-Target") {
		case "TrentService.Encrypt":
			answer["CiphertextBlob"] = append(ask.Plaintext, bound...)
		case "TrentService.Decrypt":
			plain, ok := bytes.CutSuffix(ask.CiphertextBlob, bound)
			if !ok {
				w.WriteHeader(http.StatusBadRequest)
				answer = map[string]any{"__type": "InvalidCiphertextException"}
			}
			answer["Plaintext"] = plain
		default:
			t.Errorf("asked for %s", r.Header.Get("X-Amz-Target"))
		}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// proveMaster wraps and unwraps, and finds what was bound.
func proveMaster(t *testing.T, m envelope.Master) {
	t.Helper()
	ctx, key := context.Background(), bytes.Repeat([]byte{7}, 32)
	wrapped, err := m.Wrap(ctx, key, []byte("data key 1"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := m.Unwrap(ctx, wrapped, []byte("data key 1"))
	if err != nil || !bytes.Equal(got, key) {
		t.Fatalf("unwrapped %x: %v", got, err)
	}
	if _, err := m.Unwrap(ctx, wrapped, []byte("data key 2")); !errors.Is(err, envelope.ErrSeal) {
		t.Errorf("unwrapped for something else: %v", err)
	}
	wrapped[len(wrapped)-1] ^= 1
	if _, err := m.Unwrap(ctx, wrapped, []byte("data key 1")); !errors.Is(err, envelope.ErrSeal) {
		t.Errorf("unwrapped though changed: %v", err)
	}
}

func TestMaster(t *testing.T) {
	credentials(t)
	m, err := kms.New(context.Background(), arn, kms.Options{Endpoint: service(t)})
	if err != nil {
		t.Fatal(err)
	}
	if m.ID() != "kms:"+arn {
		t.Errorf("ID %s", m.ID())
	}
	proveMaster(t, m)
	// A service that is not there is no wrong seal: nothing may be given up for it.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	gone, err := kms.New(ctx, arn, kms.Options{Endpoint: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gone.Unwrap(ctx, []byte("x"), nil); err == nil || errors.Is(err, envelope.ErrSeal) {
		t.Errorf("a service that is not there: %v", err)
	}
}

func TestNamesAreChecked(t *testing.T) {
	credentials(t)
	for _, c := range [][2]string{
		{"", ""},
		{"1234abcd", ""},
		{"arn:aws:kms:eu-west-1:111122223333:alias/broker", ""},
		{"arn:aws:kms::111122223333:key/1", ""},
		{"arn:aws:s3:eu-west-1:111122223333:key/1", ""},
		{arn + strings.Repeat("a", 200), ""},
		{arn + "\n", ""},
		{arn, "http://kms.example"},
		{arn, "kms.example"},
		{arn, "ftp://kms.example"},
	} {
		if _, err := kms.New(context.Background(), c[0], kms.Options{Endpoint: c[1]}); err == nil {
			t.Errorf("%q at %q is accepted", c[0], c[1])
		}
	}
}
