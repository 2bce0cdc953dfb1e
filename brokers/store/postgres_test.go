package store_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/brokertest"
	"github.com/eidbridge/eidbridge/brokers/store"
	"github.com/eidbridge/eidbridge/fixtures/postgres"
)

// cluster is one server for all tests of the package, started by the first that
// needs it.
var cluster = sync.OnceValues(func() (*postgres.Cluster, error) { return postgres.Start(context.Background(), postgres.Options{}) })

var clusterUsed, schemas atomic.Int64

func TestMain(m *testing.M) {
	code := m.Run()
	if clusterUsed.Load() > 0 {
		if p, err := cluster(); err == nil {
			if err := p.Stop(); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}
	}
	os.Exit(code)
}

// schema is the connection string of an empty schema.
func schema(t testing.TB) string {
	t.Helper()
	clusterUsed.Add(1)
	p, err := cluster()
	if err != nil {
		t.Fatal(err)
	}
	connection, err := p.Schema(context.Background(), fmt.Sprint("test", schemas.Add(1)))
	if err != nil {
		t.Fatal(err)
	}
	return connection
}

func openPostgres(t testing.TB, connection string) *store.Postgres {
	t.Helper()
	s, err := store.OpenPostgres(context.Background(), connection, 8)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestPostgresKeepsTheContract(t *testing.T) {
	brokertest.TestStore(t, func(t *testing.T) brokertest.Store { return openPostgres(t, schema(t)) })
}

// Replicas that start at once migrate one after the other, and once.
func TestPostgresReplicasMigrateTogether(t *testing.T) {
	connection := schema(t)
	errs := make([]error, 6)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			s, err := store.OpenPostgres(context.Background(), connection, 2)
			if err == nil {
				err = s.Close()
			}
			errs[i] = err
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	db, err := sql.Open("pgx", connection)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // the server goes too
	var rows int
	if err := db.QueryRow(`SELECT count(*) FROM schema_version`).Scan(&rows); err != nil || rows != 1 {
		t.Errorf("%d rows, %v", rows, err)
	}
	if _, err := db.Exec(`INSERT INTO schema_version VALUES (1000)`); err != nil {
		t.Fatal(err)
	}
	if _, err := store.OpenPostgres(context.Background(), connection, 2); err == nil || !strings.Contains(err.Error(), "newer program") {
		t.Errorf("a newer schema: %v", err)
	}
}

// O-14, O-43: what happens once happens once over three replicas.
func TestPostgresReplicasShareOneTruth(t *testing.T) {
	connection := schema(t)
	replicas := []*store.Postgres{openPostgres(t, connection), openPostgres(t, connection), openPostgres(t, connection)}
	ctx, now := context.Background(), time.Now()
	for trial := range 20 {
		name := fmt.Sprint("login", trial)
		tx := &brokers.Transaction{ID: name, State: brokers.Authenticated, ExpiresAt: now.Add(time.Hour)}
		if err := replicas[0].SaveTransaction(ctx, tx); err != nil {
			t.Fatal(err)
		}
		tx.State = brokers.Completed
		if err := replicas[1].IssueCode(ctx, &brokers.Issuing{Login: tx, From: brokers.Authenticated, Code: brokers.HashOf(name), Grant: &brokers.Grant{CodeExpiresAt: now.Add(time.Minute)}}); err != nil {
			t.Fatal(err)
		}
		var codes, jtis atomic.Int64
		var all sync.WaitGroup
		for i := range 24 {
			all.Go(func() {
				s := replicas[i%3]
				if _, err := s.RedeemCode(ctx, brokers.HashOf(name), brokers.HashOf(fmt.Sprint(name, i)), brokers.Token{ExpiresAt: now.Add(time.Minute)}, now); err == nil {
					codes.Add(1)
				}
				if s.UseAssertionID(ctx, "issuer", name, now.Add(time.Minute)) == nil {
					jtis.Add(1)
				}
			})
		}
		all.Wait()
		if codes.Load() != 1 || jtis.Load() != 1 {
			t.Errorf("%d redeemed the code, %d used the assertion", codes.Load(), jtis.Load())
		}
	}
}

func TestPostgresHidesTheConnectionString(t *testing.T) {
	_, err := store.OpenPostgres(context.Background(), "postgres://broker:canary@[", 1)
	if err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("got %v", err)
	}
}
