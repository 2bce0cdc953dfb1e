package asic

import (
	"bytes"
	"context"
	"crypto"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/archive"
)

// Input is a file that goes into a container.
type Input struct {
	// Name is the one in the container, with slashes.
	Name string
	// MediaType is guessed from the name when empty.
	MediaType string
	Modified  time.Time
	// Size is in bytes; -1 when it is not known.
	Size    int64
	Content signing.Content
}

// staged is a container in the making: data files, and what stands in META-INF.
type staged struct {
	kind  signing.Format
	files []*File
	// meta are in order; those without content are taken from the source.
	meta []metaFile
	// from is the container whose data files are copied, nil when they are written
	// already.
	from *Container
	now  time.Time
}

type metaFile struct {
	name    string
	content []byte
	zip     *archive.File
}

// stage begins a change of a container.
func (c *Container) stage(now time.Time) *staged {
	s := &staged{kind: c.Kind, files: c.Files, from: c, now: now}
	for _, f := range c.meta {
		s.meta = append(s.meta, metaFile{name: f.Name, zip: f})
	}
	return s
}

// read returns the content of a file of META-INF.
func (s *staged) read(name string) ([]byte, error) {
	for _, m := range s.meta {
		if m.name != name {
			continue
		}
		if m.content != nil {
			return m.content, nil
		}
		return m.zip.ReadAll(maxMeta)
	}
	return nil, fmt.Errorf("%w: %s", ErrNoFile, name)
}

func (s *staged) has(name string) bool {
	return slices.ContainsFunc(s.meta, func(m metaFile) bool { return archive.SameName(m.name, name) })
}

// put adds or replaces a file of META-INF.
func (s *staged) put(name string, content []byte) {
	for i := range s.meta {
		if s.meta[i].name == name {
			s.meta[i] = metaFile{name: name, content: content}
			return
		}
	}
	s.meta = append(s.meta, metaFile{name: name, content: content})
}

func (s *staged) rename(from, to string) error {
	content, err := s.read(from)
	if err != nil {
		return err
	}
	for i := range s.meta {
		if s.meta[i].name == from {
			s.meta[i] = metaFile{name: to, content: content}
		}
	}
	return nil
}

// free returns the first name of a numbered series, from 0 or 1 on, that is not
// taken.
func (s *staged) free(format string, from int) string {
	for n := from; ; n++ {
		if name := metaFolder + fmt.Sprintf(format, n); !s.has(name) {
			return name
		}
	}
}

func (s *staged) of(r role) []string {
	var names []string
	for _, m := range s.meta {
		if roleOf(m.name) == r {
			names = append(names, m.name)
		}
	}
	return names
}

// putManifest writes manifest.xml about the data files.
func (s *staged) putManifest() {
	var entries []manifestEntry
	for _, f := range s.files {
		entries = append(entries, manifestEntry{f.Name, f.MediaType})
	}
	s.put(nameManifest, writeManifest(mediaTypeE, entries))
}

// write writes the container: its type, the data files as they are in the source,
// and META-INF.
func (s *staged) write(ctx context.Context, dst io.Writer) (size int64, err error) {
	w := archive.NewWriter(dst)
	if err := writeMimetype(w, s.kind); err != nil {
		return 0, err
	}
	for _, f := range s.files {
		if err := w.Copy(ctx, f.zip); err != nil {
			return 0, fmt.Errorf("copying %q: %w", f.Name, err)
		}
	}
	err = s.finish(ctx, w)
	return w.Size(), err
}

// finish writes META-INF behind the data files.
func (s *staged) finish(ctx context.Context, w *archive.Writer) error {
	for _, m := range s.meta {
		var err error
		if m.content != nil {
			err = w.Write(m.name, s.now, m.content)
		} else {
			err = w.Copy(ctx, m.zip)
		}
		if err != nil {
			return fmt.Errorf("writing %q: %w", m.name, err)
		}
	}
	return w.Close()
}

func writeMimetype(w *archive.Writer, kind signing.Format) error {
	mediaType := mediaTypeE
	if kind == signing.ASiCS {
		mediaType = mediaTypeS
	}
	return w.Bare(nameMimetype, []byte(mediaType))
}

// checkInputs refuses names that are unsafe, misleading or not distinct, and what
// the kind of container does not hold.
func checkInputs(kind signing.Format, have []*File, inputs []Input) error {
	var names []string
	for _, f := range have {
		names = append(names, f.Name)
	}
	for _, in := range inputs {
		if err := archive.CheckName(in.Name); err != nil {
			return signing.Refuse(signing.RefusedOption, "rename the file", "%v", err)
		}
		reserved := archive.SameName(in.Name, nameMimetype) || len(in.Name) >= len(metaFolder) && archive.SameName(in.Name[:len(metaFolder)], metaFolder)
		switch {
		case archive.Misleading(in.Name):
			return signing.Refuse(signing.RefusedOption, "rename the file", "the name %+q does not show what it is", in.Name)
		case reserved:
			return signing.Refuse(signing.RefusedOption, "rename the file", "the name %+q belongs to the container", in.Name)
		case slices.ContainsFunc(names, func(n string) bool { return archive.SameName(n, in.Name) }):
			return signing.Refuse(signing.RefusedOption, "rename one of them", "two files are called %+q, or look so", in.Name)
		}
		names = append(names, in.Name)
	}
	if len(names) > archive.DefaultLimits().Entries/2 {
		return signing.Refuse(signing.RefusedOption, "put them into several containers", "%d files are too many", len(names))
	}
	if kind != signing.ASiCS {
		return nil
	}
	if len(names) != 1 {
		return signing.Refuse(signing.RefusedOption, "make an ASiC-E, or an archive of the files first", "an ASiC-S holds one file, not %d", len(names))
	}
	if bytes.ContainsRune([]byte(names[0]), '/') {
		return signing.Refuse(signing.RefusedOption, "leave the folder out of the name", "the file of an ASiC-S is in no folder")
	}
	return nil
}

// writeInput writes a file into a container and digests it on the way.
func writeInput(ctx context.Context, w *archive.Writer, in Input, hashes ...crypto.Hash) (*File, error) {
	src, err := in.Content.Open()
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", in.Name, err)
	}
	defer src.Close()
	out, err := w.Create(in.Name, in.Modified, in.Size)
	if err != nil {
		return nil, err
	}
	writers := []io.Writer{out}
	f := &File{Name: in.Name, MediaType: in.MediaType, digests: make(digests)}
	if f.MediaType == "" {
		f.MediaType = mediaTypeOf(in.Name)
	}
	sums := make(map[crypto.Hash]func() []byte)
	for _, h := range hashes {
		if sums[h] == nil {
			sum := h.New()
			writers = append(writers, sum)
			sums[h] = func() []byte { return sum.Sum(nil) }
		}
	}
	if f.Size, err = signing.Copy(ctx, io.MultiWriter(writers...), src); err != nil {
		return nil, fmt.Errorf("reading %q: %w", in.Name, err)
	}
	if err := out.Close(); err != nil {
		return nil, fmt.Errorf("writing %q: %w", in.Name, err)
	}
	for h, sum := range sums {
		f.digests[h] = sum()
	}
	return f, nil
}
