package provider_test

import (
	"testing"

	"github.com/eidbridge/eidbridge/brokers/store"
	"github.com/eidbridge/eidbridge/fixtures/postgres"
)

// newCluster starts a PostgreSQL that ends with the test, and names a schema in it.
func newCluster(t *testing.T, schema string) (cluster *postgres.Cluster, connection string) {
	t.Helper()
	cluster, err := postgres.Start(t.Context(), postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	stopAfter(t, cluster)
	if connection, err = cluster.Schema(t.Context(), schema); err != nil {
		t.Fatal(err)
	}
	return cluster, connection
}

func stopAfter(t *testing.T, c *postgres.Cluster) {
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
}

// openStore opens a store that is closed before its cluster stops.
func openStore(t *testing.T, connection string, connections int, o ...store.Option) *store.Postgres {
	t.Helper()
	s, err := store.OpenPostgres(t.Context(), connection, connections, o...)
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
