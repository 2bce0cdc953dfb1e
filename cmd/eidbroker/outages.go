package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/brokers/outages"
)

// outageLook is how often the file of outages is looked at.
const outageLook = 5 * time.Second

// outageConfig is a method, or a whole upstream, that is out of order.
type outageConfig struct {
	Upstream string    `toml:"upstream"`
	Method   string    `toml:"method"`
	From     time.Time `toml:"from"`
	Until    time.Time `toml:"until"`
	Planned  bool      `toml:"planned"`
}

// outageFile is a file with outages alone.
type outageFile struct {
	Outages []outageConfig `toml:"outages"`
}

func (c outageConfig) outage() (brokers.Outage, error) {
	o := brokers.Outage{Upstream: c.Upstream, Limit: brokers.Limit{Method: c.Method, From: c.From, Until: c.Until, Planned: c.Planned}}
	return o, outages.Check(o)
}

// breakerConfig bounds the circuit breaker; default.toml says what each key means.
type breakerConfig struct {
	Failures     int      `toml:"failures"`
	Window       duration `toml:"window"`
	Pause        duration `toml:"pause"`
	LongestPause duration `toml:"longest_pause"`
}

func (c config) breakerSettings() outages.Settings {
	b := c.Breaker
	return outages.Settings{
		Failures: b.Failures, Never: b.Failures == 0, Window: time.Duration(b.Window), Pause: time.Duration(b.Pause), LongestPause: time.Duration(b.LongestPause),
	}
}

// outageList are those of the configuration and of a file that may change while the
// broker runs: the switch of an operator.
type outageList struct {
	fixed []brokers.Outage
	path  string
	log   *slog.Logger

	mu      sync.Mutex
	looked  time.Time
	changed time.Time
	current []brokers.Outage
}

func (c *config) outageSwitch(dir directory, upstreams []brokers.Upstream, log *slog.Logger) (func(time.Time) []brokers.Outage, error) {
	s := &outageList{log: log}
	known := map[string]bool{}
	for _, u := range upstreams {
		known[u.ID()] = true
	}
	for i, section := range c.Outages {
		outage, err := section.outage()
		if err == nil && !known[outage.Upstream] {
			err = fmt.Errorf("outage of an upstream that is not configured: %q", outage.Upstream)
		}
		if err != nil {
			return nil, c.at(fmt.Sprintf("outages[%d]", i), err)
		}
		s.fixed = append(s.fixed, outage)
	}
	if c.OutagesFile != "" {
		s.path = dir.file(c.OutagesFile)
	}
	return s.at, nil
}

// at lists the outages. A file that cannot be read is told and changes nothing.
func (s *outageList) at(now time.Time) []brokers.Outage {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.path != "" && now.Sub(s.looked) >= outageLook {
		s.looked = now
		if err := s.look(); err != nil {
			s.log.Error("file of outages was not read; what was known stays", "error", err)
		}
	}
	return append(s.current[:len(s.current):len(s.current)], s.fixed...)
}

func (s *outageList) look() error {
	info, err := os.Stat(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		s.current, s.changed = nil, time.Time{}
		return nil
	}
	if err != nil {
		return err
	}
	if info.ModTime().Equal(s.changed) {
		return nil
	}
	if info.Size() > maxConfig {
		return errors.New("file is too large")
	}
	text, err := os.ReadFile(s.path)
	if err != nil {
		return err
	}
	var file outageFile
	if err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(&file); err != nil {
		return explain(s.path, err)
	}
	var list []brokers.Outage
	for _, section := range file.Outages {
		outage, err := section.outage()
		if err != nil {
			return err
		}
		list = append(list, outage)
	}
	s.current, s.changed = list, info.ModTime()
	return nil
}
