package asic

import (
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/archive"
)

// Container is an opened container. It is safe for reading from one goroutine.
type Container struct {
	// Kind is signing.ASiCE or signing.ASiCS.
	Kind signing.Format
	// Files are the data files.
	Files []*File
	// Warnings are departures that do not make it unclear what is signed.
	Warnings []signing.Finding

	zip      *archive.Reader
	meta     []*archive.File // of META-INF
	manifest *manifest       // manifest.xml, nil without one
	size     int64
	shape    error // why an ASiC-S holds something else than one file
}

// File is a data file of a container.
type File struct {
	Name string
	// MediaType is the one of manifest.xml, else the one of its name.
	MediaType string
	Size      int64 // bytes

	zip     *archive.File
	digests digests
}

// Open returns the content. It serves signing.Content.
func (f *File) Open() (io.ReadCloser, error) { return f.zip.Open() }

// Codes of findings about containers.
const (
	findMimetype   = "container_mimetype"
	findManifest   = "container_manifest"
	findUnsigned   = "unsigned_file"
	findMisleading = "misleading_name"
	findReference  = "container_reference"
	findMediaType  = "media_type"
)

// Open reads what is in a container of size bytes, without its data files. Errors
// match those of this package or of package archive.
func Open(ctx context.Context, src io.ReaderAt, size int64, l archive.Limits) (*Container, error) {
	zip, err := archive.Open(src, size, l)
	if err != nil {
		return nil, err
	}
	c := &Container{zip: zip, size: size}
	if err := c.sort(); err != nil {
		return nil, err
	}
	if err := c.readKind(); err != nil {
		return nil, err
	}
	if err := c.readManifest(); err != nil {
		return nil, err
	}
	if c.Kind == signing.ASiCS {
		c.shape = c.checkSingle()
		if c.shape != nil && !c.hasSignatures() {
			return nil, c.shape
		}
	}
	return c, ctx.Err()
}

// sort tells data files from those of META-INF.
func (c *Container) sort() error {
	var total int64
	for _, f := range c.zip.Files {
		switch {
		case f.Name == nameMimetype:
		case strings.HasPrefix(f.Name, metaFolder):
			if total += f.Size; f.Size > maxMeta || total > maxMetaTotal {
				return fmt.Errorf("%w: %q has %d bytes", archive.ErrLimit, f.Name, f.Size)
			}
			c.meta = append(c.meta, f)
		default:
			c.Files = append(c.Files, &File{Name: f.Name, Size: f.Size, MediaType: mediaTypeOf(f.Name), zip: f})
			if archive.Misleading(f.Name) {
				c.warn(findMisleading, "the name %+q is not what it looks like", f.Name)
			}
		}
	}
	return nil
}

func (c *Container) warn(code, format string, args ...any) {
	c.Warnings = append(c.Warnings, signing.Finding{Code: code, Text: fmt.Sprintf(format, args...)})
}

// readKind reads the media type, which may also stand in the comment of the
// archive or be missing (EN 319 162-1 A.1).
func (c *Container) readKind() error {
	i := slices.IndexFunc(c.zip.Files, func(f *archive.File) bool { return f.Name == nameMimetype })
	if i < 0 {
		c.warn(findMimetype, "the container does not say its type")
		return c.guessKind()
	}
	f := c.zip.Files[i]
	const longest = 128
	raw, err := f.ReadAll(longest)
	if err != nil {
		return err
	}
	if i > 0 || f.Method != archive.Stored || f.HasExtra || f.HasDescriptor {
		c.warn(findMimetype, "the type of the container is not the first thing in it, plainly written")
	}
	text := strings.TrimSpace(string(raw))
	if text != string(raw) {
		c.warn(findMimetype, "the type of the container has blanks around it")
	}
	switch text {
	case mediaTypeE:
		c.Kind = signing.ASiCE
	case mediaTypeS:
		c.Kind = signing.ASiCS
	default:
		return fmt.Errorf("%w: its type is %+q", ErrNotContainer, text)
	}
	return nil
}

func (c *Container) guessKind() error {
	switch comment := strings.TrimSpace(strings.TrimPrefix(c.zip.Comment, "mimetype=")); {
	case comment == mediaTypeE:
		c.Kind = signing.ASiCE
	case comment == mediaTypeS:
		c.Kind = signing.ASiCS
	case c.metaFile(nameSignatureS) != nil || c.metaFile(nameTimestampS) != nil,
		c.metaFile(nameSignaturesS) != nil && c.metaFile(nameManifest) == nil:
		c.Kind = signing.ASiCS
	case c.hasSignatures():
		c.Kind = signing.ASiCE
	default:
		return fmt.Errorf("%w: it has neither a type nor signatures", ErrNotContainer)
	}
	return nil
}

func (c *Container) metaFile(name string) *archive.File {
	for _, f := range c.meta {
		if f.Name == name {
			return f
		}
	}
	return nil
}

// checkSingle demands exactly one data file, in the root (EN 319 162-1 4.3.1).
func (c *Container) checkSingle() error {
	if len(c.Files) > 1 {
		return fmt.Errorf("%w: an ASiC-S holds one file, and this one holds %d", ErrFormat, len(c.Files))
	}
	for _, f := range c.Files {
		if strings.Contains(f.Name, "/") {
			return fmt.Errorf("%w: the file of an ASiC-S is in a folder", ErrFormat)
		}
	}
	return nil
}

// role says what a file of META-INF is for.
type role int

const (
	roleOther role = iota
	roleXAdES
	roleCAdES
	roleToken
	roleManifest // ASiCManifest
	roleArchive  // ASiCArchiveManifest
)

// roleOf goes by the name (EN 319 162-1 4.4.1 to 4.4.4, A.7).
func roleOf(name string) role {
	base := strings.ToLower(strings.TrimPrefix(name, metaFolder))
	xml := strings.HasSuffix(base, ".xml")
	switch {
	case xml && strings.Contains(base, "asicarchivemanifest"):
		return roleArchive
	case xml && strings.Contains(base, "asicmanifest"):
		return roleManifest
	case xml && strings.Contains(base, "signature"): // the standard has "signatures"; some write one
		return roleXAdES
	case strings.HasSuffix(base, ".p7s") && strings.Contains(base, "signature"):
		return roleCAdES
	case strings.HasSuffix(base, ".tst") && strings.Contains(base, "timestamp"):
		return roleToken
	}
	return roleOther
}

func (c *Container) metaOf(r role) []*archive.File {
	var all []*archive.File
	for _, f := range c.meta {
		if roleOf(f.Name) == r {
			all = append(all, f)
		}
	}
	return all
}

func (c *Container) hasSignatures() bool {
	return len(c.metaOf(roleXAdES))+len(c.metaOf(roleCAdES)) > 0
}

// SignatureFiles are the names of the files that hold signatures or time-stamps.
func (c *Container) SignatureFiles() []string {
	var names []string
	for _, f := range c.meta {
		if r := roleOf(f.Name); r == roleXAdES || r == roleCAdES || r == roleToken {
			names = append(names, f.Name)
		}
	}
	return names
}

// CAdES tells whether the signatures of the container are CAdES.
func (c *Container) CAdES() bool { return len(c.metaOf(roleCAdES)) > 0 }

// File returns a data file by its name, nil without one.
func (c *Container) File(name string) *File {
	for _, f := range c.Files {
		if f.Name == name {
			return f
		}
	}
	return nil
}

// find returns a file of the container, whatever it is for.
func (c *Container) find(name string) *archive.File {
	for _, f := range c.zip.Files {
		if f.Name == name {
			return f
		}
	}
	return nil
}

// mediaTypeOf guesses from a name what a file holds.
func mediaTypeOf(name string) string {
	types := map[string]string{
		".txt": "text/plain", ".xml": "text/xml", ".html": "text/html", ".htm": "text/html", ".csv": "text/csv", ".json": "application/json",
		".pdf": "application/pdf", ".zip": "application/zip", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png",
		".gif": "image/gif", ".svg": "image/svg+xml", ".tif": "image/tiff", ".tiff": "image/tiff", ".mp4": "video/mp4",
		".doc":  "application/msword",
		".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
		".xls":  "application/vnd.ms-excel",
		".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
		".ppt":  "application/vnd.ms-powerpoint",
		".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
		".odt":  "application/vnd.oasis.opendocument.text",
		".ods":  "application/vnd.oasis.opendocument.spreadsheet",
		".odp":  "application/vnd.oasis.opendocument.presentation",
		".rtf":  "application/rtf", ".eml": "message/rfc822", ".ddoc": "application/x-ddoc",
		".asice": mediaTypeE, ".sce": mediaTypeE, ".bdoc": mediaTypeE, ".asics": mediaTypeS, ".scs": mediaTypeS,
	}
	if t, ok := types[strings.ToLower(path.Ext(name))]; ok {
		return t
	}
	return "application/octet-stream"
}
