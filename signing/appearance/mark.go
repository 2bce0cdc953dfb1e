package appearance

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// Errors that a caller decides on.
var (
	// ErrTooSmall: text does not fit the rectangle even at the smallest size.
	ErrTooSmall = errors.New("the text does not fit the rectangle of the mark")
	// ErrSize: width or height is no usable length.
	ErrSize = errors.New("the rectangle of the mark has no usable size")
	// ErrTemplate: a template has a place of an unknown name, or is too long.
	ErrTemplate = errors.New("text of the mark")
	// ErrPicture: a picture is of another kind, damaged, or larger than allowed.
	ErrPicture = errors.New("picture of the mark")
	// ErrFont: a font cannot be read or must not be embedded.
	ErrFont = errors.New("font of the mark")
	// ErrEmpty: there is nothing to draw.
	ErrEmpty = errors.New("the mark is empty")
)

// MissingGlyphError is a character that no font has.
type MissingGlyphError struct{ Rune rune }

// Error names the character by its code point.
func (e *MissingGlyphError) Error() string {
	return fmt.Sprintf("no font has the character %U", e.Rune)
}

const (
	// MaxText bounds the text of a mark after its places were filled, in runes.
	MaxText = 2000
	// MaxQR bounds what a QR code holds, in bytes (version 40, level M: 2331).
	MaxQR = 1000
	// MaxSide bounds width and height, in points: the largest page of ISO 32000-1
	// Annex C.2.
	MaxSide = 14400
	// LargestText and SmallestText bound the size of text, in points.
	LargestText  = 14.0
	SmallestText = 4.0
)

// Values fill the places of a template.
type Values struct {
	Name       string // {name}: the holder
	Identifier string // {id}: the holder's number, masked
	Issuer     string // {issuer}: of the certificate
	Time       string // {time}: of signing
	Reason     string // {reason}
	Place      string // {place}
	Level      string // {level}: the baseline level that is asked for
}

func (v Values) get(place string) (string, bool) {
	switch place {
	case "name":
		return v.Name, true
	case "id":
		return v.Identifier, true
	case "issuer":
		return v.Issuer, true
	case "time":
		return v.Time, true
	case "reason":
		return v.Reason, true
	case "place":
		return v.Place, true
	case "level":
		return v.Level, true
	}
	return "", false
}

// Mark is what a visible signature shows. Text, Picture and QR may each be left
// out, but not all.
type Mark struct {
	// Text is a template: lines with places such as {name}, see Values; {{ is a
	// brace. A line whose places are all empty is left out.
	Text    string
	Values  Values
	Picture *Picture
	// QR is the template of a QR code's content.
	QR string
	// Fonts draw the text; nil means the built-in ones alone.
	Fonts *Fonts
	// Border draws a thin frame.
	Border bool
}

// expand fills a template in and returns its lines. What comes from values is
// never looked at for places.
func (m *Mark) expand(template string) ([]string, error) {
	if len(template) > 4*MaxText {
		return nil, fmt.Errorf("%w: the template is too long", ErrTemplate)
	}
	var lines []string
	total := 0
	for line := range strings.Lines(template) {
		text, keep, err := m.expandLine(strings.TrimRight(line, "\r\n"))
		if err != nil {
			return nil, err
		}
		if !keep {
			continue
		}
		if total += len([]rune(text)); total > MaxText {
			return nil, fmt.Errorf("%w: more than %d characters", ErrTemplate, MaxText)
		}
		lines = append(lines, text)
	}
	return lines, nil
}

func (m *Mark) expandLine(line string) (text string, keep bool, err error) {
	var b strings.Builder
	places, filled := 0, 0
	for line != "" {
		at := strings.IndexAny(line, "{}")
		if at < 0 {
			b.WriteString(line)
			break
		}
		b.WriteString(line[:at])
		brace, rest := line[at], line[at+1:]
		switch end := strings.IndexByte(rest, '}'); {
		case strings.HasPrefix(rest, string(brace)):
			b.WriteByte(brace)
			line = rest[1:]
		case brace == '}' || end < 0:
			return "", false, fmt.Errorf("%w: a brace without its partner; write it twice to show one", ErrTemplate)
		default:
			value, known := m.Values.get(rest[:end])
			if !known {
				return "", false, fmt.Errorf("%w: {%s} is not known; there are {name}, {id}, {issuer}, {time}, {reason}, {place} and {level}", ErrTemplate, rest[:end])
			}
			places++
			if value != "" {
				filled++
			}
			b.WriteString(value)
			line = rest[end+1:]
		}
	}
	return plain(b.String()), places == 0 || filled > 0, nil
}

// plain makes one line of text without anything that is not seen: controls, and
// the marks that turn the order of other text around (threats L-37).
func plain(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r >= 0x202A && r <= 0x202E, r >= 0x2066 && r <= 0x2069, r == 0xFEFF, unicode.IsControl(r), r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, s))
}
