package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/eidbridge/eidbridge/brokers"
)

type cardsCommand struct {
	Forget cardsForgetCommand `cmd:"" help:"Forget who used a card's key, so that the next person with it is taken for its holder."`
}

type cardsForgetCommand struct {
	Key string `arg:"" help:"The fingerprint of the key: \"evidence\" of the entry with reason key_of_another in the audit log."`

	deployment `embed:""`
}

// Run removes the note that two cards with one key left behind.
func (c *cardsForgetCommand) Run(ctx context.Context, s streams) error {
	raw, err := hex.DecodeString(c.Key)
	if err != nil || len(raw) != len(brokers.Hash{}) {
		return errors.New("a fingerprint has 64 hexadecimal digits")
	}
	database, err := c.open(ctx)
	if err != nil {
		return err
	}
	if err := database.ForgetKey(ctx, brokers.Hash(raw)); err != nil {
		return errors.Join(err, database.Close())
	}
	fmt.Fprintln(s.out, "forgotten; whoever logs in with that key next is its holder")
	return database.Close()
}
