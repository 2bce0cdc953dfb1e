package pdf

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/ascii85"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/image/tiff/lzw"
)

// streamFile is a file whose object 1 is a stream.
func streamFile(dict string, data []byte) []byte {
	var out bytes.Buffer
	out.WriteString("%PDF-1.7\n")
	at := out.Len()
	fmt.Fprintf(&out, "1 0 obj\n<< %s /Length %d >>\nstream\n", dict, len(data))
	out.Write(data)
	out.WriteString("\nendstream\nendobj\n")
	table := out.Len()
	fmt.Fprintf(&out, "xref\n0 2\n0000000000 65535 f \n%010d 00000 n \ntrailer\n<< /Size 2 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", at, table)
	return out.Bytes()
}

func decodeStream(t testing.TB, dict string, data []byte) ([]byte, error) {
	t.Helper()
	d := open(t, streamFile(dict, data))
	object, err := d.Object(Ref{Number: 1})
	if err != nil {
		return nil, err
	}
	return d.Content(object)
}

// lzwEncode writes codes without compressing: a clear code now and then keeps them
// nine bits wide.
func lzwEncode(data []byte) []byte {
	var out []byte
	var bits, have uint
	put := func(code uint) {
		bits, have = bits<<9|code, have+9
		for have >= 8 {
			out = append(out, byte(bits>>(have-8)))
			have -= 8
		}
	}
	for i, b := range data {
		if i%200 == 0 {
			put(lzwClear)
		}
		put(uint(b))
	}
	put(lzwEnd)
	if have > 0 {
		out = append(out, byte(bits<<(8-have)))
	}
	return out
}

func deflated(t testing.TB, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// runLength writes runs of the same byte.
func runLength(b byte, n int) []byte {
	var out []byte
	for ; n > 0; n -= 128 {
		out = append(out, byte(257-min(n, 128)), b)
	}
	return append(out, 128)
}

func encode85(data []byte) []byte {
	out := make([]byte, ascii85.MaxEncodedLen(len(data)))
	return append(out[:ascii85.Encode(out, data)], "~>"...)
}

func TestFiltersDecode(t *testing.T) {
	text := []byte(strings.Repeat("All that is signed must be read. ", 40))
	// What ISO 32000-2 7.4.4.2 has as its example.
	example, err := hex.DecodeString("800B6050220C0C8501")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, dict string
		data, want []byte
	}{
		{"flate", "/Filter /FlateDecode", deflated(t, text), text},
		{"LZW of the standard", "/Filter /LZWDecode", example, []byte{45, 45, 45, 45, 45, 65, 45, 45, 45, 66}},
		{"LZW", "/Filter /LZWDecode", lzwEncode(text), text},
		{"hexadecimal", "/Filter /ASCIIHexDecode", []byte(hex.EncodeToString(text) + ">"), text},
		{"base 85", "/Filter /ASCII85Decode", encode85(text), text},
		{"run length", "/Filter /RunLengthDecode", append([]byte{2, 'a', 'b', 'c'}, runLength('d', 300)...), append([]byte("abc"), bytes.Repeat([]byte("d"), 300)...)},
		{"two filters", "/Filter [/ASCII85Decode /FlateDecode]", encode85(deflated(t, text)), text},
		{"TIFF prediction", "/Filter /FlateDecode /DecodeParms << /Predictor 2 /Columns 4 >>", deflated(t, []byte{1, 1, 1, 1, 5, 0, 0, 1}), []byte{1, 2, 3, 4, 5, 5, 5, 6}},
		{"nothing in it", "/Filter /LZWDecode", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := decodeStream(t, c.dict, c.data)
			if err != nil || !bytes.Equal(got, c.want) {
				t.Errorf("got %q %v, want %q", got, err, c.want)
			}
		})
	}
}

// TestLZWReadsWhatOthersWrite compares with the decoder of golang.org/x/image over
// data that is no text.
func TestLZWReadsWhatOthersWrite(t *testing.T) {
	state := uint32(1)
	for range 200 {
		data := make([]byte, 400)
		for i := range data {
			state = state*1664525 + 1013904223
			data[i] = byte(state >> 24)
		}
		data[0], data[1] = 0x80, data[1]&0x7F // begins with a clear code and a byte
		want, wantErr := io.ReadAll(lzw.NewReader(bytes.NewReader(data), lzw.MSB, 8))
		got, gotErr := io.ReadAll(newLZWReader(bytes.NewReader(data), 1))
		if wantErr == nil && (gotErr != nil || !bytes.Equal(got, want)) {
			t.Fatalf("%x: got %d bytes %v, want %d", data, len(got), gotErr, len(want))
		}
	}
}

// TestBombsAreStopped (P-68): by ratio and total, before memory follows.
func TestBombsAreStopped(t *testing.T) {
	zeros := make([]byte, 60<<20)
	once := deflated(t, zeros)
	lzwBomb := func() []byte { // the longest entries, again and again
		var out []byte
		var bits, have uint
		put := func(code, width uint) {
			bits, have = bits<<width|code, have+width
			for have >= 8 {
				out = append(out, byte(bits>>(have-8)))
				have -= 8
			}
		}
		put(lzwClear, 9)
		put(0, 9)
		next, width := uint(lzwEnd+1), uint(9)
		for range 30_000 {
			code := next
			if next >= 4095 {
				code = 4094
			}
			put(code, width)
			if next < 4095 {
				next++
				if next+1 == 1<<width && width < 12 {
					width++
				}
			}
		}
		return out
	}()
	for _, c := range []struct {
		name, dict string
		data       []byte
	}{
		{"flate", "/Filter /FlateDecode", once},
		{"flate ten times", "/Filter [" + strings.Repeat("/FlateDecode ", 10) + "]", once},
		{"flate four times", "/Filter [" + strings.Repeat("/FlateDecode ", 4) + "]", deflated(t, deflated(t, deflated(t, once)))},
		{"LZW", "/Filter /LZWDecode", lzwBomb},
		{"run length", "/Filter /RunLengthDecode", runLength(0, 40<<20)},
		{"base 85 and flate", "/Filter [/ASCII85Decode /FlateDecode]", encode85(once)},
		{"columns 2^31", "/Filter /FlateDecode /DecodeParms << /Predictor 12 /Columns 2147483648 >>", once},
		{"columns 0", "/Filter /FlateDecode /DecodeParms << /Predictor 12 /Columns 0 >>", once},
		{"JBIG2", "/Filter /JBIG2Decode", []byte("x")},
		{"DCT", "/Filter /DCTDecode", []byte("x")},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := streamFile(c.dict, c.data)
			d := open(t, file)
			object, err := d.Object(Ref{Number: 1})
			if err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err = d.Content(object)
			runtime.ReadMemStats(&after)
			var limit *LimitError
			var format *FormatError
			if !errors.As(err, &limit) && !errors.As(err, &format) {
				t.Errorf("got %v", err)
			}
			if used := int64(after.TotalAlloc - before.TotalAlloc); used > 192<<20 { // doubling buffers allocate what they hold several times
				t.Errorf("allocated %d MiB", used>>20)
			}
		})
	}
}

// FuzzFilters decodes anything in any filter: within the limits, and with errors
// that a caller can decide on (P-80).
func FuzzFilters(f *testing.F) {
	for i, data := range [][]byte{
		deflated(f, []byte("text")), lzwEncode([]byte("text")), []byte("74657874>"), encode85([]byte("text")), runLength('x', 9),
	} {
		f.Add(uint8(i), uint8(0), uint16(4), data)
	}
	names := []string{"FlateDecode", "LZWDecode", "ASCIIHexDecode", "ASCII85Decode", "RunLengthDecode"}
	f.Fuzz(func(t *testing.T, filter, predictor uint8, columns uint16, data []byte) {
		dict := fmt.Sprintf("/Filter [/%s /%s] /DecodeParms [<< /Predictor %d /Columns %d /Colors 2 >> null]",
			names[int(filter)%len(names)], names[int(filter/16)%len(names)], predictor%20, columns)
		file := streamFile(dict, data)
		d, err := Open(context.Background(), bytes.NewReader(file), int64(len(file)), Limits{StreamBytes: 1 << 20, InflateRatio: 50})
		if err != nil {
			return // the data looks like the end of a file
		}
		object, err := d.Object(Ref{Number: 1})
		if err != nil {
			return
		}
		out, err := d.Content(object)
		var limit *LimitError
		var format *FormatError
		if err != nil && !errors.As(err, &limit) && !errors.As(err, &format) && !errors.Is(err, ErrMissing) && !errors.Is(err, ErrEncrypted) {
			t.Fatalf("%v", err)
		}
		if len(out) > 11<<20 {
			t.Fatalf("%d bytes", len(out))
		}
	})
}

// FuzzXRef reads a cross-reference stream with any rows and any entries (P-80).
func FuzzXRef(f *testing.F) {
	f.Add("/Size 3 /W [1 2 1] /Index [1 2]", []byte{1, 0, 9, 0, 2, 0, 1, 0})
	f.Add("/Size 8 /W [1 4 2]", bytes.Repeat([]byte{1, 0, 0, 0, 9, 0, 0}, 8))
	f.Add("/Size 3 /W [0 2 0] /Prev 9", []byte{0, 9, 0, 9})
	f.Fuzz(func(t *testing.T, dict string, rows []byte) {
		var out bytes.Buffer
		fmt.Fprintf(&out, "%%PDF-1.7\n9 0 obj\n<< /Type /XRef /Root 1 0 R %s /Length %d >>\nstream\n", dict, len(rows))
		out.Write(rows)
		fmt.Fprintf(&out, "\nendstream\nendobj\nstartxref\n9\n%%%%EOF\n")
		if err := readEverything(out.Bytes(), Limits{}); err != nil && !decided(err) {
			t.Fatalf("%v", err)
		}
	})
}

// FuzzTable reads a cross-reference table with any lines (P-80).
func FuzzTable(f *testing.F) {
	f.Add("0 2\n0000000000 65535 f \n0000000009 00000 n \n", "/Size 2 /Root 1 0 R")
	f.Add("1 1\n0000000000 65535 f\n", "/Size 2 /Root 1 0 R /Prev 9")
	f.Fuzz(func(t *testing.T, lines, trailer string) {
		var out bytes.Buffer
		out.WriteString("%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\n")
		at := out.Len()
		fmt.Fprintf(&out, "xref\n%strailer\n<< %s >>\nstartxref\n%d\n%%%%EOF\n", lines, trailer, at)
		if err := readEverything(out.Bytes(), Limits{}); err != nil && !decided(err) {
			t.Fatalf("%v", err)
		}
	})
}

// FuzzObjectStream reads every object of a stream with any header and content
// (P-80).
func FuzzObjectStream(f *testing.F) {
	f.Add("/N 2 /First 8", []byte("1 0 2 3 <<>> [1 0 R]"))
	f.Add("/N 1 /First 4 /Extends 5 0 R", []byte("1 0 <<>>"))
	f.Fuzz(func(t *testing.T, dict string, data []byte) {
		var out bytes.Buffer
		out.WriteString("%PDF-1.7\n")
		fmt.Fprintf(&out, "5 0 obj\n<< /Type /ObjStm %s /Length %d >>\nstream\n", dict, len(data))
		out.Write(data)
		out.WriteString("\nendstream\nendobj\n")
		at := out.Len()
		rows := []byte{2, 0, 5, 0, 2, 0, 5, 1, 2, 0, 5, 2, 1, 0, 9, 0}
		fmt.Fprintf(&out, "9 0 obj\n<< /Type /XRef /Root 1 0 R /Size 10 /W [1 2 1] /Index [1 3 5 1] /Length %d >>\nstream\n", len(rows))
		out.Write(rows)
		fmt.Fprintf(&out, "\nendstream\nendobj\nstartxref\n%d\n%%%%EOF\n", at)
		if err := readEverything(out.Bytes(), Limits{}); err != nil && !decided(err) {
			t.Fatalf("%v", err)
		}
	})
}

// FuzzRebuild puts files together that have lost their tables (P-80).
func FuzzRebuild(f *testing.F) {
	f.Add([]byte("%PDF-1.7\n1 0 obj << /Type /Catalog /Pages 2 0 R >> endobj 2 0 obj [] endobj trailer << /Root 1 0 R >>"))
	f.Add([]byte("%PDF-1.7\n1 0 obj << /Length 9 >> stream\n2 0 obj\nendstream endobj"))
	f.Fuzz(func(t *testing.T, file []byte) {
		d, err := Rebuild(context.Background(), bytes.NewReader(file), int64(len(file)), Limits{}, nil)
		if err != nil {
			var ambiguous *AmbiguousError
			if !decided(err) && !errors.As(err, &ambiguous) {
				t.Fatalf("%v", err)
			}
			return
		}
		u, err := d.NewUpdate()
		if err != nil {
			return
		}
		u.Put(u.Reserve(), []byte("(added)"))
		tail, err := u.Bytes()
		if err != nil {
			return
		}
		whole := append(bytes.Clone(file), tail...)
		if _, err := Open(context.Background(), bytes.NewReader(whole), int64(len(whole)), Limits{}); err != nil && !errors.As(err, new(*LimitError)) {
			t.Fatalf("own output is refused: %v", err)
		}
	})
}

// decided tells whether a caller can decide on an error.
func decided(err error) bool {
	return errors.Is(err, ErrNotPDF) || errors.Is(err, ErrMissing) || errors.Is(err, ErrEncrypted) ||
		errors.As(err, new(*FormatError)) || errors.As(err, new(*LimitError))
}
