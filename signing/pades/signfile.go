package pades

import (
	"context"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/outfile"
)

// SignFile signs the file in and puts the result in place as out. It writes
// beside out, checks what it wrote by reading it back, and links it to its name
// only then, so that a failure at any moment leaves in and an earlier out as
// they were. The output takes the permissions of the input. It is durable when
// SignFile returns, unless a Group of the options sees to that later.
//
// Beside the errors of Sign it returns ErrExists, ErrOutput and ErrCheck.
func SignFile(ctx context.Context, in, out string, cred signing.Credential, o Options) (*Result, error) {
	src, info, err := outfile.Open(in)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	written := &file{
		begin: func() (*outfile.File, error) {
			return outfile.Create(out, info.Mode().Perm(), o.Overwrite, info)
		},
		want: o.SourceSHA256, memory: o.memory(),
	}
	defer written.close()
	made, err := signTo(ctx, src, info.Size(), written, cred, o)
	if err != nil {
		return nil, err
	}
	if err := made.plan.checkValue(ctx, written, written.copied); err != nil {
		return nil, err
	}
	if err := written.checked(); err != nil {
		return nil, err
	}
	result, err := raiseFile(ctx, written, made, o)
	if err != nil {
		return nil, err
	}
	if err := written.sums(ctx, result); err != nil {
		return nil, err
	}
	return result, written.PlaceIn(ctx, o.Group)
}
