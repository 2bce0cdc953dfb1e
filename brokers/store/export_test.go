package store

import (
	"database/sql"
	"io/fs"
)

// Reader is the pool that reads.
func Reader(s *SQLite) *sql.DB { return s.reader }

// WithFiles has a program of other migrations.
func WithFiles(files fs.FS) Option {
	return func(d *database) { d.files = files }
}

// DeclaredFrom is the first migration that declares who may use the database.
const DeclaredFrom = declaredFrom

// Migrations are the names and texts of a kind of database, with what each declares.
func Migrations(kind string) (names, texts []string, usableFrom []int, err error) {
	known, err := schemaFor(kind, migrations)
	for _, m := range known {
		names, texts, usableFrom = append(names, m.name), append(texts, string(m.text)), append(usableFrom, m.usableFrom)
	}
	return names, texts, usableFrom, err
}

// Texts are all statements.
func Texts() (list []string) {
	for _, statements := range [][][2]string{writes(), compounds(), reads()} {
		for _, s := range statements {
			list = append(list, s[1])
		}
	}
	return list
}
