package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers/store"
	"github.com/eidbridge/eidbridge/signing/outfile"
)

// backupType is the type of the statement beside a backup.
const backupType = "eidbroker-backup+jwt"

// backupStatement says what a backup is. It is signed by the key of the audit log.
type backupStatement struct {
	SHA256 string    `json:"sha256"`
	Size   int64     `json:"size"`
	Epoch  int       `json:"epoch"`
	Made   time.Time `json:"made"`
}

type backupCommand struct {
	File string `arg:"" help:"Where to write the copy of the database; a file FILE.jws beside it says what it is. Both must be new."`

	deployment `embed:""`
}

// Run copies the database while it is served. Records stay encrypted under the master
// key, which has to be kept elsewhere.
func (c *backupCommand) Run(ctx context.Context, s streams) error {
	return c.at(ctx, func(d *desk) error {
		database, ok := d.database.(*store.SQLite)
		if !ok {
			return errors.New("the database is PostgreSQL; use its own tools (pg_dump, pg_basebackup), and eidbroker restore after putting one back")
		}
		epoch, err := database.Epoch(ctx)
		if err != nil {
			return err
		}
		if err := database.BackUp(ctx, c.File); err != nil {
			return err
		}
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: d.secrets.audit}}, (&jose.SignerOptions{}).WithType(backupType))
		if err != nil {
			return err
		}
		statement := backupStatement{Epoch: epoch.Number, Made: time.Now().UTC()}
		if statement.SHA256, statement.Size, err = digest(c.File); err != nil {
			return err
		}
		text, err := json.Marshal(statement)
		if err != nil {
			return err
		}
		signed, err := signer.Sign(text)
		if err != nil {
			return err
		}
		compact, err := signed.CompactSerialize()
		if err != nil {
			return err
		}
		if err := writeNew(c.File+".jws", []byte(compact+"\n"), 0o600); err != nil {
			return err
		}
		_, err = fmt.Fprintf(s.out, "%s: %d bytes, epoch %d\n", c.File, statement.Size, statement.Epoch)
		return err
	})
}

func digest(path string) (text string, size int64, err error) {
	file, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer file.Close()
	hash := sha256.New()
	size, err = io.Copy(hash, file)
	return base64.RawURLEncoding.EncodeToString(hash.Sum(nil)), size, err
}

type restoreCommand struct {
	From  string `help:"A backup that eidbroker backup made, to put in place of the database. Without it the database itself was put back by other tools." type:"existingfile"`
	Check bool   `help:"Only say whether the backup could be restored."`

	deployment `embed:""`
}

// Run begins a new epoch, so that nothing that was issued before counts any more:
// what was used once after the backup was made would be unused again. Nobody may
// serve the database meanwhile.
func (c *restoreCommand) Run(ctx context.Context, s streams) error {
	settings, err := readConfig(c.Config)
	if err != nil {
		return err
	}
	dir := directory(cmp.Or(c.Data, filepath.Dir(c.Config)))
	if c.From != "" && settings.remoteDatabase() {
		return errors.New("--from is for a database in a file; put a backup of PostgreSQL back by its own tools")
	}
	path := dir.file(settings.Database)
	if !settings.remoteDatabase() && !c.Check {
		release, err := store.Lock(path)
		if err != nil {
			return err
		}
		defer func() { _ = release() }() // the process ends
	}
	if c.From != "" {
		fresh, err := c.bring(ctx, settings, dir, path)
		if err != nil {
			return fmt.Errorf("%s: %w", c.From, err)
		}
		if c.Check {
			_, err := fmt.Fprintln(s.out, "the backup is whole, ours, and can be read with the master key")
			return errors.Join(err, os.Remove(fresh))
		}
		for _, gone := range []string{path + "-wal", path + "-shm"} { // of the one that is replaced
			if err := os.Remove(gone); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		err = os.Rename(fresh, path)
		if err == nil {
			err = outfile.SyncFolder(filepath.Dir(path))
		}
		if err != nil {
			return err
		}
	}
	seen, err := readSeen(dir)
	if err != nil {
		return err
	}
	return c.at(ctx, func(d *desk) error {
		number, err := d.database.BeginEpoch(ctx, seen.Epoch+1, time.Now())
		if err != nil {
			return err
		}
		d.events.LogAttrs(ctx, 0, "audit", epochEvent(number, d.actor)...)
		_, err = fmt.Fprintf(s.out, "epoch %d begins: all logins, sessions and tokens of before have ended\n", number)
		return err
	})
}

// bring copies a backup beside the database and looks at it from all sides.
func (c *restoreCommand) bring(ctx context.Context, settings config, dir directory, path string) (fresh string, err error) {
	key, err := c.auditKey()
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(c.From + ".jws")
	if err != nil {
		return "", err
	}
	signed, err := jose.ParseSignedCompact(string(trimNewline(text)), []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		return "", errors.New("its statement is no JWS")
	}
	payload, err := signed.Verify(key)
	if err != nil || signed.Signatures[0].Protected.ExtraHeaders[jose.HeaderType] != backupType {
		return "", errors.New("its statement is not signed by the audit key of this deployment")
	}
	var statement backupStatement
	if err := json.Unmarshal(payload, &statement); err != nil {
		return "", err
	}
	fresh = path + ".restored"
	if err := copyFile(c.From, fresh); err != nil {
		return "", err
	}
	if err := c.judge(ctx, settings, dir, fresh, statement); err != nil {
		return "", errors.Join(err, os.Remove(fresh))
	}
	return fresh, nil
}

// judge checks the copy itself, so that it cannot change after it was checked.
func (c *restoreCommand) judge(ctx context.Context, settings config, dir directory, fresh string, statement backupStatement) error {
	sum, size, err := digest(fresh)
	if err != nil {
		return err
	}
	if sum != statement.SHA256 || size != statement.Size {
		return errors.New("it was changed: its digest is not the one of its statement")
	}
	if err := store.Inspect(ctx, fresh); err != nil {
		return err
	}
	masters, err := readMasters(ctx, settings, dir)
	if err != nil {
		return err
	}
	// Opening unwraps every data key, and brings an older schema up to date.
	opened, err := store.OpenSQLite(ctx, fresh, store.WithMasters(time.Now, masters...))
	if err != nil {
		return err
	}
	return opened.Close()
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

func trimNewline(text []byte) []byte {
	for len(text) > 0 && (text[len(text)-1] == '\n' || text[len(text)-1] == '\r') {
		text = text[:len(text)-1]
	}
	return text
}
