// Package archive reads and writes ZIP files (APPNOTE 6.3.9) as signed containers
// need it.
//
// Reading is strict, because two programs that see different files in one archive
// are an attack: the central directory and the headers before the files must
// agree, entries may not overlap nor leave anything unlisted between them, names
// must be harmless and distinct, and encryption, links, unknown methods and
// archives in several parts are refused. Counts, sizes and ratios are bounded
// before anything is inflated, and again while it is. Files are read as streams.
//
// Writing is sequential: a file is compressed as it comes, and files of another
// archive are copied as they are, without inflating them.
//
// Left out: encryption, methods other than stored and deflated, digital
// signatures of the archive itself, repair.
package archive

import "errors"

// Errors that a caller decides on.
var (
	// ErrFormat: not a ZIP file, or one that breaks a rule.
	ErrFormat = errors.New("malformed archive")
	// ErrLimit: larger or more numerous than is accepted.
	ErrLimit = errors.New("archive goes over a limit")
	// ErrName: a file name that is unsafe, or not distinct from another.
	ErrName = errors.New("file name in the archive not acceptable")
	// ErrEncrypted: a file is encrypted.
	ErrEncrypted = errors.New("archive is encrypted")
	// ErrAmbiguous: parts of the archive contradict each other, so that programs
	// would find different files in it.
	ErrAmbiguous = errors.New("archive is ambiguous")
	// ErrCorrupt: a file does not inflate to what its header says.
	ErrCorrupt = errors.New("file in the archive is corrupt")
)

// Limits bound what Open accepts; zero fields take the defaults. Sizes are in
// bytes.
type Limits struct {
	// Entries is the number of files and folders.
	Entries int
	// File is the inflated size of one file, Total that of all.
	File, Total int64
	// Ratio is how many times a file may grow by inflating, once it is larger than
	// FreeSize.
	Ratio    int64
	FreeSize int64
}

// DefaultLimits are for an archive of unknown origin.
func DefaultLimits() Limits {
	return Limits{Entries: 10_000, File: 64 << 30, Total: 64 << 30, Ratio: 200, FreeSize: 16 << 20}
}

func (l Limits) complete() Limits {
	d := DefaultLimits()
	if l.Entries <= 0 {
		l.Entries = d.Entries
	}
	for _, f := range []struct {
		have *int64
		want int64
	}{{&l.File, d.File}, {&l.Total, d.Total}, {&l.Ratio, d.Ratio}, {&l.FreeSize, d.FreeSize}} {
		if *f.have <= 0 {
			*f.have = f.want
		}
	}
	return l
}

const (
	// maxName bounds a name, in bytes.
	maxName = 1024
	// maxDirectory bounds the central directory for each entry, in bytes.
	maxDirectory = 46 + maxName + 4096
	// maxGap is what may stand between two files: a data descriptor with signature
	// and sizes of ZIP64.
	maxGap = 24
)
