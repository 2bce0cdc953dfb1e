package cwa14890

import (
	"bytes"
	"crypto/rsa"
	_ "embed" // the published key sets
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// The published terminal keys of the DNIe; the file names its source.
//
//go:embed data/dnie.json
var publishedKeySets []byte

// KeySet is one generation of terminal keys: the root that the cards know, the
// authority below it, and a terminal for each channel. Its certificates have been
// verified from the root down.
type KeySet struct {
	// Generation is 1 or 2 for the DNIe.
	Generation int

	root      *modulus
	terminals []*Terminal
}

// Terminal is the key with which the terminal's side takes part in a handshake,
// and the certificates that make the card know it.
type Terminal struct {
	role      Role
	authority *Certificate
	issuer    Reference
	own       *Certificate
	holder    [holderSize]byte
	key       *modulus
	exponent  []byte // nil when only the public part is known
}

// Role is the channel that the terminal opens.
func (t *Terminal) Role() Role { return t.role }

// String names the terminal without its key.
func (t *Terminal) String() string {
	return fmt.Sprintf("terminal %X, role %02X", t.holder[holderSize-referenceSize:], byte(t.role))
}

// GoString is String.
func (t *Terminal) GoString() string { return t.String() }

// The form of a key set file. All values are hexadecimal.
type keySetFile struct {
	Source  string       `json:"source"`
	KeySets []keySetData `json:"keySets"`
}

type keySetData struct {
	Generation int `json:"generation"`
	Root       struct {
		Modulus string `json:"modulus"`
	} `json:"root"`
	Authority struct {
		Certificate string `json:"certificate"`
	} `json:"authority"`
	User *terminalData `json:"user,omitempty"`
	PIN  *terminalData `json:"pin,omitempty"`
}

type terminalData struct {
	Certificate     string `json:"certificate"`
	Modulus         string `json:"modulus"`
	PrivateExponent string `json:"privateExponent,omitempty"`
}

// PublishedKeySets are the two generations of the DNIe as the open drivers
// publish them.
func PublishedKeySets() ([]*KeySet, error) { return ParseKeySets(publishedKeySets) }

// ParseKeySets reads a JSON file of terminal keys and verifies it: root over
// authority over terminals, roles, moduli, and private exponents where present.
//
//	{"source": "…", "keySets": [{"generation": 2,
//	  "root": {"modulus": "B972…"}, "authority": {"certificate": "7F21…"},
//	  "user": {"certificate": "7F21…", "modulus": "BDEF…", "privateExponent": "…"},
//	  "pin":  {"certificate": "7F21…", "modulus": "DF03…", "privateExponent": "…"}}]}
//
// The error is ErrKeySet; it never holds a value of the file.
func ParseKeySets(file []byte) ([]*KeySet, error) {
	if len(file) > maxKeySets {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrKeySet, maxKeySets)
	}
	decoder := json.NewDecoder(bytes.NewReader(file))
	decoder.DisallowUnknownFields()
	var content keySetFile
	if err := decoder.Decode(&content); err != nil {
		// The decoder's text may quote a value.
		return nil, fmt.Errorf("%w: not the expected JSON", ErrKeySet)
	}
	if decoder.More() || len(content.KeySets) == 0 {
		return nil, fmt.Errorf("%w: no key set, or something behind it", ErrKeySet)
	}
	sets := make([]*KeySet, 0, len(content.KeySets))
	for i, data := range content.KeySets {
		set, err := data.verify()
		if err != nil {
			return nil, fmt.Errorf("%w: set %d: %w", ErrKeySet, i, err)
		}
		sets = append(sets, set)
	}
	return sets, nil
}

func (d keySetData) verify() (*KeySet, error) {
	raw, err := decode("root modulus", d.Root.Modulus)
	if err != nil {
		return nil, err
	}
	root, err := newModulus(raw)
	if err != nil {
		return nil, fmt.Errorf("root: %w", err)
	}
	set := &KeySet{Generation: d.Generation, root: root}
	authority, err := decodeCertificate("authority", d.Authority.Certificate)
	if err != nil {
		return nil, err
	}
	issuer, err := authority.Verify(root.publicKey())
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	if issuer.Role != RoleAuthority {
		return nil, fmt.Errorf("authority: role %02X", byte(issuer.Role))
	}
	for _, entry := range []struct {
		role Role
		data *terminalData
	}{{RoleUser, d.User}, {RolePIN, d.PIN}} {
		if entry.data == nil {
			continue
		}
		terminal, err := entry.data.verify(issuer, entry.role)
		if err != nil {
			return nil, fmt.Errorf("terminal of role %02X: %w", byte(entry.role), err)
		}
		terminal.authority = authority
		set.terminals = append(set.terminals, terminal)
	}
	return set, nil
}

func (d terminalData) verify(issuer *Subject, role Role) (*Terminal, error) {
	own, err := decodeCertificate("certificate", d.Certificate)
	if err != nil {
		return nil, err
	}
	if own.Authority() != issuer.Reference() {
		return nil, fmt.Errorf("certificate is of another authority")
	}
	subject, err := own.Verify(issuer.Key)
	if err != nil {
		return nil, err
	}
	if subject.Role != role {
		return nil, fmt.Errorf("certificate has role %02X", byte(subject.Role))
	}
	raw, err := decode("modulus", d.Modulus)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(raw, subject.key.bytes()) {
		return nil, fmt.Errorf("modulus is not that of the certificate")
	}
	t := &Terminal{
		role: role, issuer: issuer.Reference(), own: own, holder: subject.Holder, key: subject.key,
	}
	if d.PrivateExponent == "" {
		return t, nil
	}
	if t.exponent, err = decode("private exponent", d.PrivateExponent); err != nil {
		return nil, err
	}
	return t, t.checkExponent()
}

// checkExponent proves the private exponent with one value there and back.
func (t *Terminal) checkExponent() error {
	if len(t.exponent) > keySize {
		return fmt.Errorf("private exponent is too long")
	}
	probe := make([]byte, keySize)
	probe[keySize-1] = 2
	signed, err := t.key.power(probe, t.exponent)
	if err != nil {
		return err
	}
	back, err := t.key.public(signed)
	if err != nil || !bytes.Equal(back, probe) {
		return fmt.Errorf("private exponent does not belong to the modulus")
	}
	return nil
}

func decode(name, text string) ([]byte, error) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) == 0 {
		return nil, fmt.Errorf("%s is not hexadecimal", name)
	}
	return raw, nil
}

func decodeCertificate(name, text string) (*Certificate, error) {
	raw, err := decode(name, text)
	if err != nil {
		return nil, err
	}
	return ParseCertificate(raw)
}

// Root is the key of the component authority, which also stands above the
// chips' X.509 certificates of the same generation: a trust root for Trust.
func (k *KeySet) Root() *rsa.PublicKey { return k.root.publicKey() }

// Terminal is the key for one channel. The errors are ErrNoPrivateKey and, for a
// role that the set does not have, ErrKeySet.
func (k *KeySet) Terminal(role Role) (*Terminal, error) {
	for _, t := range k.terminals {
		if t.role != role {
			continue
		}
		if t.exponent == nil {
			return nil, fmt.Errorf("generation %d, %v: %w", k.Generation, t, ErrNoPrivateKey)
		}
		return t, nil
	}
	return nil, fmt.Errorf("%w: generation %d has no role %02X", ErrKeySet, k.Generation, byte(role))
}

// GenerationFor tells from a DNIe's IDESP (file 3F00/0006, "BMP100001") which key
// set its chip knows: the second from BMP100001 on, by string comparison, and
// also when IDESP could not be read. The rule is that of the public drivers; a
// card that answers ErrGeneration is of the other one.
func GenerationFor(idesp string) int {
	const firstOfSecond = "BMP100001"
	if idesp != "" && idesp < firstOfSecond {
		return 1
	}
	return 2
}
