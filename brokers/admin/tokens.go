package admin

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/eidbridge/eidbridge/brokers"
)

// Role is what a token may do.
type Role string

// The roles: a viewer looks, an operator also changes.
const (
	Viewer   Role = "viewer"
	Operates Role = "operator"
)

// Token lets somebody in. Only its hash is kept.
type Token struct {
	// Name is the actor of audit events.
	Name string
	Role Role
	Hash brokers.Hash
}

// maxTokens bounds the tokens of a file.
const maxTokens = 100

// ParseTokens reads lines of name, role and SHA-256 in hexadecimal. Empty lines and
// those that begin with "#" are left out.
func ParseTokens(text []byte) ([]Token, error) {
	var list []Token
	seen := map[string]bool{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for row := 1; lines.Scan(); row++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) != 3 || !IsName(fields[0]) || fields[1] != string(Viewer) && fields[1] != string(Operates) {
			return nil, fmt.Errorf("line %d is not a name, viewer or operator, and a SHA-256 in hexadecimal", row)
		}
		hash, err := hex.DecodeString(fields[2])
		if err != nil || len(hash) != sha256.Size {
			return nil, fmt.Errorf("line %d: the third field is not a SHA-256 in hexadecimal", row)
		}
		if seen[fields[0]] {
			return nil, fmt.Errorf("line %d: there are two tokens of this name", row)
		}
		seen[fields[0]] = true
		list = append(list, Token{fields[0], Role(fields[1]), brokers.Hash(hash)})
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(list) > maxTokens {
		return nil, fmt.Errorf("there are more than %d tokens", maxTokens)
	}
	if len(list) == 0 {
		return nil, errors.New("there is no token")
	}
	return list, nil
}

// IsName reports whether a token may be called so.
func IsName(name string) bool {
	return regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,31}$`).MatchString(name)
}

// NewToken makes a token, and the line that lets it in.
func NewToken(name string, role Role) (token, line string) {
	token, hash := newSecret()
	return token, fmt.Sprintf("%s %s %s", name, role, hash)
}
