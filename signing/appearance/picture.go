package appearance

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"io"
	"os"
)

// Bounds of a picture (threats P-51).
const (
	MaxPictureBytes  = 5 << 20
	MaxPicturePixels = 4 << 20
)

// Picture is a decoded PNG or JPEG.
type Picture struct {
	// pixels has straight alpha.
	pixels *image.NRGBA
	opaque bool
	gray   bool
	// jpeg is the file without its metadata where it can stand in a PDF as it is
	// (DCTDecode); nil for others.
	jpeg []byte
}

// ReadPicture reads a picture file.
func ReadPicture(name string) (*Picture, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, MaxPictureBytes+1))
	if err != nil {
		return nil, err
	}
	return ParsePicture(data)
}

// ParsePicture decodes a picture after looking at its size. The error is
// ErrPicture.
func ParsePicture(data []byte) (*Picture, error) {
	if len(data) > MaxPictureBytes {
		return nil, fmt.Errorf("%w: larger than %d MiB", ErrPicture, MaxPictureBytes>>20)
	}
	isPNG := bytes.HasPrefix(data, []byte("\x89PNG\r\n\x1a\n"))
	isJPEG := bytes.HasPrefix(data, []byte{0xFF, 0xD8, 0xFF})
	if !isPNG && !isJPEG {
		return nil, fmt.Errorf("%w: neither PNG nor JPEG", ErrPicture)
	}
	config, decode := png.DecodeConfig, png.Decode
	if isJPEG {
		config, decode = jpeg.DecodeConfig, jpeg.Decode
	}
	header, err := config(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPicture, err)
	}
	if header.Width <= 0 || header.Height <= 0 || header.Width > MaxPicturePixels/header.Height {
		return nil, fmt.Errorf("%w: %d by %d pixels are more than %d million", ErrPicture, header.Width, header.Height, MaxPicturePixels>>20)
	}
	if isPNG && animated(data) {
		return nil, fmt.Errorf("%w: it is animated", ErrPicture)
	}
	decoded, err := decode(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPicture, err)
	}
	p := new(Picture)
	if isJPEG {
		stripped, orientation, ok := stripJPEG(data)
		if ok && orientation == 1 && (header.ColorModel == color.YCbCrModel || header.ColorModel == color.GrayModel) {
			p.jpeg = stripped
		}
		p.setPixels(oriented(decoded, orientation))
		p.gray = p.gray || header.ColorModel == color.GrayModel
		if p.jpeg != nil {
			p.gray = header.ColorModel == color.GrayModel
		}
		return p, nil
	}
	p.setPixels(decoded)
	return p, nil
}

// setPixels takes any image and notes what it needs of PDF.
func (p *Picture) setPixels(src image.Image) {
	b := src.Bounds()
	p.pixels = image.NewNRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	draw.Draw(p.pixels, p.pixels.Bounds(), src, b.Min, draw.Src)
	p.opaque, p.gray = true, true
	for i := 0; i < len(p.pixels.Pix); i += 4 {
		px := p.pixels.Pix[i : i+4 : i+4]
		p.opaque = p.opaque && px[3] == 0xFF
		p.gray = p.gray && px[0] == px[1] && px[1] == px[2]
	}
}

// flattened puts the pixels onto white, for files that must not hold
// transparency.
func (p *Picture) flattened() *image.NRGBA {
	if p.opaque {
		return p.pixels
	}
	out := image.NewNRGBA(p.pixels.Bounds())
	draw.Draw(out, out.Bounds(), image.White, image.Point{}, draw.Src)
	draw.Draw(out, out.Bounds(), p.pixels, image.Point{}, draw.Over)
	return out
}

// animated finds the chunk acTL of PNG (third edition, 11.3.6.1), which stands
// before the pixels.
func animated(data []byte) bool {
	for at := 8; at+8 <= len(data); {
		kind := string(data[at+4 : at+8])
		if kind == "acTL" {
			return true
		}
		if kind == "IDAT" {
			return false
		}
		at += 12 + int(binary.BigEndian.Uint32(data[at:]))
	}
	return false
}

// stripJPEG keeps what decodes a JPEG and drops the rest: EXIF tells places and
// devices, which have no business in a signed document. It also returns the
// orientation that EXIF gives, 1 to 8. ok is false for a structure that it does not
// follow (ISO/IEC 10918-1 Annex B).
func stripJPEG(data []byte) (out []byte, orientation int, ok bool) {
	orientation = 1
	out = append(out, 0xFF, 0xD8)
	for at := 2; at+4 <= len(data); {
		if data[at] != 0xFF {
			return nil, orientation, false
		}
		marker := data[at+1]
		if marker == 0xFF { // fill byte
			at++
			continue
		}
		length := int(binary.BigEndian.Uint16(data[at+2:]))
		end := at + 2 + length
		if length < 2 || end > len(data) {
			return nil, orientation, false
		}
		switch segment := data[at:end]; {
		case marker == 0xDA: // start of scan: the rest is data
			return append(out, data[at:]...), orientation, true
		case marker == 0xE1:
			if o := exifOrientation(segment[4:]); o != 0 {
				orientation = o
			}
		case marker == 0xEE, marker < 0xE0: // Adobe's, and tables and frames
			out = append(out, segment...)
		case marker > 0xEF && marker != 0xFE:
			return nil, orientation, false
		}
		at = end
	}
	return nil, orientation, false
}

// exifOrientation reads tag 0x0112 of the first directory (Exif 2.32, 4.6.4), 0 when
// it is not there.
func exifOrientation(b []byte) int {
	if !bytes.HasPrefix(b, []byte("Exif\x00\x00")) || len(b) < 14 {
		return 0
	}
	b = b[6:]
	var order binary.ByteOrder = binary.BigEndian
	if b[0] == 'I' {
		order = binary.LittleEndian
	}
	at := int64(order.Uint32(b[4:]))
	if at+2 > int64(len(b)) {
		return 0
	}
	entries := int64(order.Uint16(b[at:]))
	for i := range entries {
		e := at + 2 + 12*i
		if e+12 > int64(len(b)) {
			return 0
		}
		if order.Uint16(b[e:]) == 0x0112 {
			if v := int(order.Uint16(b[e+8:])); v >= 1 && v <= 8 {
				return v
			}
			return 0
		}
	}
	return 0
}

// oriented turns a picture upright.
func oriented(src image.Image, orientation int) image.Image {
	if orientation == 1 {
		return src
	}
	b := src.Bounds()
	w, h := b.Dx(), b.Dy()
	dw, dh := w, h
	if orientation >= 5 {
		dw, dh = h, w
	}
	out := image.NewNRGBA(image.Rect(0, 0, dw, dh))
	for y := range dh {
		for x := range dw {
			var sx, sy int
			switch orientation {
			case 2:
				sx, sy = w-1-x, y
			case 3:
				sx, sy = w-1-x, h-1-y
			case 4:
				sx, sy = x, h-1-y
			case 5:
				sx, sy = y, x
			case 6:
				sx, sy = y, h-1-x
			case 7:
				sx, sy = w-1-y, h-1-x
			case 8:
				sx, sy = w-1-y, x
			}
			out.Set(x, y, src.At(b.Min.X+sx, b.Min.Y+sy))
		}
	}
	return out
}
