package pdf_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing/pdf"
)

func TestViewsOfPages(t *testing.T) {
	file := pdfs.Views()
	doc, err := pdf.Open(context.Background(), bytes.NewReader(file), int64(len(file)), pdf.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want := []pdf.PageView{
		{Width: 400, Height: 300, Unit: 1},
		{Width: 400, Height: 300, Rotation: 90, Unit: 1},
		{Width: 400, Height: 300, Rotation: 180, Unit: 1},
		{Width: 400, Height: 300, Rotation: 270, Unit: 1},
		{X: 20, Y: 30, Width: 400, Height: 300, Unit: 1},
		{X: 20, Y: 30, Width: 400, Height: 300, Rotation: 90, Unit: 1},
		{Width: 200, Height: 150, Unit: 2},
	}
	n := 0
	if err := doc.WalkPages(func(p pdf.Page) bool {
		got, err := doc.View(p)
		if err != nil || got != want[n] || p.Number != n+1 {
			t.Errorf("page %d: %+v, %v, want %+v", p.Number, got, err, want[n])
		}
		n++
		return n < len(want)
	}); err != nil || n != len(want) {
		t.Errorf("%d pages, %v", n, err)
	}
}
