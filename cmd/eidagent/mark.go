package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/desktop"
	"github.com/eidbridge/eidbridge/signing/appearance"
	"github.com/eidbridge/eidbridge/signing/pades"
)

// marking are the options of a signature that shows on pages.
type marking struct {
	Mark        bool     `help:"Let the signature show on a page. Every option that begins with --mark does so, too."`
	MarkText    *string  `name:"mark-text" placeholder:"TEMPLATE" help:"What the mark says: text with {name}, {id}, {issuer}, {time}, {reason}, {place}, {level}; \\n begins a line."`
	MarkPicture string   `name:"mark-picture" placeholder:"FILE" help:"PNG or JPEG to show in the mark."`
	MarkQR      string   `name:"mark-qr" placeholder:"TEMPLATE" help:"Content of a QR code in the mark, with the places of --mark-text."`
	MarkFont    []string `name:"mark-font" sep:"none" placeholder:"FILE" help:"TrueType or OpenType font for the mark (may be repeated; default: a built-in one, then those of the system)."`
	MarkPage    string   `name:"mark-page" placeholder:"PAGES" help:"Pages of the mark: first, last, all, or numbers such as 1,3,-2 (default: last)."`
	MarkAt      string   `name:"mark-at" placeholder:"PLACE" help:"Corner such as top-left, or X,Y of the lower left corner on the page as it is shown, in points or with mm, cm, in (default: bottom-right)."`
	MarkSize    string   `name:"mark-size" placeholder:"WxH" help:"Width and height of the mark, such as 70mmx25mm (default: 200x64 points)."`
	MarkFrame   bool     `name:"mark-frame" default:"true" negatable:"" help:"Frame around the mark (default: yes)."`
	MarkAside   bool     `name:"mark-aside" help:"In a PDF that is signed already, keep the mark out of the structure for screen readers, whose growth some programs count as a change of what was signed. PDF/UA demands it in there."`
	Field       string   `placeholder:"NAME" help:"Form field to sign: an empty signature field, or the name of a new one."`
	Preview     string   `placeholder:"FILE" help:"Draw the mark into this PNG file and sign nothing. No PIN is asked for."`
}

func (m *marking) wanted() bool {
	return m.Mark || m.MarkText != nil || m.MarkPicture != "" || m.MarkQR != "" || len(m.MarkFont) > 0 ||
		m.MarkPage != "" || m.MarkAt != "" || m.MarkSize != "" || m.MarkAside || m.Preview != ""
}

// visible reads the options; nil without a mark. template is the text for a mark of
// which nothing else is said.
func (m *marking) visible(p *program, template func() (string, error)) (*pades.Visible, error) {
	if !m.wanted() {
		return nil, nil //nolint:nilnil // a hidden signature is no error
	}
	places, err := m.places()
	if err != nil {
		return nil, err
	}
	v := &pades.Visible{Places: places, LeaveStructure: m.MarkAside, Mark: appearance.Mark{QR: strings.ReplaceAll(m.MarkQR, `\n`, "\n"), Border: m.MarkFrame}}
	if m.MarkText != nil {
		v.Mark.Text = strings.ReplaceAll(*m.MarkText, `\n`, "\n")
	} else if v.Mark.Text, err = template(); err != nil {
		return nil, err
	}
	if m.MarkPicture != "" {
		if v.Mark.Picture, err = appearance.ReadPicture(m.MarkPicture); err != nil {
			return nil, badOption("--mark-picture", err)
		}
	}
	var fonts [][]byte
	for _, name := range m.MarkFont {
		data, err := appearance.ReadFont(name)
		if err != nil {
			return nil, badOption("--mark-font", err)
		}
		fonts = append(fonts, data)
	}
	if v.Mark.Fonts, err = appearance.NewFonts(fonts...); err != nil {
		return nil, badOption("--mark-font", err)
	}
	if cache, err := p.cacheDir(); err == nil {
		v.Mark.Fonts.UseSystem(cache)
	}
	return v, nil
}

func badOption(option string, err error) error {
	return &problem{exit: exitUsage, message: option + ": " + err.Error()}
}

// cacheDir is where the index of the system's fonts lies (XDG Base Directory
// Specification, XDG_CACHE_HOME).
func (p *program) cacheDir() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(base, "eidbridge")
	return dir, os.MkdirAll(dir, 0o700)
}

// places is empty when nothing was said of them: then an empty field of the document
// may have one.
func (m *marking) places() ([]pades.Place, error) {
	if m.MarkPage == "" && m.MarkAt == "" && m.MarkSize == "" {
		return nil, nil
	}
	at := pades.Place{Corner: pades.BottomRight, Width: pades.DefaultMarkWidth, Height: pades.DefaultMarkHeight}
	if m.MarkSize != "" {
		w, h, ok := strings.Cut(strings.ToLower(m.MarkSize), "x")
		if !ok || !length(w, &at.Width) || !length(h, &at.Height) || at.Width <= 0 || at.Height <= 0 {
			return nil, &problem{exit: exitUsage, message: fmt.Sprintf("--mark-size %q is no size", m.MarkSize), hints: []string{
				"Example: --mark-size 200x64, or --mark-size 70mmx25mm",
			}}
		}
	}
	switch corner := pades.Corner(m.MarkAt); corner {
	case "":
	case pades.BottomRight, pades.BottomLeft, pades.TopRight, pades.TopLeft:
		at.Corner = corner
	default:
		at.Corner = ""
		x, y, ok := strings.Cut(m.MarkAt, ",")
		if !ok || !length(x, &at.X) || !length(y, &at.Y) {
			return nil, &problem{exit: exitUsage, message: fmt.Sprintf("--mark-at %q is no place", m.MarkAt), hints: []string{
				"It is bottom-right, bottom-left, top-right, top-left, or X,Y such as 30mm,20mm from the lower left corner.",
			}}
		}
	}
	var places []pades.Place
	for word := range strings.SplitSeq(strings.ToLower(m.MarkPage), ",") {
		switch word {
		case "", "last":
			at.Page = pades.LastPage
		case "first":
			at.Page = 1
		case "all":
			at.Page = pades.AllPages
		default:
			n, err := strconv.Atoi(word)
			if err != nil || n == 0 {
				return nil, &problem{exit: exitUsage, message: fmt.Sprintf("--mark-page %q names no pages", m.MarkPage), hints: []string{
					"Example: --mark-page last, --mark-page all, or --mark-page 1,3,-2 (the last but one).",
				}}
			}
			at.Page = n
		}
		places = append(places, at)
	}
	return places, nil
}

// length reads a length in points, or with a unit.
func length(text string, points *float64) bool {
	text = strings.TrimSpace(text)
	factor := 1.0
	for unit, size := range map[string]float64{"pt": 1, "mm": 72 / 25.4, "cm": 720 / 25.4, "in": 72} {
		if number, ok := strings.CutSuffix(text, unit); ok {
			text, factor = number, size
			break
		}
	}
	v, err := strconv.ParseFloat(text, 64)
	*points = v * factor
	return err == nil
}

// previewResolution is in dots an inch.
const previewResolution = 144

// preview draws the mark of the first file and signs nothing.
func (c *signCommand) preview(p *program, file string, f desktop.FileOptions, source cardreader.Source, wanted cardreader.Selection, output desktop.Output) error {
	if info, err := os.Stat(file); len(c.Files) > 1 || err == nil && info.IsDir() {
		return &problem{exit: exitUsage, message: "--preview takes one PDF"}
	}
	if info, err := os.Stat(c.Preview); err == nil && info.IsDir() {
		return &problem{exit: exitUsage, message: "--preview " + c.Preview + " is a folder", hints: []string{"Name the PNG file to write."}}
	}
	if _, err := os.Lstat(c.Preview); err == nil && !c.Force {
		return &problem{exit: exitOther, message: "the preview file exists already", hints: []string{
			"Name another one, or let it be replaced with --force.",
		}}
	}
	wanted.Usage = cardreader.UsageSignature
	found, err := source.Find(p.ctx, wanted)
	if err != nil {
		return err
	}
	drawing, err := desktop.PreviewMark(p.ctx, file, f, found.Credential.Certificate, output)
	if err != nil {
		return err
	}
	out, err := os.OpenFile(c.Preview, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := drawing.WritePNG(out, previewResolution); err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.stdout, c.Preview)
	return err
}
