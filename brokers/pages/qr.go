package pages

import (
	"bytes"
	"fmt"
	"io"

	"github.com/boombuler/barcode/qr"
)

// maxQR bounds the content of a code, in bytes.
const maxQR = 1024

// QR draws a code with error correction low as SVG, with the quiet zone of four
// modules that ISO/IEC 18004 asks for.
func QR(w io.Writer, content string) error {
	if len(content) > maxQR {
		return fmt.Errorf("content of a code is longer than %d bytes", maxQR)
	}
	code, err := qr.Encode(content, qr.L, qr.Auto)
	if err != nil {
		return fmt.Errorf("encoding code: %w", err)
	}
	const quiet = 4
	var out bytes.Buffer
	size := code.Bounds().Dx()
	side := size + 2*quiet
	black := func(x, y int) bool {
		r, _, _, _ := code.At(x, y).RGBA()
		return r == 0
	}
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" shape-rendering="crispEdges"><path fill="#fff" d="M0 0h%dv%dH0z"/><path d="`, side, side, side, side)
	for y := range size {
		for x := 0; x < size; x++ {
			from := x
			for x < size && black(x, y) {
				x++
			}
			if x > from {
				fmt.Fprintf(&out, "M%d %dh%dv1h-%dz", from+quiet, y+quiet, x-from, x-from)
			}
		}
	}
	out.WriteString(`"/></svg>`)
	_, err = w.Write(out.Bytes())
	return err
}
