package pades_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
)

// writeNoise writes a PDF of about the given size: images that do not compress,
// one a page, half a megabyte each.
func writeNoise(t testing.TB, name string, size int64) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := pdfs.WriteScan(f, rand.NewChaCha8([32]byte{1}), size); err != nil {
		t.Fatal(err)
	}
}

// contestant is a kind of work, done by this program or by another one.
type contestant struct {
	mode    string
	program []string
}

// rounds lets contestants work in turn, so that what else the machine does
// disturbs all alike, and keeps the best of each.
func (f *bench) rounds(b *testing.B, rounds int, contestants ...contestant) []cost {
	b.Helper()
	best := make([]cost, len(contestants))
	for b.Loop() {
		for range rounds {
			for i, c := range contestants {
				took := f.run(b, c.mode, c.program...)
				if best[i].Seconds == 0 || took.Seconds < best[i].Seconds {
					best[i].Seconds = took.Seconds
				}
				if best[i].Written == 0 || took.Written < best[i].Written {
					best[i].Written = took.Written
				}
				if best[i].CPU == 0 || took.CPU < best[i].CPU {
					best[i].CPU = took.CPU
				}
				best[i].PeakKB = max(best[i].PeakKB, took.PeakKB)
			}
		}
	}
	return best
}

// report prints a cost per file.
func (f *bench) report(b *testing.B, c cost) {
	b.Helper()
	b.ReportMetric(0, "ns/op") // of all contestants together
	b.ReportMetric(c.Seconds*1e3/float64(len(f.files)), "ms/file")
	b.ReportMetric(c.PeakKB/1024, "MB-peak")
}

// BenchmarkSignFile signs files of several sizes with a software key (ECDSA P-256 with
// SHA-256), each contestant in a process of its own:
//
//   - eidbridge: pades.SignFile, with an outfile.Memory for the row; each file survives
//     a loss of power when it returns.
//   - eidbridge-grouped: the same with an outfile.Group, which waits for the disk once
//     for all files of the row, at its end; its time is in the result.
//   - pyHanko and pdfsign, which leave it to the system when their output reaches the
//     disk.
//
// x-copy+hash is in times of reading and writing the file once and hashing it with
// SHA-256 in between, which leaves that to the system as well; x-durable-copy+hash of
// the same with the file synced, renamed and its folder synced. Of the grouped row,
// where all files are checked and written before any is waited for,
// x-unsynced-copy+hash compares what it takes until then with such copies, and
// x-grouped-copy+hash the whole with such copies that are synced together in the end:
// like with like. Peers are measured in times of eidbridge.
func BenchmarkSignFile(b *testing.B) {
	for _, size := range []struct {
		megabytes     int64
		files, rounds int
	}{{1, 20, 5}, {10, 5, 5}, {100, 1, 5}, {500, 1, 3}} {
		b.Run(fmt.Sprintf("%dMB", size.megabytes), func(b *testing.B) {
			f := newBench(b)
			f.fill(b, size.files, size.megabytes<<20)
			var ours cost
			b.Run("eidbridge", func(b *testing.B) {
				best := f.rounds(b, size.rounds, contestant{mode: "sign"}, contestant{mode: "copy"}, contestant{mode: "durable-copy"})
				ours = best[0]
				f.reportBeside(b, best)
			})
			b.Run("eidbridge-grouped", func(b *testing.B) {
				best := f.rounds(b, size.rounds, contestant{mode: "sign-grouped"}, contestant{mode: "copy"}, contestant{mode: "durable-copy"}, contestant{mode: "grouped-copy"})
				f.reportBeside(b, best)
				b.ReportMetric(best[0].Written/best[1].Written, "x-unsynced-copy+hash")
				b.ReportMetric(best[0].Seconds/best[3].Seconds, "x-grouped-copy+hash")
			})
			f.peers(b, ours, true)
		})
	}
}

// reportBeside is for rounds with a copy and a durable copy.
func (f *bench) reportBeside(b *testing.B, best []cost) {
	b.Helper()
	f.report(b, best[0])
	b.ReportMetric(best[0].Seconds/best[1].Seconds, "x-copy+hash")
	b.ReportMetric(best[0].Seconds/best[2].Seconds, "x-durable-copy+hash")
	b.ReportMetric(best[0].CPU/best[1].CPU, "x-copy+hash-cpu")
}

// BenchmarkLevels makes B-LTA of a file of 500 MB, at once and of one that is signed at
// B-B, with services on loopback. What matters is the memory.
func BenchmarkLevels(b *testing.B) {
	f := newLevelBench(b)
	document := filepath.Join(b.TempDir(), "document.pdf")
	writeNoise(b, document, 500<<20)
	for _, row := range []struct{ name, mode, file string }{
		{"sign-B-LTA-500MB", "sign-LTA", document},
		{"extend-to-B-LTA-500MB", "extend", f.signed(b, document)},
	} {
		b.Run(row.name, func(b *testing.B) {
			f.files = []string{row.file}
			f.reportBeside(b, f.rounds(b, 1, contestant{mode: row.mode}, contestant{mode: "copy"}, contestant{mode: "durable-copy"}))
		})
	}
}

// BenchmarkBatch signs 1,000 files of 100 kB in one process: batch.Run with a worker
// for each processor and its manifest, where every file and its line in the manifest
// are durable in the end; pades.SignFile one by one, each durable before the next; and
// pyHanko, which waits for no disk.
func BenchmarkBatch(b *testing.B) {
	f := newBench(b)
	f.fill(b, 1000, 100<<10)
	var ours cost
	b.Run("eidbridge", func(b *testing.B) {
		best := f.rounds(b, 1, contestant{mode: "batch"}, contestant{mode: "copy"}, contestant{mode: "durable-copy"})
		ours = best[0]
		f.reportBeside(b, best)
		b.ReportMetric(float64(len(f.files))/ours.Seconds, "files/s")
	})
	b.Run("eidbridge-one-by-one", func(b *testing.B) {
		best := f.rounds(b, 1, contestant{mode: "sign"}, contestant{mode: "copy"}, contestant{mode: "durable-copy"})
		f.reportBeside(b, best)
		b.ReportMetric(float64(len(f.files))/best[0].Seconds, "files/s")
	})
	f.peers(b, ours, false)
}

// fill makes files of a size; all but the first are links to it.
func (f *bench) fill(b *testing.B, files int, size int64) {
	b.Helper()
	for i := range files {
		name := filepath.Join(f.dir, fmt.Sprintf("%04d.pdf", i))
		if i == 0 {
			writeNoise(b, name, size)
		} else if err := os.Link(f.files[0], name); err != nil {
			b.Fatal(err)
		}
		f.files = append(f.files, name)
	}
}

func (f *bench) peers(b *testing.B, ours cost, withPdfsign bool) {
	compare := func(b *testing.B, c contestant) {
		b.Helper()
		peer := f.rounds(b, 1, c)[0]
		f.report(b, peer)
		b.ReportMetric(peer.Seconds/ours.Seconds, "x-eidbridge-time")
		b.ReportMetric(peer.CPU/ours.CPU, "x-eidbridge-cpu")
		b.ReportMetric(peer.PeakKB/ours.PeakKB, "x-eidbridge-memory")
		b.ReportMetric(float64(len(f.files))/peer.Seconds, "files/s")
	}
	b.Run("pyHanko", func(b *testing.B) {
		interpreter := pyHanko()
		if interpreter == "" {
			b.Skip("pyHanko is not installed here: make setup-bench")
		}
		compare(b, contestant{"pyHanko", []string{interpreter, filepath.Join("testdata", "bench_pyhanko.py")}})
	})
	if withPdfsign {
		b.Run("pdfsign", func(b *testing.B) { compare(b, contestant{mode: "pdfsign"}) })
	}
}
