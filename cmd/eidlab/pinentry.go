package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/eidbridge/eidbridge/fixtures/demo"
)

type pinentryCommand struct {
	Script string `arg:"" help:"File with the answers (JSON)." type:"path"`
}

// Run speaks pinentry's protocol on standard input and output.
func (c *pinentryCommand) Run(s streams) error {
	content, err := os.ReadFile(c.Script)
	if err != nil {
		return err
	}
	var script demo.Script
	if err := json.Unmarshal(content, &script); err != nil {
		return fmt.Errorf("script: %w", err)
	}
	return demo.ServePinentry(s.in, s.out, script)
}
