package localapi

import (
	json "encoding/json/v2"
	"unicode/utf8"

	"github.com/eidbridge/eidbridge/signing/appearance"
	"github.com/eidbridge/eidbridge/signing/pades"
)

// wishVisible is a mark on a page. rect has left, bottom, right and top in points on
// the page as it is displayed.
type wishVisible struct {
	Page int       `json:"page"`
	Rect []float64 `json:"rect"`
	Text string    `json:"text"`
}

// defaultMark is what a mark says when a page says nothing: it has no words, so that
// it needs no language.
const defaultMark = "{name}\n{id}\n{issuer}\n{time}"

// visible reads the mark; nil without one (threats P-50).
func (o *wishOutput) visible() (*pades.Visible, error) {
	if !given(o.Visible) {
		return nil, nil //nolint:nilnil // a hidden signature is no error
	}
	var w wishVisible
	if err := json.Unmarshal(o.Visible, &w, json.RejectUnknownMembers(true)); err != nil {
		return nil, invalid("visible is not the object that is expected.")
	}
	if w.Page < 1 || w.Page > maxPage {
		return nil, invalid("visible.page counts from 1.")
	}
	if len(w.Rect) != 4 {
		return nil, invalid("visible.rect has four numbers.")
	}
	for _, v := range w.Rect {
		if v < 0 || v > appearance.MaxSide {
			return nil, invalid("visible.rect is not on a page.")
		}
	}
	x, y, width, height := w.Rect[0], w.Rect[1], w.Rect[2]-w.Rect[0], w.Rect[3]-w.Rect[1]
	if width <= 0 || height <= 0 {
		return nil, invalid("visible.rect is left, bottom, right, top.")
	}
	if utf8.RuneCountInString(w.Text) > maxMark {
		return nil, invalid("visible.text is too long.")
	}
	if w.Text == "" {
		w.Text = defaultMark
	}
	return &pades.Visible{
		Mark:   appearance.Mark{Text: w.Text, Border: true},
		Places: []pades.Place{{Page: w.Page, X: x, Y: y, Width: width, Height: height}},
	}, nil
}
