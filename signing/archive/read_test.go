package archive_test

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/signing/archive"
)

// entry is a file of an archive that a test makes with archive/zip, which writes
// whatever it is told.
type entry struct {
	name   string
	data   string
	method uint16
	mode   fs.FileMode
	flags  uint16
}

func made(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: e.method, Flags: e.flags}
		if e.mode != 0 {
			h.SetMode(e.mode)
		}
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(e.data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func open(data []byte, l archive.Limits) (*archive.Reader, error) {
	return archive.Open(bytes.NewReader(data), int64(len(data)), l)
}

// at finds the n-th record with a signature, from 0.
func at(data []byte, signature uint32, n int) int {
	mark := binary.LittleEndian.AppendUint32(nil, signature)
	place := -1
	for range n + 1 {
		i := bytes.Index(data[place+1:], mark)
		if i < 0 {
			return -1
		}
		place += 1 + i
	}
	return place
}

const (
	local     = 0x04034b50
	directory = 0x02014b50
	end       = 0x06054b50
)

func patched(data []byte, where int, value ...byte) []byte {
	out := bytes.Clone(data)
	copy(out[where:], value)
	return out
}

// TestOpenRefuses is X-59: archives that are bombs, lead out of their folder, or
// mean different things to different programs. Each is refused with a typed error
// within moments and without inflating anything.
func TestOpenRefuses(t *testing.T) {
	plain := made(t, entry{name: "a.txt", data: "hello"}, entry{name: "b.txt", data: "world", method: zip.Deflate})
	secret := made(t, entry{name: "secret.txt", data: "x"}, entry{name: "public.txt", data: "y"})
	bomb := made(t, entry{name: "bomb", data: strings.Repeat("\x00", 32<<20), method: zip.Deflate})
	for _, row := range []struct {
		name string
		data []byte
		want error
	}{
		{"nothing", nil, archive.ErrFormat},
		{"something else", []byte(strings.Repeat("no archive ", 10)), archive.ErrFormat},
		{"cut", plain[:len(plain)-1], archive.ErrFormat},
		{"parent folder", made(t, entry{name: "../a"}), archive.ErrName},
		{"parent folder inside", made(t, entry{name: "f/../../a"}), archive.ErrName},
		{"absolute", made(t, entry{name: "/etc/passwd"}), archive.ErrName},
		{"drive letter", made(t, entry{name: `C:a`}), archive.ErrName},
		{"backslash", made(t, entry{name: `..\a`}), archive.ErrName},
		{"empty part", made(t, entry{name: "a//b"}), archive.ErrName},
		{"control character", made(t, entry{name: "a\x1bb"}), archive.ErrName},
		{"NUL", made(t, entry{name: "a\x00.txt"}), archive.ErrName},
		{"no UTF-8", made(t, entry{name: "a\xff"}), archive.ErrName},
		{"long name", made(t, entry{name: strings.Repeat("a", 1025)}), archive.ErrName},
		{"twice", made(t, entry{name: "a"}, entry{name: "a"}), archive.ErrName},
		{"twice but for case", made(t, entry{name: "META-INF/a"}, entry{name: "meta-inf/A"}), archive.ErrName},
		{"twice but for composition", made(t, entry{name: "\u00f5"}, entry{name: "o\u0303"}), archive.ErrName},
		{"file and folder", made(t, entry{name: "a"}, entry{name: "a/b"}), archive.ErrName},
		{"symbolic link", made(t, entry{name: "a", data: "/etc/passwd", mode: fs.ModeSymlink | 0o777}), archive.ErrName},
		{"device", made(t, entry{name: "a", mode: fs.ModeDevice | 0o600}), archive.ErrName},
		{"encrypted", patched(patched(plain, at(plain, local, 0)+6, 1, 0), at(plain, directory, 0)+8, 1, 0), archive.ErrEncrypted},
		{"unknown method", patched(plain, at(plain, directory, 1)+10, 12, 0), archive.ErrFormat},
		{"other method before the file", patched(plain, at(plain, local, 1)+8, 0, 0), archive.ErrAmbiguous},
		{"other name before the file", patched(secret, at(secret, local, 0)+30, []byte("SECRET.txt")...), archive.ErrAmbiguous},
		{"other size in the directory", patched(plain, at(plain, directory, 0)+24, 4), archive.ErrAmbiguous},
		{"two files in one place", patched(secret, at(secret, directory, 1)+42, 0, 0), archive.ErrAmbiguous},
		{"something before the first file", append([]byte("#!/bin/sh\n"), plain...), archive.ErrAmbiguous},
		{"something behind", append(bytes.Clone(plain), "more"...), archive.ErrFormat},
		{"unlisted file", unlisted(t, secret), archive.ErrAmbiguous},
		{"more entries than said", patched(plain, at(plain, end, 0)+8, 1, 0, 1, 0), archive.ErrAmbiguous},
		{"fewer entries than said", patched(plain, at(plain, end, 0)+8, 3, 0, 3, 0), archive.ErrFormat},
		{"several parts", patched(plain, at(plain, end, 0)+4, 1, 0), archive.ErrFormat},
		{"directory elsewhere", patched(plain, at(plain, end, 0)+16, 0, 0, 0, 0), archive.ErrAmbiguous},
		{"bomb by ratio", bomb, archive.ErrLimit},
	} {
		t.Run(row.name, func(t *testing.T) {
			begin := time.Now()
			_, err := open(row.data, archive.Limits{})
			if !errors.Is(err, row.want) {
				t.Errorf("got %v, want %v", err, row.want)
			}
			if took := time.Since(begin); took > 20*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

// unlisted takes the second file out of the directory and leaves its bytes.
func unlisted(t *testing.T, data []byte) []byte {
	t.Helper()
	second, last := at(data, directory, 1), at(data, end, 0)
	out := append(bytes.Clone(data[:second]), data[last:]...)
	place := second
	binary.LittleEndian.PutUint16(out[place+8:], 1)
	binary.LittleEndian.PutUint16(out[place+10:], 1)
	binary.LittleEndian.PutUint32(out[place+12:], uint32(second-at(data, directory, 0)))
	return out
}

func TestOpenHoldsItsLimits(t *testing.T) {
	two := made(t, entry{name: "a", data: "12345"}, entry{name: "b", data: "12345"})
	for name, row := range map[string]struct {
		l  archive.Limits
		ok bool
	}{
		"entries": {archive.Limits{Entries: 2}, true}, "one entry over": {archive.Limits{Entries: 1}, false},
		"file": {archive.Limits{File: 5}, true}, "one byte over": {archive.Limits{File: 4}, false},
		"total": {archive.Limits{Total: 10}, true}, "one byte over in total": {archive.Limits{Total: 9}, false},
	} {
		if _, err := open(two, row.l); (err == nil) != row.ok || err != nil && !errors.Is(err, archive.ErrLimit) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A directory that says it has a million entries is refused before it is read.
	many := patched(two, at(two, end, 0)+8, 0xFE, 0xFF, 0xFE, 0xFF)
	if _, err := open(many, archive.Limits{}); !errors.Is(err, archive.ErrLimit) {
		t.Errorf("many entries: %v", err)
	}
}

// TestContentIsChecked: a file that inflates to something else than its header
// says ends with an error, however much of it was asked for (X-59, nested and lying
// bombs).
func TestContentIsChecked(t *testing.T) {
	data := made(t, entry{name: "a", data: strings.Repeat("hello ", 1000), method: zip.Deflate})
	size := at(data, directory, 0) + 24
	descriptor := at(data, 0x08074b50, 0) + 12
	short := patched(patched(data, size, 10, 0, 0, 0), descriptor, 10, 0, 0, 0)
	damaged := bytes.Clone(data)
	damaged[45] ^= 0xFF
	for name, bent := range map[string][]byte{
		"longer than said": short, "damaged": damaged,
		"wrong checksum": patched(patched(data, at(data, directory, 0)+16, 1, 2, 3, 4), at(data, 0x08074b50, 0)+4, 1, 2, 3, 4),
	} {
		r, err := open(bent, archive.Limits{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		f, err := r.Files[0].Open()
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, f)
		if !errors.Is(err, archive.ErrCorrupt) || n > 1<<20 {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
	}
}

// TestDescriptorsAreCompared: what stands behind a file says the same as the
// directory, since programs read one or the other (APPNOTE 4.3.9).
func TestDescriptorsAreCompared(t *testing.T) {
	data := made(t, entry{name: "a", data: strings.Repeat("hello ", 1000), method: zip.Deflate}, entry{name: "b", data: "x", method: zip.Deflate})
	for name, offset := range map[string]int{"signature": 0, "checksum": 4, "packed size": 8, "size": 12} {
		for i := range 2 {
			bent := bytes.Clone(data)
			bent[at(data, 0x08074b50, i)+offset] ^= 1
			if _, err := open(bent, archive.Limits{}); !errors.Is(err, archive.ErrAmbiguous) {
				t.Errorf("%s of file %d: %v", name, i+1, err)
			}
		}
	}
	if _, err := open(data, archive.Limits{}); err != nil {
		t.Error(err)
	}
}

// TestWhatIsWrittenIsRead: both writers, every size of interest, and files copied
// as they are.
func TestWhatIsWrittenIsRead(t *testing.T) {
	contents := map[string]string{"empty": "", "tõend.txt": "hello", "folder/many.txt": strings.Repeat("many ", 100_000), "done.zip": "PK"}
	var first, second bytes.Buffer
	w := archive.NewWriter(&first)
	if err := w.Bare("mimetype", []byte("application/x")); err != nil {
		t.Fatal(err)
	}
	for name, content := range contents {
		if err := w.Write(name, time.Date(2026, 3, 4, 5, 6, 8, 0, time.UTC), []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := open(first.Bytes(), archive.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	copied := archive.NewWriter(&second)
	for _, f := range r.Files {
		if err := copied.Copy(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	if err := copied.Close(); err != nil {
		t.Fatal(err)
	}
	for _, data := range [][]byte{first.Bytes(), second.Bytes()} {
		r, err := open(data, archive.Limits{})
		if err != nil || len(r.Files) != len(contents)+1 {
			t.Fatalf("%d files, %v", len(r.Files), err)
		}
		if f := r.Files[0]; f.Name != "mimetype" || f.Method != archive.Stored || f.HasExtra != (data[26+2] != 0) || f.HasDescriptor {
			t.Errorf("%+v", f)
		}
		for _, f := range r.Files[1:] {
			got, err := f.ReadAll(1 << 20)
			if err != nil || string(got) != contents[f.Name] {
				t.Errorf("%s: %d bytes, %v", f.Name, len(got), err)
			}
		}
		// Go's own reader agrees.
		z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil || len(z.File) != len(r.Files) {
			t.Errorf("archive/zip: %v", err)
		}
	}
}

// TestChecksumsArePutInAfterwards: into a file, where headers can be completed, behind
// whatever comes before them.
func TestChecksumsArePutInAfterwards(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "a.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := archive.NewWriter(f)
	if err := w.Bare("mimetype", []byte("application/x")); err != nil {
		t.Fatal(err)
	}
	// Names of pictures and archives are stored, text is compressed.
	names := []string{"a.png", "b.zip", "c.txt", "d ü.zip", "e.txt", "f.txt", "g.png"}
	for i, name := range names {
		if err := w.Write(name, time.Now(), bytes.Repeat([]byte(name), 1000*i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	r, err := open(raw, archive.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Files) != len(names)+1 {
		t.Fatalf("%d files", len(r.Files))
	}
	for i, name := range names {
		got, err := r.Files[i+1].ReadAll(1 << 20)
		stored := r.Files[i+1].Method == archive.Stored && !r.Files[i+1].HasDescriptor
		if err != nil || !bytes.Equal(got, bytes.Repeat([]byte(name), 1000*i)) || stored != !strings.HasSuffix(name, ".txt") {
			t.Errorf("%s: %d bytes, stored %t, %v", name, len(got), stored, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(made(f, entry{name: "a.txt", data: "hello"}, entry{name: "b/", mode: fs.ModeDir | 0o755}, entry{name: "b/c", data: "world", method: zip.Deflate}))
	f.Add([]byte("PK\x05\x06" + strings.Repeat("\x00", 18)))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := open(data, archive.Limits{})
		if err != nil {
			for _, known := range []error{archive.ErrFormat, archive.ErrLimit, archive.ErrName, archive.ErrEncrypted, archive.ErrAmbiguous} {
				if errors.Is(err, known) {
					return
				}
			}
			t.Fatalf("untyped error: %v", err)
		}
		// What is accepted is the same archive to Go's reader.
		z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
			t.Fatalf("archive/zip refuses: %v", err)
		}
		theirs := make(map[string]uint64)
		for _, f := range z.File {
			if !strings.HasSuffix(f.Name, "/") {
				theirs[f.Name] = f.UncompressedSize64
			}
		}
		if len(theirs) != len(r.Files) {
			t.Fatalf("%d files, archive/zip finds %d", len(r.Files), len(theirs))
		}
		for _, f := range r.Files {
			if size, ok := theirs[f.Name]; !ok || size != uint64(f.Size) {
				t.Fatalf("%q differs", f.Name)
			}
			if _, err := f.ReadAll(1 << 20); err != nil && !errors.Is(err, archive.ErrCorrupt) && !errors.Is(err, archive.ErrLimit) && !errors.Is(err, archive.ErrFormat) {
				t.Fatalf("untyped error: %v", err)
			}
		}
	})
}
