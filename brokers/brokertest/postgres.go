package brokertest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrNoPostgres is a machine without PostgreSQL's programs (Debian's package
// postgresql), or with no user to run them as: they refuse to run as root.
var ErrNoPostgres = errors.New("no PostgreSQL here")

// Postgres is a cluster of its own in a temporary directory, reached by a socket
// there and by nothing else. It does not touch a cluster of the system.
type Postgres struct {
	dir     string
	process *exec.Cmd
	exited  chan error
	asUser  *syscall.SysProcAttr
	bin     string
}

// StartPostgres makes a cluster and starts it. Its files are not synced, which
// tests that kill the machine would need, and tests that kill a process do not.
func StartPostgres(ctx context.Context) (*Postgres, error) {
	bin, err := postgresPrograms()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "pg-")
	if err != nil {
		return nil, err
	}
	p := &Postgres{dir: dir, bin: bin, exited: make(chan error, 1)}
	if err := p.start(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return p, nil
}

// postgresPrograms finds the newest installed version.
func postgresPrograms() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres") // Debian's place, off the path
	if err != nil {
		return "", err
	}
	if len(found) > 0 {
		return filepath.Dir(found[len(found)-1]), nil
	}
	path, err := exec.LookPath("postgres")
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNoPostgres, err)
	}
	return filepath.Dir(path), nil
}

func (p *Postgres) start(ctx context.Context) error {
	p.asUser = &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT} // it does not outlive a test that panics
	if os.Geteuid() == 0 {
		if err := p.leaveRoot(); err != nil {
			return err
		}
	}
	data := filepath.Join(p.dir, "data")
	initdb := exec.CommandContext(ctx, filepath.Join(p.bin, "initdb"), "--no-sync", "--auth=trust", "--username=broker", "--encoding=UTF8", "--locale=C", data)
	initdb.SysProcAttr, initdb.Dir = p.asUser, p.dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	p.process = exec.Command(filepath.Join(p.bin, "postgres"), "-D", data, "-k", p.dir, "-h", "", "-p", "5432",
		"-c", "fsync=off", "-c", "max_connections=100", "-c", "shared_buffers=32MB", "-c", "log_min_messages=fatal")
	p.process.SysProcAttr, p.process.Dir = p.asUser, p.dir
	if err := p.process.Start(); err != nil {
		return err
	}
	go func() { p.exited <- p.process.Wait() }()
	return p.wait(ctx)
}

// leaveRoot finds an unprivileged user and gives it the directory.
func (p *Postgres) leaveRoot() error {
	account, err := user.Lookup("postgres")
	if err != nil {
		if account, err = user.Lookup("nobody"); err != nil {
			return fmt.Errorf("%w: %w", ErrNoPostgres, err)
		}
	}
	uid, errUID := strconv.Atoi(account.Uid)
	gid, errGID := strconv.Atoi(account.Gid)
	if err := errors.Join(errUID, errGID); err != nil {
		return err
	}
	p.asUser.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(p.dir, uid, gid)
}

// wait returns when the server answers.
func (p *Postgres) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		connection, err := pgx.Connect(ctx, p.connection(nil))
		if err == nil {
			return connection.Close(ctx)
		}
		select {
		case err := <-p.exited:
			p.exited <- err
			return fmt.Errorf("postgres ended: %w", err)
		case <-ctx.Done():
			return errors.Join(err, p.Stop())
		case <-ticker.C:
		}
	}
}

func (p *Postgres) connection(more url.Values) string {
	query := url.Values{"host": {p.dir}, "user": {"broker"}, "dbname": {"postgres"}}
	for name, values := range more {
		query[name] = values
	}
	return "postgres://?" + query.Encode()
}

// Schema makes an empty schema and returns the connection string that uses it.
func (p *Postgres) Schema(ctx context.Context, name string) (string, error) {
	connection, err := pgx.Connect(ctx, p.connection(nil))
	if err != nil {
		return "", err
	}
	defer func() { _ = connection.Close(ctx) }() // the schema is there or not
	if _, err := connection.Exec(ctx, "CREATE SCHEMA "+pgx.Identifier{name}.Sanitize()); err != nil {
		return "", err
	}
	return p.connection(url.Values{"search_path": {name}}), nil
}

// Stop ends the server at once and removes its files.
func (p *Postgres) Stop() error {
	if p.process != nil && p.process.Process != nil {
		_ = p.process.Process.Signal(syscall.SIGQUIT) // immediate shutdown; it may be gone already
		if err := <-p.exited; err != nil && p.process.ProcessState.ExitCode() < 0 {
			return errors.Join(err, os.RemoveAll(p.dir))
		}
	}
	return os.RemoveAll(p.dir)
}
