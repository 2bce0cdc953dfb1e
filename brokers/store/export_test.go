package store

import "database/sql"

// Reader is the pool that reads.
func Reader(s *SQLite) *sql.DB { return s.reader }
