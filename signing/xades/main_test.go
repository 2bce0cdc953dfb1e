package xades_test

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/batch"
	"github.com/eidbridge/eidbridge/signing/outfile"
	"github.com/eidbridge/eidbridge/signing/xades"
)

// TestMain lets the test program be a small signing program: benchmarks run it as
// a process of its own, whose memory can be told.
func TestMain(m *testing.M) {
	if len(os.Args) > 3 && os.Args[1] == childSign {
		os.Exit(child(sign(os.Args[2], os.Args[3], os.Args[4:])))
	}
	if len(os.Args) > 2 && os.Args[1] == childVerify {
		os.Exit(child(verifyAll(os.Args[2:])))
	}
	os.Exit(m.Run())
}

const childSign, childVerify = "xades-sign", "xades-verify"

func child(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// sign signs files with a key and a certificate in PEM, to files of the same name
// and ".signed", as many side by side as there are processors. They are put in place
// in groups.
func sign(key, certificate string, names []string) error {
	var cred signing.Credential
	for _, name := range []string{key, certificate} {
		raw, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		block, _ := pem.Decode(raw)
		if name == certificate {
			if cred.Certificate, err = x509.ParseCertificate(block.Bytes); err != nil {
				return err
			}
			continue
		}
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return err
		}
		cred.Signer = parsed.(crypto.Signer)
	}
	var items []batch.Item
	for _, name := range names {
		items = append(items, batch.Item{In: name, Out: name + ".signed"})
	}
	var failed error
	run := batch.Run(context.Background(), items, runtime.GOMAXPROCS(0), func(ctx context.Context, i batch.Item, g *outfile.Group) (batch.Record, error) {
		_, err := xades.SignFile(ctx, i.In, i.Out, cred, xades.Options{Limits: large(), Overwrite: true, Group: g})
		return batch.Record{Item: i}, err
	}, func(all []batch.Outcome) {
		for _, o := range all {
			failed = errors.Join(failed, o.Err)
		}
	})
	return errors.Join(run, failed)
}

// verifyAll demands that every signature of the files is intact, as many files side by
// side as there are processors.
func verifyAll(names []string) error {
	next, failed := make(chan string), make(chan error, len(names))
	var work sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		work.Go(func() {
			for name := range next {
				r, err := xades.VerifyFile(context.Background(), name, xades.VerifyOptions{Limits: large()})
				if err == nil && (len(r.Signatures) == 0 || !r.Intact()) {
					err = fmt.Errorf("%s: %+v", strings.TrimSpace(name), r.Signatures)
				}
				failed <- err
			}
		})
	}
	for _, name := range names {
		next <- name
	}
	close(next)
	work.Wait()
	close(failed)
	for err := range failed {
		if err != nil {
			return err
		}
	}
	return nil
}
