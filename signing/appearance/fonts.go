package appearance

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"os"
	"slices"
	"unicode"

	"github.com/go-text/typesetting/font"
	"github.com/go-text/typesetting/font/opentype"
	"github.com/go-text/typesetting/fontscan"
	"github.com/go-text/typesetting/language"
	"golang.org/x/image/font/gofont/goregular"
)

// maxFont bounds a font file, in bytes. The largest fonts of East Asian scripts are
// below it.
const maxFont = 64 << 20

// Fonts finds a font for every character: given ones first, in their order, then
// the built-in one, then those of the system when it was asked for. It is not safe
// for concurrent use.
type Fonts struct {
	faces  []*font.Face
	system *fontscan.FontMap
	// found holds faces of the system that may be embedded, and those that may
	// not as nil.
	found map[*font.Font]*font.Face
	// cache is the folder of the index of system fonts; empty where none is used.
	cache string
	// missing is the first character that no font has.
	missing rune
	script  language.Script
}

// NewFonts returns the given fonts, TrueType or OpenType each, and the built-in
// one behind them. The error is ErrFont.
func NewFonts(given ...[]byte) (*Fonts, error) {
	f := &Fonts{found: make(map[*font.Font]*font.Face)}
	for _, data := range append(slices.Clone(given), goregular.TTF) {
		face, err := parseFont(data)
		if err != nil {
			return nil, err
		}
		f.faces = append(f.faces, face)
	}
	return f, nil
}

// ReadFont reads a font file for NewFonts.
func ReadFont(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFont+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFont {
		return nil, fmt.Errorf("%w: the file is larger than %d MiB", ErrFont, maxFont>>20)
	}
	return data, nil
}

// UseSystem lets characters that no other font has be looked for in the fonts of
// the system. The index of these is kept in the folder cache; it is made when it is
// needed for the first time.
func (f *Fonts) UseSystem(cache string) { f.cache = cache }

// parseFont reads the first font of a file. The parser is not ours and the file may
// be anything, so a panic in it is an error here.
func parseFont(data []byte) (face *font.Face, err error) {
	defer func() {
		if r := recover(); r != nil {
			face, err = nil, fmt.Errorf("%w: the file is damaged", ErrFont)
		}
	}()
	loaders, err := opentype.NewLoaders(bytes.NewReader(data))
	if err != nil || len(loaders) == 0 {
		return nil, fmt.Errorf("%w: no TrueType or OpenType font", ErrFont)
	}
	if !embeddable(loaders[0]) {
		return nil, fmt.Errorf("%w: its licence does not allow it to be embedded in documents", ErrFont)
	}
	parsed, err := font.NewFont(loaders[0])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFont, err)
	}
	if upem := parsed.Upem(); upem < 16 || upem > 16384 {
		return nil, fmt.Errorf("%w: %d units per em", ErrFont, upem)
	}
	return font.NewFace(parsed), nil
}

// embeddable reads fsType of OS/2 (OpenType specification 1.9.1): restricted
// licence embedding, or bitmaps alone, rules us out; a subset must be allowed.
func embeddable(l *opentype.Loader) bool {
	table, err := l.RawTable(opentype.MustNewTag("OS/2"))
	if err != nil || len(table) < 10 {
		return true
	}
	const usage, restricted, noSubset, bitmapsOnly = 0x000F, 0x0002, 0x0100, 0x0200
	kind := binary.BigEndian.Uint16(table[8:])
	return kind&usage != restricted && kind&(noSubset|bitmapsOnly) == 0
}

// SetScript implements shaping.FontmapScript.
func (f *Fonts) SetScript(s language.Script) { f.script = s }

// ResolveFace implements shaping.Fontmap. A character that is nowhere is noted.
func (f *Fonts) ResolveFace(r rune) *font.Face {
	for _, face := range f.faces {
		if _, ok := face.NominalGlyph(r); ok {
			return face
		}
	}
	if invisible(r) {
		return f.faces[0]
	}
	if face := f.fromSystem(r); face != nil {
		return face
	}
	if f.missing == 0 {
		f.missing = r
	}
	return f.faces[0]
}

// invisible characters steer shaping and need no glyph of their own.
func invisible(r rune) bool {
	return r == 0x034F || r >= 0x200B && r <= 0x200F || unicode.Is(unicode.Variation_Selector, r) || r == 0x00AD || r == 0x2060
}

func (f *Fonts) fromSystem(r rune) *font.Face {
	if f.cache == "" {
		return nil
	}
	if f.system == nil {
		f.system = fontscan.NewFontMap(log.New(io.Discard, "", 0))
		if err := f.system.UseSystemFonts(f.cache); err != nil {
			f.cache = "" // a system without fonts is one whose characters are missing
			return nil
		}
		f.system.SetQuery(fontscan.Query{Families: []string{fontscan.SansSerif}})
	}
	f.system.SetScript(f.script)
	face := f.system.ResolveFace(r)
	if face == nil {
		return nil
	}
	if _, ok := face.NominalGlyph(r); !ok {
		return nil
	}
	if own, seen := f.found[face.Font]; seen {
		return own
	}
	f.found[face.Font] = nil
	if location := f.system.FontLocation(face.Font); location.File != "" && fileEmbeddable(location) {
		f.found[face.Font] = face
	}
	return f.found[face.Font]
}

func fileEmbeddable(location fontscan.Location) bool {
	file, err := os.Open(location.File)
	if err != nil {
		return false
	}
	defer file.Close()
	loaders, err := opentype.NewLoaders(file)
	return err == nil && int(location.Index) < len(loaders) && embeddable(loaders[location.Index])
}
