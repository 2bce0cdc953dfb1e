package cades

import (
	"context"
	"fmt"
	"io"
	"io/fs"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/outfile"
	"github.com/eidbridge/eidbridge/signing/validation"
)

// Sign prepares, signs and completes, and raises the level as the options say.
// The content is read twice where it goes into the message. The signer is called
// once at most, and only when nothing speaks against signing. On an error dst may
// hold part of the message; SignFile is the way to a file.
func Sign(ctx context.Context, content signing.Content, dst io.Writer, cred signing.Credential, o Options) (*signing.Result, error) {
	if err := o.ready(ctx, cred); err != nil {
		return nil, err
	}
	plan, err := Prepare(ctx, content, cred, o)
	if err != nil {
		return nil, err
	}
	return finish(ctx, plan, content, dst, cred, o)
}

// CoSign adds a signer to a message, as PrepareCoSignature says.
func CoSign(ctx context.Context, src io.ReaderAt, size int64, content signing.Content, dst io.Writer, cred signing.Credential, o Options) (*signing.Result, error) {
	if err := o.ready(ctx, cred); err != nil {
		return nil, err
	}
	plan, err := PrepareCoSignature(ctx, src, size, content, cred, o)
	if err != nil {
		return nil, err
	}
	return finish(ctx, plan, orInside(src, size, content), dst, cred, o)
}

// CounterSign countersigns a signer of a message, as PrepareCounterSignature
// says.
func CounterSign(ctx context.Context, src io.ReaderAt, size int64, content signing.Content, signer int, dst io.Writer, cred signing.Credential, o Options) (*signing.Result, error) {
	if err := o.ready(ctx, cred); err != nil {
		return nil, err
	}
	plan, err := PrepareCounterSignature(ctx, src, size, content, signer, cred, o)
	if err != nil {
		return nil, err
	}
	return finish(ctx, plan, orInside(src, size, content), dst, cred, o)
}

// orInside is the content of a message, wherever it is.
func orInside(src io.ReaderAt, size int64, content signing.Content) signing.Content {
	_, found, err := open(src, size, content)
	if err != nil {
		return content
	}
	return found
}

// ready refuses what would fail after the key was used.
func (o *Options) ready(ctx context.Context, cred signing.Credential) error {
	if cred.Signer == nil {
		return signing.Refuse(signing.RefusedKey, "", "the credential has no key")
	}
	if err := o.Services.Check(o.Level); err != nil {
		return err
	}
	if cred.Certificate == nil || o.Level.Rank() < signing.BaselineLT.Rank() {
		return nil
	}
	return validation.CheckRevoked(ctx, o.Services, cred)
}

func finish(ctx context.Context, plan *Plan, content signing.Content, dst io.Writer, cred signing.Credential, o Options) (*signing.Result, error) {
	value, err := plan.use(ctx, cred, o.Rand)
	if err != nil {
		return nil, err
	}
	signed, err := plan.Embed(value)
	if err != nil {
		return nil, err
	}
	if err := signed.Raise(ctx, o.Level, o.Services); err != nil {
		return nil, err
	}
	size, err := signed.WriteTo(ctx, dst, content)
	if err != nil {
		return nil, fmt.Errorf("writing the signature: %w", err)
	}
	return signed.Result(size), nil
}

// SignFile signs the file in and puts the message in place as out. What was
// written is checked by reading it again. Beside the errors of Sign it returns
// signing.ErrExists, ErrOutput and ErrCheck.
func SignFile(ctx context.Context, in, out string, cred signing.Credential, o Options) (*signing.Result, error) {
	src, info, err := outfile.Open(in)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	content := signing.SectionContent(src, 0, info.Size())
	return toFile(ctx, out, info, o.Overwrite, content, func(dst io.Writer) (*signing.Result, error) {
		return Sign(ctx, content, dst, cred, o)
	})
}

// CoSignFile adds a signer to the message in the file in. Content is the signed
// file of a detached message, empty where it is inside.
func CoSignFile(ctx context.Context, in, content, out string, cred signing.Credential, o Options) (*signing.Result, error) {
	src, info, err := outfile.Open(in)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	given := contentOf(content)
	return toFile(ctx, out, info, o.Overwrite, given, func(dst io.Writer) (*signing.Result, error) {
		return CoSign(ctx, src, info.Size(), given, dst, cred, o)
	})
}

// CounterSignFile countersigns a signer of the message in the file in, as
// PrepareCounterSignature says; content as in CoSignFile.
func CounterSignFile(ctx context.Context, in, content, out string, signer int, cred signing.Credential, o Options) (*signing.Result, error) {
	src, info, err := outfile.Open(in)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	given := contentOf(content)
	return toFile(ctx, out, info, o.Overwrite, given, func(dst io.Writer) (*signing.Result, error) {
		return CounterSign(ctx, src, info.Size(), given, signer, dst, cred, o)
	})
}

// contentOf is a named file as content, nil for no name.
func contentOf(name string) signing.Content {
	if name == "" {
		return nil
	}
	return signing.FileContent(name)
}

// toFile writes an output, checks it as a stranger would, and puts it in place.
func toFile[R any](ctx context.Context, out string, info fs.FileInfo, overwrite bool, content signing.Content, write func(io.Writer) (R, error)) (R, error) {
	var none R
	target, err := outfile.Create(out, info.Mode().Perm(), overwrite, info)
	if err != nil {
		return none, err
	}
	defer target.Discard()
	result, err := write(target.Writer())
	if err != nil {
		return none, err
	}
	if err := check(ctx, target, content); err != nil {
		return none, err
	}
	return result, target.Place(ctx)
}

// check examines a finished output.
func check(ctx context.Context, out *outfile.File, content signing.Content) error {
	size, err := out.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("%w: %w", signing.ErrCheck, err)
	}
	report, err := Verify(ctx, out, size, content, signing.VerifyOptions{})
	if err != nil {
		return fmt.Errorf("%w: %w", signing.ErrCheck, err)
	}
	for _, s := range report.Signatures {
		if content == nil && s.Integrity == signing.Unknown && s.SubIndication == signing.SignedDataNotFound {
			continue // the file of a detached message that is countersigned
		}
		if s.Integrity != signing.Intact {
			return fmt.Errorf("%w: a signature does not verify", signing.ErrCheck)
		}
	}
	return nil
}
