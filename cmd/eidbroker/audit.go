package main

import (
	"bufio"
	"cmp"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/brokers/audit"
)

type auditCommand struct {
	Changes auditChangesCommand `cmd:"" help:"List what operators did lately, on this host."`
	Verify  auditVerifyCommand  `cmd:"" help:"Check the chain and the checkpoints of an audit log."`
	Key     auditKeyCommand     `cmd:"" help:"Print the public key of the checkpoints, for those who check elsewhere."`
}

type auditVerifyCommand struct {
	Files  []string `arg:"" help:"The files of one log, oldest first: those that were put aside (audit.jsonl.NUMBER) and the current one." type:"existingfile"`
	Key    string   `help:"The public key (PEM) of the checkpoints; by default that of the configuration." type:"existingfile"`
	Kept   string   `help:"Checkpoints that were kept elsewhere: lines of the log on standard error, or bare checkpoints." type:"existingfile"`
	MaxAge duration `help:"Refuse a log whose last checkpoint is older, such as 5m: a cut end shows as an old checkpoint." name:"max-age"`
	JSON   bool     `help:"Print the verdict as JSON."`

	deployment `embed:""`
}

// Run prints how far the log can be believed, or the first entry that is wrong.
func (c *auditVerifyCommand) Run(s streams) error {
	key, err := c.key()
	if err != nil {
		return err
	}
	kept, err := readKept(c.Kept)
	if err != nil {
		return err
	}
	var files []io.Reader
	for _, name := range c.Files {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		files = append(files, file)
	}
	v, err := audit.Verify(key, kept, files...)
	var found *audit.Finding
	if errors.As(err, &found) {
		return fmt.Errorf("%s: line %d, entry %d: %s", c.Files[found.File], found.Row, found.Number, found.Problem)
	}
	if err != nil {
		return err
	}
	if age := time.Since(v.MarkedAt); c.MaxAge > 0 && age > time.Duration(c.MaxAge) {
		return fmt.Errorf("the last checkpoint is %s old: the broker stands still, or the end of the log was cut off", age.Round(time.Second))
	}
	if c.JSON {
		return json.NewEncoder(s.out).Encode(map[string]any{
			"log": v.Log, "entries": v.Lines, "checkpoints": v.Checkpoints, "kept": len(kept), "marked": v.Marked, "markedAt": v.MarkedAt,
		})
	}
	fmt.Fprintf(s.out, "%d entries in an unbroken chain, %d checkpoints; the last one covers entry %d at %s\n",
		v.Lines, v.Checkpoints, v.Marked, v.MarkedAt.Format(time.RFC3339))
	if len(kept) > 0 {
		fmt.Fprintf(s.out, "%d checkpoints that were kept elsewhere tell the same history\n", len(kept))
	}
	return nil
}

func (c *auditVerifyCommand) key() (ed25519.PublicKey, error) {
	if c.Key == "" {
		return c.auditKey()
	}
	key, err := readPublicKey(c.Key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Key, err)
	}
	public, ok := key.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%s is not an Ed25519 key", c.Key)
	}
	return public, nil
}

// auditKey is the public half of the key that the deployment signs with.
func (d deployment) auditKey() (ed25519.PublicKey, error) {
	settings, err := readConfig(d.Config)
	if err != nil {
		return nil, err
	}
	path := directory(cmp.Or(d.Data, filepath.Dir(d.Config))).file(settings.AuditKey)
	text, err := readSecret(path, false, nil)
	if err != nil {
		return nil, err
	}
	key, err := parseSigningKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%s is not an Ed25519 key", path)
	}
	return public, nil
}

// maxKept bounds a line of a log that was collected elsewhere.
const maxKept = 64 << 10

// readKept finds checkpoints in the lines of a file: bare, or as the text or JSON
// log writes them.
func readKept(path string) ([]string, error) {
	if path == "" {
		return nil, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var list []string
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, maxKept)
	for lines.Scan() {
		text := strings.TrimSpace(lines.Text())
		for _, before := range []string{`"checkpoint":"`, "checkpoint="} {
			if _, after, found := strings.Cut(text, before); found {
				text = after
			}
		}
		if end := strings.IndexAny(text, "\" }"); end >= 0 {
			text = text[:end]
		}
		if strings.Count(text, ".") == 2 && strings.HasPrefix(text, "ey") {
			list = append(list, text)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s has no checkpoint", path)
	}
	return list, nil
}

type auditKeyCommand struct {
	deployment `embed:""`
}

// Run prints the key as PEM.
func (c *auditKeyCommand) Run(s streams) error {
	public, err := c.auditKey()
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return err
	}
	return pem.Encode(s.out, &pem.Block{Type: "PUBLIC KEY", Bytes: der})
}
