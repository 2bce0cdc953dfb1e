// Package appearance draws the visible mark of a signature: text in any alphabet,
// a picture, a QR code. One layout serves two outputs, so that a preview shows
// exactly what a PDF viewer will: a form XObject (ISO 32000-2 8.10, 12.5.5) with
// the fonts it needs embedded as subsets, and a PNG.
//
// Text is shaped (ligatures, marks, joined letters), ordered from right to left
// where its alphabet asks for that, wrapped at the places that Unicode allows, and
// made smaller until it fits, down to a size that can still be read. Fonts are those
// the caller gives, then the built-in Go fonts (Latin, Greek, Cyrillic), then those
// of the system. A character that no font has is an error, not an empty box: the
// holder must see what will stand there.
//
// Outlines of the used glyphs are written into a TrueType font of our own, whatever
// the source was (glyf, CFF or a variable font), as Type0 with Identity-H and
// ToUnicode (9.7, 9.10.3). Hints are left out. A font whose licence forbids
// embedding (OS/2 fsType) is refused.
//
// Pictures are PNG and JPEG, bounded before they are decoded (threats P-51).
//
// Left out: colour fonts, vertical writing, vector pictures. Nothing of a mark is
// ever read back: who signed is in the certificate alone.
package appearance
