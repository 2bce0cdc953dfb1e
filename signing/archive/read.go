package archive

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Method is how a file is compressed.
type Method uint16

// The methods that are read and written.
const (
	Stored   Method = 0
	Deflated Method = 8
)

// Reader is an archive whose structure has been checked.
type Reader struct {
	// Files are in the order of their bytes; folders are left out.
	Files []*File
	// Comment is that of the whole archive.
	Comment string
	src     io.ReaderAt
}

// File is one file of an archive.
type File struct {
	Name     string
	Method   Method
	Modified time.Time // to two seconds, in no zone
	// Size is the inflated size, Compressed the one in the archive; bytes.
	Size, Compressed int64
	CRC32            uint32
	// HasExtra and HasDescriptor tell about the header before the file, which the
	// first file of a container must do without.
	HasExtra, HasDescriptor bool

	src   io.ReaderAt
	at    int64 // of the compressed bytes
	begin int64 // of the header
	flags uint16
}

// Signatures and sizes of records (APPNOTE 4.3).
const (
	localSignature      = 0x04034b50
	descriptorSignature = 0x08074b50
	directorySignature  = 0x02014b50
	endSignature        = 0x06054b50
	end64Signature      = 0x06064b50
	locator64Signature  = 0x07064b50
	localSize           = 30
	directorySize       = 46
	endSize             = 22
	end64Size           = 56
	locator64Size       = 20
)

// Bits of the general purpose flags (APPNOTE 4.4.4).
const (
	flagEncrypted       = 1 << 0
	flagDescriptor      = 1 << 3
	flagPatched         = 1 << 5
	flagStrongEncrypted = 1 << 6
	flagUTF8            = 1 << 11
	flagMasked          = 1 << 13
)

func formatError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
}

func ambiguous(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrAmbiguous, fmt.Sprintf(format, args...))
}

func limitError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrLimit, fmt.Sprintf(format, args...))
}

// Open reads the structure of an archive of size bytes. Errors match ErrFormat,
// ErrLimit, ErrName, ErrEncrypted or ErrAmbiguous, or are those of src.
func Open(src io.ReaderAt, size int64, l Limits) (*Reader, error) {
	l = l.complete()
	d, err := findDirectory(src, size)
	if err != nil {
		return nil, err
	}
	if d.entries > uint64(l.Entries) || d.size > d.entries*maxDirectory {
		return nil, limitError("%d entries in %d bytes of directory", d.entries, d.size)
	}
	raw := make([]byte, d.size)
	if err := readFull(src, raw, int64(d.at)); err != nil {
		return nil, err
	}
	r := &Reader{Comment: d.comment, src: src}
	var all []*File
	for range d.entries {
		f, rest, err := parseEntry(raw)
		if err != nil {
			return nil, err
		}
		raw, f.src = rest, src
		all = append(all, f)
	}
	if len(raw) > 0 {
		return nil, ambiguous("the directory holds more than it says")
	}
	if err := checkSizes(all, l); err != nil {
		return nil, err
	}
	if err := checkPlaces(src, all, int64(d.at)); err != nil {
		return nil, err
	}
	if err := checkDistinct(all); err != nil {
		return nil, err
	}
	for _, f := range all {
		if !strings.HasSuffix(f.Name, "/") {
			r.Files = append(r.Files, f)
		} else if f.Size > 0 {
			return nil, formatError("a folder with content")
		}
	}
	return r, nil
}

// readFull reads len(p) bytes at an offset.
func readFull(src io.ReaderAt, p []byte, at int64) error {
	if at < 0 {
		return formatError("offset")
	}
	n, err := src.ReadAt(p, at)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return formatError("it ends too early")
	}
	return err
}

// directory is what the end of an archive says.
type directory struct {
	at, size, entries uint64
	comment           string
}

// findDirectory reads the end-of-central-directory record, which must be the last
// thing in the file, and the one of ZIP64 before it.
func findDirectory(src io.ReaderAt, size int64) (*directory, error) {
	tail := make([]byte, min(size, endSize+0xFFFF))
	if size < endSize {
		return nil, formatError("%d bytes", size)
	}
	if err := readFull(src, tail, size-int64(len(tail))); err != nil {
		return nil, err
	}
	found := -1
	for i := len(tail) - endSize; i >= 0; i-- {
		if binary.LittleEndian.Uint32(tail[i:]) == endSignature &&
			int(binary.LittleEndian.Uint16(tail[i+20:])) == len(tail)-i-endSize {
			found = i
			break
		}
	}
	if found < 0 {
		return nil, formatError("no directory at its end")
	}
	end := tail[found:]
	u16 := func(at int) uint64 { return uint64(binary.LittleEndian.Uint16(end[at:])) }
	u32 := func(at int) uint64 { return uint64(binary.LittleEndian.Uint32(end[at:])) }
	d := directory{entries: u16(10), size: u32(12), at: u32(16), comment: string(end[endSize:])}
	endAt := size - int64(len(end))
	if u16(4) != 0 && u16(4) != 0xFFFF || u16(6) != 0 && u16(6) != 0xFFFF || u16(8) != u16(10) {
		return nil, formatError("it is in several parts")
	}
	last := endAt
	if d.entries == 0xFFFF || d.size == 0xFFFFFFFF || d.at == 0xFFFFFFFF {
		var err error
		if last, err = d.read64(src, endAt); err != nil {
			return nil, err
		}
	}
	if d.at > uint64(last) || d.size != uint64(last)-d.at {
		return nil, ambiguous("the directory does not end where the archive ends")
	}
	return &d, nil
}

// read64 replaces the values by those of ZIP64 (APPNOTE 4.3.14) and returns where
// its records begin.
func (d *directory) read64(src io.ReaderAt, endAt int64) (int64, error) {
	locator := make([]byte, locator64Size)
	if err := readFull(src, locator, endAt-locator64Size); err != nil {
		return 0, err
	}
	if binary.LittleEndian.Uint32(locator) != locator64Signature {
		return endAt, nil // the values are real ones
	}
	at := int64(binary.LittleEndian.Uint64(locator[8:]))
	if at < 0 || at != endAt-locator64Size-end64Size {
		return 0, formatError("ZIP64 directory out of place")
	}
	record := make([]byte, end64Size)
	if err := readFull(src, record, at); err != nil {
		return 0, err
	}
	u64 := func(at int) uint64 { return binary.LittleEndian.Uint64(record[at:]) }
	if binary.LittleEndian.Uint32(record) != end64Signature || u64(4) != end64Size-12 || u64(24) != u64(32) ||
		binary.LittleEndian.Uint32(record[16:]) != 0 || binary.LittleEndian.Uint32(record[20:]) != 0 {
		return 0, formatError("ZIP64 directory")
	}
	for _, v := range []struct {
		have  *uint64
		mark  uint64
		value uint64
	}{{&d.entries, 0xFFFF, u64(32)}, {&d.size, 0xFFFFFFFF, u64(40)}, {&d.at, 0xFFFFFFFF, u64(48)}} {
		if *v.have != v.mark && *v.have != v.value {
			return 0, ambiguous("two directories")
		}
		*v.have = v.value
	}
	return at, nil
}

// parseEntry reads one header of the central directory (APPNOTE 4.3.12).
func parseEntry(raw []byte) (f *File, rest []byte, err error) {
	if len(raw) < directorySize || binary.LittleEndian.Uint32(raw) != directorySignature {
		return nil, nil, formatError("directory")
	}
	u16 := func(at int) int { return int(binary.LittleEndian.Uint16(raw[at:])) }
	u32 := func(at int) uint64 { return uint64(binary.LittleEndian.Uint32(raw[at:])) }
	nameLength, extraLength, commentLength := u16(28), u16(30), u16(32)
	length := directorySize + nameLength + extraLength + commentLength
	if length > len(raw) {
		return nil, nil, formatError("directory")
	}
	f = &File{
		Name: string(raw[directorySize : directorySize+nameLength]), Method: Method(u16(10)), flags: uint16(u16(8)),
		Modified: dosTime(u16(14), u16(12)), CRC32: uint32(u32(16)),
	}
	sizes := [3]uint64{u32(24), u32(20), u32(42)} // inflated, compressed, offset
	extra := raw[directorySize+nameLength : directorySize+nameLength+extraLength]
	if err := read64Sizes(&sizes, extra); err != nil {
		return nil, nil, err
	}
	for _, s := range sizes {
		if s > 1<<62 {
			return nil, nil, limitError("size of %d bytes", s)
		}
	}
	f.Size, f.Compressed, f.begin = int64(sizes[0]), int64(sizes[1]), int64(sizes[2])
	if u16(34) != 0 && u16(34) != 0xFFFF {
		return nil, nil, formatError("it is in several parts")
	}
	return f, raw[length:], f.check(u16(4)>>8, u32(38))
}

// read64Sizes takes values that do not fit from the ZIP64 extra field
// (APPNOTE 4.5.3).
func read64Sizes(sizes *[3]uint64, extra []byte) error {
	seen := false
	for len(extra) >= 4 {
		id, length := binary.LittleEndian.Uint16(extra), int(binary.LittleEndian.Uint16(extra[2:]))
		if length > len(extra)-4 {
			return formatError("extra field")
		}
		field := extra[4 : 4+length]
		extra = extra[4+length:]
		if id != 1 {
			continue
		}
		if seen {
			return ambiguous("two ZIP64 fields")
		}
		seen = true
		for i := range sizes {
			if sizes[i] != 0xFFFFFFFF {
				continue
			}
			if len(field) < 8 {
				return formatError("ZIP64 field")
			}
			sizes[i], field = binary.LittleEndian.Uint64(field), field[8:]
		}
	}
	return nil
}

// check refuses kinds of entries that no container holds. The upper byte of
// version-made-by says whose attributes the external ones are.
func (f *File) check(system int, attributes uint64) error {
	switch {
	case f.flags&(flagEncrypted|flagStrongEncrypted|flagMasked) != 0:
		return ErrEncrypted
	case f.flags&flagPatched != 0, f.Method != Stored && f.Method != Deflated:
		return formatError("%s is compressed in a way that is not read", quoted(f.Name))
	case f.Method == Stored && f.Size != f.Compressed:
		return ambiguous("%s has two sizes", quoted(f.Name))
	}
	const unix, darwin = 3, 19
	if kind := attributes >> 16 & 0o170000; (system == unix || system == darwin) && kind != 0 && kind != 0o100000 && kind != 0o040000 {
		return fmt.Errorf("%w: %s is a link or a device", ErrName, quoted(f.Name))
	}
	return CheckName(f.Name)
}

// CheckName refuses names that are unsafe to put into a file system or to show:
// absolute ones, those that lead upwards, and those with characters that cannot
// be seen. The error matches ErrName.
func CheckName(name string) error {
	refuse := func(why string) error { return fmt.Errorf("%w: %s %s", ErrName, quoted(name), why) }
	path := strings.TrimSuffix(name, "/")
	switch {
	case path == "":
		return refuse("is empty")
	case len(name) > maxName:
		return fmt.Errorf("%w: %s is longer than %d bytes", ErrName, quoted(name[:40]), maxName)
	case !utf8.ValidString(name):
		return refuse("is not UTF-8")
	case strings.ContainsAny(name, "\\:") && (strings.Contains(name, "\\") || len(name) > 1 && name[1] == ':'):
		return refuse("is written for another system")
	case !fs.ValidPath(path) || path == ".":
		return refuse("leads out of its folder")
	}
	for _, r := range name {
		if r < ' ' || r == 0x7F || r >= 0x80 && r < 0xA0 {
			return refuse("holds control characters")
		}
	}
	return nil
}

// Misleading tells whether a name holds characters that change the order in which
// it is read, or that have no width.
func Misleading(name string) bool {
	return strings.ContainsFunc(name, func(r rune) bool {
		return r >= 0x200B && r <= 0x200F || r >= 0x2028 && r <= 0x202E || r >= 0x2060 && r <= 0x206F || r == 0xFEFF || r == 0x00AD || r == 0x061C
	})
}

func quoted(name string) string {
	if len(name) > 80 {
		name = name[:80]
	}
	return fmt.Sprintf("%+q", name)
}

func checkSizes(all []*File, l Limits) error {
	var total int64
	for _, f := range all {
		if f.Size > l.File || f.Size > l.Total-total {
			return limitError("%s inflates to %d bytes", quoted(f.Name), f.Size)
		}
		total += f.Size
		if f.Size > l.FreeSize && f.Size/l.Ratio > f.Compressed {
			return limitError("%s inflates to more than %d times its size", quoted(f.Name), l.Ratio)
		}
	}
	return nil
}

// checkPlaces compares the headers before the files with the directory, and
// demands that the files lie one behind the other from the first byte on.
func checkPlaces(src io.ReaderAt, all []*File, directory int64) error {
	slices.SortStableFunc(all, func(a, b *File) int { return cmp.Compare(a.begin, b.begin) })
	at := int64(0)
	for i, f := range all {
		gap := f.begin - at
		switch {
		case gap < 0:
			return ambiguous("%s overlaps another file", quoted(f.Name))
		case i == 0 && gap > 0:
			return ambiguous("something stands before the first file")
		case i > 0 && (gap > maxGap || gap > 0 && !all[i-1].HasDescriptor):
			return ambiguous("something unlisted stands before %s", quoted(f.Name))
		case i > 0 && gap > 0:
			if err := all[i-1].readDescriptor(src, gap); err != nil {
				return err
			}
		}
		if err := f.readLocal(src); err != nil {
			return err
		}
		if at = f.at + f.Compressed; at < f.at || at > directory {
			return ambiguous("%s reaches into the directory", quoted(f.Name))
		}
	}
	if gap := directory - at; gap > maxGap || gap > 0 && (len(all) == 0 || !all[len(all)-1].HasDescriptor) {
		return ambiguous("something unlisted stands before the directory")
	} else if gap > 0 {
		return all[len(all)-1].readDescriptor(src, gap)
	}
	return nil
}

// readDescriptor compares what stands behind a file with the directory (APPNOTE
// 4.3.9): checksum and sizes of 4 or 8 bytes, with a signature before them or not.
func (f *File) readDescriptor(src io.ReaderAt, length int64) error {
	b := make([]byte, length) // at most maxGap
	if err := readFull(src, b, f.at+f.Compressed); err != nil {
		return err
	}
	if length == 16 || length == 24 {
		if binary.LittleEndian.Uint32(b) != descriptorSignature {
			return ambiguous("something unlisted stands behind %s", quoted(f.Name))
		}
		b = b[4:]
	}
	var packed, size uint64
	switch len(b) {
	case 12:
		packed, size = uint64(binary.LittleEndian.Uint32(b[4:])), uint64(binary.LittleEndian.Uint32(b[8:]))
	case 20:
		packed, size = binary.LittleEndian.Uint64(b[4:]), binary.LittleEndian.Uint64(b[12:])
	default:
		return ambiguous("something unlisted stands behind %s", quoted(f.Name))
	}
	if binary.LittleEndian.Uint32(b) != f.CRC32 || packed != uint64(f.Compressed) || size != uint64(f.Size) {
		return ambiguous("what stands behind %s and the directory differ about it", quoted(f.Name))
	}
	return nil
}

// readLocal reads the header before a file (APPNOTE 4.3.7).
func (f *File) readLocal(src io.ReaderAt) error {
	var head [localSize]byte
	if err := readFull(src, head[:], f.begin); err != nil {
		return err
	}
	u16 := func(at int) int { return int(binary.LittleEndian.Uint16(head[at:])) }
	u32 := func(at int) uint64 { return uint64(binary.LittleEndian.Uint32(head[at:])) }
	if binary.LittleEndian.Uint32(head[:]) != localSignature {
		return ambiguous("%s is not where the directory says", quoted(f.Name))
	}
	variable := make([]byte, u16(26)+u16(28))
	if err := readFull(src, variable, f.begin+localSize); err != nil {
		return err
	}
	name, extra := variable[:u16(26)], variable[u16(26):]
	flags := uint16(u16(6))
	f.HasExtra, f.HasDescriptor = len(extra) > 0, flags&flagDescriptor != 0
	f.at = f.begin + localSize + int64(len(variable))
	const same = flagEncrypted | flagStrongEncrypted | flagMasked | flagDescriptor
	if string(name) != f.Name || Method(u16(8)) != f.Method || flags&same != f.flags&same {
		return ambiguous("header and directory differ about %s", quoted(f.Name))
	}
	sizes := [3]uint64{u32(22), u32(18), 0}
	if err := read64Sizes(&sizes, extra); err != nil {
		return err
	}
	agree := uint32(u32(14)) == f.CRC32 && int64(sizes[0]) == f.Size && int64(sizes[1]) == f.Compressed
	if f.HasDescriptor {
		// The values follow the file; zeros stand for them here, or they are there
		// already.
		agree = agree || u32(14) == 0 && (sizes[0] == 0 || int64(sizes[0]) == f.Size) && (sizes[1] == 0 || int64(sizes[1]) == f.Compressed)
	}
	if !agree {
		return ambiguous("header and directory differ about the size of %s", quoted(f.Name))
	}
	return nil
}

// dosTime reads the time of a header; a date of zero stands for none.
func dosTime(date, clock int) time.Time {
	if date == 0 {
		return time.Time{}
	}
	return time.Date(1980+date>>9, time.Month(date>>5&0xF), date&0x1F, clock>>11, clock>>5&0x3F, clock&0x1F*2, 0, time.UTC)
}
