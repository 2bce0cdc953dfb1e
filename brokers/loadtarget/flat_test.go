package loadtarget_test

import (
	"database/sql"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/fixtures/load"
	"github.com/eidbridge/eidbridge/fixtures/postgres"
)

// BenchmarkFlatness logs in 100,000 times while rows expire, and prints memory, rows
// and the slowest login of every 10,000: memory must stay where it is and below 64
// MB, rows must go, and nobody may wait for that. In memory storage nothing expires
// meanwhile: it stays within its bound all the same.
func BenchmarkFlatness(b *testing.B) {
	eidlab := filepath.Join(b.TempDir(), "eidlab")
	if out, err := exec.Command("go", "build", "-o", eidlab, "../../cmd/eidlab").CombinedOutput(); err != nil {
		b.Fatalf("building eidlab: %v\n%s", err, out)
	}
	for _, storage := range []string{"memory", "sqlite", "postgres"} {
		b.Run(storage, func(b *testing.B) {
			if storage == "memory" {
				s := &peerServer{name: "eidbridge", storage: storage, dir: b.TempDir()}
				s.command = s.eidbridge(b, eidlab)
				s.start(b)
				b.ResetTimer()
				stayFlat(b, s, nil)
				return
			}
			s := &peerServer{name: "eidbridge", storage: storage, dir: b.TempDir()}
			if storage == "postgres" {
				s.cluster = startCluster(b, postgres.Options{Durable: true})
			}
			s.command = s.eidbridge(b, eidlab, "--code-lifetime", "2s", "--access-token-lifetime", "5s", "--session-lifetime", "10s")
			s.start(b)
			b.ResetTimer()
			stayFlat(b, s, s.database(b, s.cluster))
		})
	}
}

// database opens what the server keeps its rows in.
func (s *peerServer) database(b *testing.B, cluster *postgres.Cluster) *sql.DB {
	b.Helper()
	driver, source := "sqlite", "file:"+filepath.Join(s.dir, "broker.db")+"?mode=ro&_pragma=busy_timeout(5000)"
	if cluster != nil {
		driver, source = "pgx", s.connection
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
	return db
}

func stayFlat(b *testing.B, s *peerServer, db *sql.DB) {
	const (
		connections, parts, part = 8, 10, 10_000
		// most is the bound in MB; settled is the part from which on memory may grow by
		// tolerance no more: until then each connection to SQLite fills its cache.
		most, settled, tolerance = 64, 4, 1.05
	)
	var total load.Report
	var calm float64
	for range b.N {
		for i := range parts {
			r := s.driver.Run(b.Context(), connections, part)
			total = total.Add(r)
			kept, mb := 0, s.resident(b)
			if db != nil {
				kept = rows(b, db)
			}
			b.Logf("%7d logins  %6.0f logins/s  p99 %6.1f ms  slowest %7.1f ms  %6d rows  %5.1f MB", total.Logins, r.PerSecond(),
				milliseconds(r.Quantile(0.99)), milliseconds(r.Quantile(1)), kept, mb)
			if i+1 == settled {
				calm = mb
			}
			if mb > most || i+1 > settled && mb > tolerance*calm {
				b.Errorf("%.1f MB after %d logins, %.1f after %d", mb, total.Logins, calm, settled*part)
			}
			if written := 2 * total.Logins; i+1 == parts && kept > written/2 {
				b.Errorf("%d of %d rows are left", kept, written)
			}
		}
	}
	if total.Failed > 0 {
		b.Errorf("%d logins failed: %v", total.Failed, total.First)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(total.PerSecond(), "logins/s")
	b.ReportMetric(s.resident(b), "MB")
	b.ReportMetric(s.resident(b)-calm, "MB-grown")
	if db != nil {
		b.ReportMetric(untilEmpty(b, db).Seconds(), "s-until-empty") // a benchmark logs ten lines at most
	}
}

// untilEmpty waits until all rows are gone: they expire in ten seconds, and are removed
// within ten more.
func untilEmpty(b *testing.B, db *sql.DB) time.Duration {
	b.Helper()
	ended := time.Now()
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for n := rows(b, db); n > 0; n = rows(b, db) {
		if time.Since(ended) > time.Minute {
			b.Fatalf("%d rows have expired and are there all the same", n)
		}
		<-look.C
	}
	return time.Since(ended)
}

// rows counts what logins leave behind.
func rows(b *testing.B, db *sql.DB) (n int) {
	b.Helper()
	if err := db.QueryRow("SELECT (SELECT count(*) FROM grants) + (SELECT count(*) FROM sessions)").Scan(&n); err != nil {
		b.Fatal(err)
	}
	return n
}
