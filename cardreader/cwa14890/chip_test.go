package cwa14890

import (
	"crypto/rsa"
	"errors"
	"math/big"
	"testing"
	"time"
)

func (l *lab) trust() Trust {
	return Trust{Root: l.set.Root(), Now: func() time.Time { return l.now }}
}

// C-50: a chain is a yes or nothing.
func TestC50VerifyChipAcceptsOnlyACompleteChain(t *testing.T) {
	l := newLab(t)
	for _, v := range []struct {
		name  string
		chain chainOptions
		ok    bool
	}{
		{"good, SHA-1 over SHA-256", chainOptions{}, true},
		{"signed by another root", chainOptions{foreignRoot: true}, false},
		{"chip signed by another authority", chainOptions{foreignIssuer: true}, false},
		{"intermediate is no authority", chainOptions{notAuthority: true}, false},
		{"intermediate has an EC key, chip signed with it", chainOptions{ecAuthority: true}, false},
		{"issuer name differs", chainOptions{otherIssuerName: true}, false},
		{"expired", chainOptions{expired: true}, false},
		{"unknown critical extension", chainOptions{critical: true}, false},
		{"signature algorithm not of this family", chainOptions{sha512: true}, false},
		{"chip key of 2048 bits", chainOptions{wideKey: true}, false},
	} {
		intermediate, der := l.chain(t, v.chain)
		chip, err := l.trust().VerifyChip(intermediate, der)
		switch {
		case v.ok && (err != nil || chip == nil):
			t.Errorf("%s: %v", v.name, err)
		case !v.ok && (!errors.Is(err, ErrUntrusted) || chip != nil):
			t.Errorf("%s: got %v, %v; want ErrUntrusted", v.name, chip, err)
		}
	}
}

func TestVerifyChipRefusesDamagedFiles(t *testing.T) {
	l := newLab(t)
	big := make([]byte, maxCertificate+1)
	copy(big, l.chipX)
	for name, files := range map[string][2][]byte{
		"both missing":         {nil, nil},
		"chip missing":         {l.intermediateDER, nil},
		"swapped":              {l.chipX, l.intermediateDER},
		"trailing byte":        {l.intermediateDER, append(append([]byte(nil), l.chipX...), 0)},
		"cut":                  {l.intermediateDER, l.chipX[:len(l.chipX)-1]},
		"one byte over":        {l.intermediateDER, big},
		"same file twice":      {l.intermediateDER, l.intermediateDER},
		"last signature byte":  {l.intermediateDER, flipLast(l.chipX)},
		"last of intermediate": {flipLast(l.intermediateDER), l.chipX},
	} {
		if chip, err := l.trust().VerifyChip(files[0], files[1]); !errors.Is(err, ErrUntrusted) || chip != nil {
			t.Errorf("%s: got %v, %v; want ErrUntrusted", name, chip, err)
		}
	}
}

func flipLast(b []byte) []byte {
	b = append([]byte(nil), b...)
	b[len(b)-1] ^= 1
	return b
}

func TestVerifyChipRefusesToGuessItsTrust(t *testing.T) {
	l := newLab(t)
	small := new(big.Int).Lsh(big.NewInt(1), minRootBits-2)
	large := new(big.Int).Lsh(big.NewInt(1), maxRootBits)
	for name, trust := range map[string]Trust{
		"nothing":    {},
		"no clock":   {Root: l.set.Root()},
		"no root":    {Now: time.Now},
		"empty root": {Root: &rsa.PublicKey{}, Now: time.Now},
		"small root": {Root: &rsa.PublicKey{N: small, E: 65537}, Now: time.Now},
		"large root": {Root: &rsa.PublicKey{N: large, E: 65537}, Now: time.Now},
	} {
		if _, err := trust.VerifyChip(l.intermediateDER, l.chipX); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: got %v, want ErrOptions", name, err)
		}
	}
}
