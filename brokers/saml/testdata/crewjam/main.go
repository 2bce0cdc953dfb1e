// Command crewjam validates one response again and again with crewjam/saml: the
// peer of the benchmarks of package saml. It reads its task from standard input,
// and for each line that follows it works for that many nanoseconds and prints how
// many responses it validated, and how long it took.
package main

import (
	"bufio"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/crewjam/saml"
)

type task struct {
	Response, Metadata, Key        []byte // Key is PKCS #8
	Entity, ACS, RequestID, NameID string
	Now                            time.Time
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return err
	}
	var t task
	if err := json.Unmarshal(line, &t); err != nil {
		return err
	}
	key, err := x509.ParsePKCS8PrivateKey(t.Key)
	if err != nil {
		return err
	}
	acs, err := url.Parse(t.ACS)
	if err != nil {
		return err
	}
	saml.TimeNow = func() time.Time { return t.Now }
	sp := saml.ServiceProvider{EntityID: t.Entity, AcsURL: *acs, Key: key.(crypto.Signer), IDPMetadata: &saml.EntityDescriptor{}}
	if err := xml.Unmarshal(t.Metadata, sp.IDPMetadata); err != nil {
		return err
	}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil
		}
		n, err := strconv.ParseInt(line[:len(line)-1], 10, 64)
		if err != nil {
			return err
		}
		count, began := 0, time.Now()
		for time.Since(began) < time.Duration(n) {
			a, err := sp.ParseXMLResponse(t.Response, []string{t.RequestID}, *acs)
			if invalid, ok := err.(*saml.InvalidResponseError); ok {
				return invalid.PrivateErr
			}
			if err != nil {
				return err
			}
			if a.Subject.NameID.Value != t.NameID {
				return fmt.Errorf("subject is %q", a.Subject.NameID.Value)
			}
			count++
		}
		fmt.Println(count, time.Since(began).Nanoseconds())
	}
}
