package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/eidbridge/eidbridge/brokers/audit"
)

// changes are what operators did lately, the newest first, as the audit logs of this
// host tell: that of serve and that of commands. Other replicas have their own.
func (c config) changes(dir directory, most int) ([]audit.Line, error) {
	if c.AuditLog == "" {
		return nil, nil
	}
	acted := func(l *audit.Line) bool { return l.Attributes["actor"] != "" }
	var all []audit.Line
	for _, path := range []string{dir.file(c.AuditLog), c.adminLog(dir)} {
		list, err := audit.Tail(path, most, acted)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	slices.SortStableFunc(all, func(a, b audit.Line) int { return b.Time.Compare(a.Time) })
	return all[:min(len(all), most)], nil
}

// adminLog is the audit log of commands, a file of its own beside that of serve
// because a file has one writer.
func (c config) adminLog(dir directory) string {
	path := dir.file(c.AuditLog)
	extension := filepath.Ext(path)
	return strings.TrimSuffix(path, extension) + "-admin" + extension
}

type auditChangesCommand struct {
	JSON bool `help:"As JSON, a line for each."`
	Most int  `help:"How many to list at most." default:"50"`

	deployment `embed:""`
}

// Run lists what operators did lately.
func (c *auditChangesCommand) Run(s streams) error {
	settings, err := readConfig(c.Config)
	if err != nil {
		return err
	}
	if settings.AuditLog == "" {
		return errors.New("there is no audit log in a file (audit_log)")
	}
	list, err := settings.changes(directory(cmp.Or(c.Data, filepath.Dir(c.Config))), c.Most)
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(s.out)
	for _, line := range list {
		if c.JSON {
			if err := encoder.Encode(line); err != nil {
				return err
			}
			continue
		}
		printChange(s.out, &line)
	}
	return nil
}

func printChange(out io.Writer, l *audit.Line) {
	var rest []string
	for _, name := range slices.Sorted(maps.Keys(l.Attributes)) {
		if name != "actor" && l.Attributes[name] != "" {
			rest = append(rest, name+"="+l.Attributes[name])
		}
	}
	fmt.Fprintf(out, "%s %-22s %-20s %s\n", l.Time.Format("2006-01-02 15:04:05"), l.Event, l.Attributes["actor"], strings.Join(rest, " "))
}
