package pdf

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"encoding/ascii85"
	"errors"
	"fmt"
	"io"
)

// maxRow bounds one row of predictor data, in bytes.
const maxRow = 64 << 10

// open returns the decoded data of a stream that carries structure. Reading is
// bounded by the ratio and the budgets of the limits.
func (d *Document) open(object Indirect) (io.Reader, error) {
	filters, parms, err := d.filters(object.Value)
	if err != nil {
		return nil, err
	}
	r, err := d.decrypted(object)
	if err != nil {
		return nil, err
	}
	for i, name := range filters {
		if r, err = d.decoder(object, r, name, parms[i]); err != nil {
			return nil, err
		}
	}
	most := min(d.limits.StreamBytes, max(1<<20, object.length*d.limits.InflateRatio))
	return &meter{r: &damage{r: r, d: d, object: object}, d: d, left: most, most: most}, nil
}

// decrypted returns the data of a stream before its filters.
func (d *Document) decrypted(object Indirect) (io.Reader, error) {
	if d.Locked() && object.Value.Get("Type").Name() != "XRef" {
		return nil, ErrEncrypted
	}
	r := bufio.NewReaderSize(d.raw(object), int(min(16<<10, max(16, object.length))))
	k := d.crypt.object(object.Ref)
	if k == nil || k.crypt.streamMethod(object.Value) == methodIdentity {
		return r, nil
	}
	if object.length > d.limits.StreamBytes {
		return nil, &LimitError{What: "bytes of an encrypted stream", Limit: d.limits.StreamBytes}
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	if data, err = k.decrypt(k.crypt.streamMethod(object.Value), data); err != nil {
		return nil, malformed(object.Value.Offset(), "stream %d: %v", object.Ref.Number, err)
	}
	return bytes.NewReader(data), nil
}

// filters returns the filter names of a stream with their parameters.
func (d *Document) filters(dict Object) (names []string, parms []Object, err error) {
	filter, err := d.direct(dict, "Filter")
	if err != nil {
		return nil, nil, err
	}
	parm, err := d.direct(dict, "DecodeParms")
	if err != nil {
		return nil, nil, err
	}
	switch filter.Kind() {
	case Null:
		return nil, nil, nil
	case Name:
		if items := parm.Items(); len(items) == 1 {
			parm = items[0]
		}
		return []string{filter.Name()}, []Object{parm}, nil
	case Array:
	default:
		return nil, nil, malformed(dict.Offset(), "/Filter is neither name nor array")
	}
	if len(filter.Items()) > d.limits.Filters {
		return nil, nil, &LimitError{What: "filters of one stream", Limit: int64(d.limits.Filters)}
	}
	for i, item := range filter.Items() {
		p := Object{}
		if i < len(parm.Items()) {
			p = parm.Items()[i]
		}
		names, parms = append(names, item.Name()), append(parms, p)
	}
	return names, parms, nil
}

// direct returns an entry that must not need an object stream to be read, since
// it is what opens one.
func (d *Document) direct(dict Object, key string) (Object, error) {
	v := dict.Get(key)
	ref, ok := v.Ref()
	if !ok {
		return v, nil
	}
	e, found := d.lookup(ref.Number)
	if !found {
		return Object{}, nil
	}
	if e.kind != entryInUse {
		return Object{}, malformed(dict.Offset(), "/%s of a structural stream lies in an object stream", key)
	}
	target, err := d.Object(ref)
	return target.Value, err
}

func (d *Document) decoder(object Indirect, r io.Reader, name string, parms Object) (io.Reader, error) {
	switch name {
	case "FlateDecode", "Fl":
		z, err := zlib.NewReader(r)
		if err != nil {
			return nil, d.damaged(object, err)
		}
		return d.predictor(&damage{r: z, d: d, object: object}, parms)
	case "ASCIIHexDecode", "AHx":
		return &hexReader{r: bufio.NewReader(r)}, nil
	case "ASCII85Decode", "A85":
		return &damage{r: ascii85.NewDecoder(&until85{r: bufio.NewReader(r)}), d: d, object: object}, nil
	case "LZWDecode", "LZW":
		early, err := parameter(parms, "EarlyChange", 1, 1)
		if v, ok := parms.Get("EarlyChange").Int(); ok && v == 0 {
			early, err = 0, nil
		}
		if err != nil {
			return nil, err
		}
		return d.predictor(&damage{r: newLZWReader(r, early), d: d, object: object}, parms)
	case "RunLengthDecode", "RL":
		return &damage{r: &runLengthReader{r: bufio.NewReader(r)}, d: d, object: object}, nil
	case "Crypt":
		return r, nil
	default:
		return nil, malformed(object.Value.Offset(), "structural stream with filter %q", name)
	}
}

func (d *Document) damaged(object Indirect, err error) error {
	var limit *LimitError
	var format *FormatError
	if errors.As(err, &limit) || errors.As(err, &format) || d.src.ctx.Err() != nil {
		return err
	}
	return malformed(object.data, "stream %d does not decode: %v", object.Ref.Number, err)
}

// damage turns errors of a decoder into a FormatError.
type damage struct {
	r      io.Reader
	d      *Document
	object Indirect
}

func (r *damage) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = r.d.damaged(r.object, err)
	}
	return n, err
}

// meter stops a stream that grows beyond its budget.
type meter struct {
	r          io.Reader
	d          *Document
	left, most int64
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.left -= int64(n)
	m.d.src.inflated += int64(n)
	if m.left < 0 {
		return 0, &LimitError{What: "bytes a stream inflates to", Limit: m.most}
	}
	if m.d.src.inflated > m.d.limits.InflateBytes {
		return 0, &LimitError{What: "bytes inflated in one document", Limit: m.d.limits.InflateBytes}
	}
	return n, err
}

// predictor undoes PNG and TIFF prediction (7.4.4.4).
func (d *Document) predictor(r io.Reader, parms Object) (io.Reader, error) {
	kind, err := parameter(parms, "Predictor", 1, 15)
	if err != nil || kind == 1 {
		return r, err
	}
	colors, err1 := parameter(parms, "Colors", 1, 32)
	bits, err2 := parameter(parms, "BitsPerComponent", 8, 16)
	columns, err3 := parameter(parms, "Columns", 1, maxRow)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	row := (colors*bits*columns + 7) / 8
	if row > maxRow {
		return nil, &LimitError{What: "bytes of a predictor row", Limit: maxRow}
	}
	if kind == 2 && bits == 8 {
		return &tiffReader{r: r, colors: colors, row: make([]byte, row)}, nil
	}
	if kind < 10 {
		return nil, malformed(parms.Offset(), "unknown predictor %d", kind)
	}
	return &pngReader{
		r:     r,
		pixel: max(1, colors*bits/8),
		row:   make([]byte, row+1),
		prior: make([]byte, row),
	}, nil
}

func parameter(parms Object, key string, standard, most int) (int, error) {
	v := parms.Get(key)
	if v.IsNull() {
		return standard, nil
	}
	n, ok := v.Int()
	if !ok || n < 1 || n > int64(most) {
		return 0, malformed(v.Offset(), "decode parameter /%s is not between 1 and %d", key, most)
	}
	return int(n), nil
}

// pngReader undoes the filters of PNG (RFC 2083 section 6).
type pngReader struct {
	r     io.Reader
	pixel int // bytes
	row   []byte
	prior []byte
	ready []byte
}

func (p *pngReader) Read(out []byte) (int, error) {
	for len(p.ready) == 0 {
		n, err := io.ReadFull(p.r, p.row)
		if errors.Is(err, io.ErrUnexpectedEOF) && n > 1 {
			clear(p.row[n:])
			err = nil
		}
		if err != nil {
			return 0, err
		}
		if err := p.undo(); err != nil {
			return 0, err
		}
		copy(p.prior, p.row[1:])
		p.ready = p.prior[:max(0, n-1)]
	}
	n := copy(out, p.ready)
	p.ready = p.ready[n:]
	return n, nil
}

func (p *pngReader) undo() error {
	line := p.row[1:]
	left := func(b []byte, i int) byte {
		if i < p.pixel {
			return 0
		}
		return b[i-p.pixel]
	}
	switch p.row[0] {
	case 0:
	case 1:
		for i := range line {
			line[i] += left(line, i)
		}
	case 2:
		for i := range line {
			line[i] += p.prior[i]
		}
	case 3:
		for i := range line {
			line[i] += byte((int(left(line, i)) + int(p.prior[i])) / 2)
		}
	case 4:
		for i := range line {
			line[i] += paeth(left(line, i), p.prior[i], left(p.prior, i))
		}
	default:
		return malformed(-1, "unknown PNG filter %d", p.row[0])
	}
	return nil
}

func paeth(a, b, c byte) byte {
	estimate := int64(a) + int64(b) - int64(c)
	pa, pb, pc := abs(estimate-int64(a)), abs(estimate-int64(b)), abs(estimate-int64(c))
	switch {
	case pa <= pb && pa <= pc:
		return a
	case pb <= pc:
		return b
	default:
		return c
	}
}

// hexReader decodes ASCIIHexDecode (7.4.2).
type hexReader struct {
	r    *bufio.Reader
	done bool
}

func (h *hexReader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) && !h.done {
		high, err := h.digit()
		if err != nil {
			return n, err
		}
		if high < 0 {
			break
		}
		low, err := h.digit()
		if err != nil {
			return n, err
		}
		p[n] = byte(high<<4 | max(0, low))
		n++
	}
	if n == 0 && h.done {
		return 0, io.EOF
	}
	return n, nil
}

func (h *hexReader) digit() (int, error) {
	for {
		c, err := h.r.ReadByte()
		if errors.Is(err, io.EOF) || err == nil && c == '>' {
			h.done = true
			return -1, nil
		}
		if err != nil {
			return 0, err
		}
		if isSpace(c) {
			continue
		}
		if v := hexDigit(c); v >= 0 {
			return v, nil
		}
		return 0, malformed(-1, "byte %#02x in hexadecimal data", c)
	}
}

// until85 ends ASCII85 data at "~>" (7.4.3).
type until85 struct {
	r    *bufio.Reader
	done bool
}

func (u *until85) Read(p []byte) (int, error) {
	for n := range p {
		c, err := u.r.ReadByte()
		if u.done || err == nil && c == '~' {
			u.done = true
			err = io.EOF
		}
		if err != nil {
			return n, err
		}
		p[n] = c
	}
	return len(p), nil
}

// readAll returns the decoded data of a structural stream.
func (d *Document) readAll(object Indirect) ([]byte, error) {
	r, err := d.open(object)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("stream %d: %w", object.Ref.Number, err)
	}
	return data, nil
}

// Content returns the decoded data of a stream, within the limits of structural
// streams.
func (d *Document) Content(object Indirect) ([]byte, error) {
	if !object.Stream() {
		return nil, malformed(object.Offset(), "object %d is no stream", object.Ref.Number)
	}
	return d.readAll(object)
}
