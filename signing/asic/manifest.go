package asic

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/eidbridge/eidbridge/signing/archive"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// namespaceManifest is that of manifest.xml (OpenDocument 1.2 part 3, 3.2).
const namespaceManifest = "urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"

// manifest is META-INF/manifest.xml.
type manifest struct {
	mediaType string // of the container, the entry "/"
	entries   []manifestEntry
}

type manifestEntry struct{ name, mediaType string }

// metaLimits bound the XML of META-INF.
func metaLimits() xmltext.Options {
	return xmltext.Options{Limits: xmltext.Limits{Size: maxMeta, Elements: 4 * maxReferences, Depth: 32}}
}

// readManifest reads manifest.xml and compares it with what is there.
func (c *Container) readManifest() error {
	f := c.metaFile(nameManifest)
	if f == nil {
		return nil
	}
	raw, err := f.ReadAll(maxMeta)
	if err != nil {
		return err
	}
	m, err := parseManifest(raw)
	if err != nil {
		return err
	}
	c.manifest = m
	if m.mediaType != "" && m.mediaType != mediaTypeE && m.mediaType != mediaTypeS {
		c.warn(findManifest, "the manifest gives the container the type %+q", m.mediaType)
	}
	for _, e := range m.entries {
		if file := c.File(e.name); file != nil {
			if e.mediaType != "" {
				file.MediaType = e.mediaType
			}
			continue
		}
		if !strings.HasPrefix(e.name, metaFolder) && e.name != nameMimetype && !strings.HasSuffix(e.name, "/") {
			c.warn(findManifest, "the manifest lists %+q, which is not there", e.name)
		}
	}
	for _, file := range c.Files {
		if !slices.ContainsFunc(m.entries, func(e manifestEntry) bool { return e.name == file.Name }) {
			c.warn(findManifest, "the manifest does not list %+q", file.Name)
		}
	}
	return nil
}

// lists tells whether the manifest lists any data file.
func (m *manifest) lists() bool {
	return m != nil && slices.ContainsFunc(m.entries, func(e manifestEntry) bool {
		return !strings.HasPrefix(e.name, metaFolder) && e.name != nameMimetype && !strings.HasSuffix(e.name, "/")
	})
}

func parseManifest(raw []byte) (*manifest, error) {
	m := new(manifest)
	seen := make(map[string]bool)
	r := xmltext.NewReader(bytes.NewReader(raw), metaLimits())
	for {
		t, err := r.Next()
		if errors.Is(err, io.EOF) {
			return m, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: manifest.xml: %w", ErrFormat, err)
		}
		if t.Kind != xmltext.StartElement || !t.Name.Is(namespaceManifest, "file-entry") {
			continue
		}
		path, ok := t.Attr(namespaceManifest, "full-path")
		if !ok {
			return nil, fmt.Errorf("%w: manifest.xml has an entry without a name", ErrFormat)
		}
		mediaType, _ := t.Attr(namespaceManifest, "media-type")
		name := string(path)
		if seen[name] {
			return nil, fmt.Errorf("%w: manifest.xml lists %+q twice", ErrFormat, name)
		}
		seen[name] = true
		if name == "/" {
			m.mediaType = string(mediaType)
			continue
		}
		if err := archive.CheckName(name); err != nil {
			return nil, fmt.Errorf("manifest.xml: %w", err)
		}
		if len(m.entries) == maxReferences {
			return nil, fmt.Errorf("%w: manifest.xml", archive.ErrLimit)
		}
		m.entries = append(m.entries, manifestEntry{name, string(mediaType)})
	}
}

// writeManifest makes manifest.xml.
func writeManifest(containerType string, entries []manifestEntry) []byte {
	var b bytes.Buffer
	b.WriteString(`<?xml version="1.0" encoding="UTF-8" standalone="no"?>` + "\n")
	b.WriteString(`<manifest:manifest xmlns:manifest="` + namespaceManifest + `" manifest:version="1.2">` + "\n")
	entry := func(name, mediaType string) {
		b.WriteString(`  <manifest:file-entry manifest:full-path="`)
		writeAttribute(&b, name)
		b.WriteString(`" manifest:media-type="`)
		writeAttribute(&b, mediaType)
		b.WriteString(`"/>` + "\n")
	}
	entry("/", containerType)
	for _, e := range entries {
		entry(e.name, e.mediaType)
	}
	b.WriteString(`</manifest:manifest>` + "\n")
	return b.Bytes()
}

func writeAttribute(b *bytes.Buffer, value string) {
	_ = xml.EscapeText(b, []byte(value)) // a Buffer does not fail
}
