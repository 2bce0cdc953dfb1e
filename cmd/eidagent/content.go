package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/eidbridge/eidbridge/signing"
)

// detachedFile is the file that a message is about: the one that was named, else
// contract.txt for contract.txt.p7s. Empty when there is none.
func detachedFile(message string, named []string) string {
	if len(named) > 0 {
		return named[0]
	}
	for _, ending := range []string{".p7s", ".csig", ".sig"} {
		if file, ok := strings.CutSuffix(message, ending); ok {
			if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
				return file
			}
		}
	}
	return ""
}

// detachedContent is detachedFile as content, nil when there is none.
func detachedContent(message string, named []string) (signing.Content, error) {
	if len(named) > 1 {
		return nil, &problem{exit: exitUsage, message: "a message is about one file", hints: []string{"Name it with one --content."}}
	}
	file := detachedFile(message, named)
	if file == "" {
		return nil, nil
	}
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return signing.FileContent(file), nil
}

// unsignable is about a file that holds no signature of any known format.
func unsignable(file string) error {
	return &problem{exit: exitDocument, message: filepath.Base(file) + " is no signed document", hints: []string{
		"Signed documents are PDF and XML files, containers (.asice, .asics, .bdoc) and messages (.p7m, .p7s).",
	}}
}
