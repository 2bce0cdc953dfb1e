package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers/provider"
)

// maxReceipt bounds a receipt and a key set, in bytes.
const maxReceipt = 256 << 10

type receiptCommand struct {
	File string `arg:"" help:"File with the receipt, as <issuer>/receipts/<event_id> gives it; - is the standard input." default:"-"`
	JWKS string `name:"jwks" help:"File with the broker's keys, as its jwks_uri gave them then." required:"" type:"existingfile" placeholder:"FILE"`
	JSON bool   `name:"json" help:"Print all of it as JSON instead of its sentences."`
}

// Run verifies and prints.
func (c *receiptCommand) Run(s streams) error {
	text, err := readBounded(c.File)
	if err != nil {
		return err
	}
	data, err := readBounded(c.JWKS)
	if err != nil {
		return err
	}
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal(data, &keys); err != nil {
		return fmt.Errorf("%s is not a JSON Web Key Set: %w", c.JWKS, err)
	}
	receipt, err := provider.VerifyReceipt(string(text), keys)
	if err != nil {
		return err
	}
	if c.JSON {
		enc := json.NewEncoder(s.out)
		enc.SetIndent("", "  ")
		return enc.Encode(receipt)
	}
	fmt.Fprintf(s.out, "Valid. %s says to %s of the login %s:\n", receipt.Issuer, receipt.Audience, receipt.EventID)
	for _, line := range receipt.Explanation {
		fmt.Fprintln(s.out, "  "+line)
	}
	return nil
}

func readBounded(name string) ([]byte, error) {
	in := io.Reader(os.Stdin)
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	data, err := io.ReadAll(io.LimitReader(in, maxReceipt+1))
	if err == nil && len(data) > maxReceipt {
		err = errors.New("the file is too large")
	}
	return data, err
}
