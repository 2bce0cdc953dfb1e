package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"

	"github.com/pelletier/go-toml/v2"

	"github.com/eidbridge/eidbridge/signing/fetch"
)

// accountEntry is one account of the file that --tsa-accounts names. Paths are relative
// to the file.
type accountEntry struct {
	// URL is that of --tsa, to the letter: the account is shown to nobody else.
	URL         string `toml:"url"`
	User        string `toml:"user"`
	Password    string `toml:"password"`
	Certificate string `toml:"certificate"` // PEM, with its chain
	Key         string `toml:"key"`         // PEM, not encrypted
	CA          string `toml:"ca"`          // PEM: who vouches for the server, instead of the system's list
}

// maxAccounts bounds the file, in bytes.
const maxAccounts = 1 << 20

// readAccounts reads the accounts by URL. The file holds secrets, so nobody else may be
// able to read it.
func readAccounts(name string) (map[string]*fetch.Account, error) {
	if name == "" {
		return nil, nil
	}
	raw, err := readPrivate(name)
	if err != nil {
		return nil, err
	}
	defer clear(raw)
	var file struct {
		Account []accountEntry `toml:"account"`
	}
	if err := toml.NewDecoder(bytes.NewReader(raw)).DisallowUnknownFields().Decode(&file); err != nil {
		// The text of the error may quote a secret.
		at := ""
		if broken, ok := errors.AsType[*toml.DecodeError](err); ok {
			line, _ := broken.Position()
			at = fmt.Sprintf(" (line %d)", line)
		}
		return nil, accountProblem(name, "it is not of the form [[account]] with url, user, password, certificate, key and ca"+at)
	}
	accounts := make(map[string]*fetch.Account, len(file.Account))
	for i, entry := range file.Account {
		account, err := entry.account(filepath.Dir(name))
		if err == nil && accounts[entry.URL] != nil {
			err = errors.New("a second one for the same url")
		}
		if err != nil {
			return nil, accountProblem(name, fmt.Sprintf("account %d: %v", i+1, err))
		}
		accounts[entry.URL] = account
	}
	return accounts, nil
}

func accountProblem(name, what string) error {
	return &problem{exit: exitUsage, message: fmt.Sprintf("%s: %s", name, what), hints: []string{
		"The guide of eidagent has an example: accounts at time-stamping authorities.",
	}}
}

// readPrivate reads a file that only its owner may read.
func readPrivate(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	const others = 0o077
	if !info.Mode().IsRegular() || info.Mode().Perm()&others != 0 {
		return nil, &problem{exit: exitUsage, message: name + " can be read by others", hints: []string{"Keep secrets to yourself: chmod 600 " + name}}
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxAccounts+1))
	if err == nil && len(raw) > maxAccounts {
		err = accountProblem(name, "it is too large")
	}
	return raw, err
}

func (e *accountEntry) account(dir string) (*fetch.Account, error) {
	u, err := url.Parse(e.URL)
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "":
		return nil, errors.New("url is not one of https, so the account would be shown to others")
	case (e.User == "") != (e.Password == "") || (e.Certificate == "") != (e.Key == ""):
		return nil, errors.New("user and password go together, and so do certificate and key")
	case e.User == "" && e.Certificate == "" && e.CA == "":
		return nil, errors.New("it says nothing but a url")
	}
	a := &fetch.Account{User: e.User, Password: e.Password}
	if e.Certificate != "" {
		if a.Certificate, err = e.keyPair(dir); err != nil {
			return nil, err
		}
	}
	if e.CA != "" {
		pem, err := os.ReadFile(inFolder(dir, e.CA))
		if err != nil {
			return nil, err
		}
		if a.Roots = x509.NewCertPool(); !a.Roots.AppendCertsFromPEM(pem) {
			return nil, errors.New("ca holds no certificate")
		}
	}
	return a, nil
}

func (e *accountEntry) keyPair(dir string) (*tls.Certificate, error) {
	certificate, err := os.ReadFile(inFolder(dir, e.Certificate))
	if err != nil {
		return nil, err
	}
	key, err := readPrivate(inFolder(dir, e.Key))
	if err != nil {
		return nil, err
	}
	defer clear(key)
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, errors.New("certificate and key are no pair in PEM")
	}
	return &pair, nil
}

func inFolder(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}
