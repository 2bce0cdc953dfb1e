package cwa14890

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"testing"
)

// published is the data file, read a second way.
func published(t testing.TB) []keySetData {
	t.Helper()
	var file keySetFile
	if err := json.Unmarshal(publishedKeySets, &file); err != nil {
		t.Fatal(err)
	}
	return file.KeySets
}

func TestPublishedCertificatesVerifyFromTheRoot(t *testing.T) {
	sets, err := PublishedKeySets()
	if err != nil {
		t.Fatal(err)
	}
	// References of both generations as the public drivers use them.
	want := []struct{ root, authority, user, pin string }{
		{"6573524449600006", "6573534449600006", "2000000000000001", "4000000000000001"},
		{"6573524449620018", "6573534449620018", "D002E00000000002", "D002E00000000004"},
	}
	if len(sets) != len(want) {
		t.Fatalf("got %d sets", len(sets))
	}
	for i, set := range sets {
		if set.Generation != i+1 {
			t.Errorf("set %d: generation %d", i, set.Generation)
		}
		if len(set.terminals) != 2 {
			t.Fatalf("generation %d: %d terminals", i+1, len(set.terminals))
		}
		user, pin := set.terminals[0], set.terminals[1]
		if user.Role() != RoleUser || pin.Role() != RolePIN {
			t.Errorf("generation %d: roles %v, %v", i+1, user, pin)
		}
		for name, got := range map[string][2]string{
			"root":      {hex.EncodeToString(user.authority.authority[:]), want[i].root},
			"authority": {hex.EncodeToString(user.issuer[:]), want[i].authority},
			"user":      {hex.EncodeToString(user.holder[:]), "00000000" + want[i].user},
			"pin":       {hex.EncodeToString(pin.holder[:]), "00000000" + want[i].pin},
		} {
			if !bytes.EqualFold([]byte(got[0]), []byte(got[1])) {
				t.Errorf("generation %d, %s: reference %s, want %s", i+1, name, got[0], got[1])
			}
		}
		if n := len(user.authority.Bytes()); n != 210 {
			t.Errorf("authority certificate has %d bytes", n)
		}
		if n := len(user.own.Bytes()); n != 209 {
			t.Errorf("terminal certificate has %d bytes", n)
		}
		for _, role := range []Role{RoleUser, RolePIN} {
			if _, err := set.Terminal(role); err != nil {
				t.Errorf("generation %d: %v", i+1, err)
			}
		}
	}
}

// The private exponents are checked with plain big numbers against the moduli
// inside the certificates, and by the signature of a handshake.
func TestPublishedPrivateExponentsBelongToTheirCertificates(t *testing.T) {
	for i, set := range must(PublishedKeySets()) {
		for _, terminal := range set.terminals {
			n := terminal.key.publicKey().N
			d := new(big.Int).SetBytes(terminal.exponent)
			message := new(big.Int).Rsh(n, 1)
			signed := new(big.Int).Exp(message, d, n)
			if signed.Cmp(message) == 0 || new(big.Int).Exp(signed, big.NewInt(65537), n).Cmp(message) != 0 {
				t.Errorf("generation %d, %v: exponents do not belong together", i+1, terminal)
			}
			recovered := bytes.Repeat([]byte{0x5A}, recoveredSize)
			signature, err := terminal.key.sign(terminal.exponent, recovered, []byte("rest"))
			if err != nil {
				t.Fatal(err)
			}
			got, hash, err := terminal.key.recover(signature)
			if err != nil || !bytes.Equal(got, recovered) || !matches(hash, recovered, []byte("rest")) {
				t.Errorf("generation %d, %v: signature does not open: %v", i+1, terminal, err)
			}
		}
	}
}

func TestPublicPartsAloneOpenNoChannel(t *testing.T) {
	file := keySetFile{Source: "made for this test", KeySets: published(t)}
	for i := range file.KeySets {
		file.KeySets[i].User.PrivateExponent, file.KeySets[i].PIN.PrivateExponent = "", ""
	}
	sets, err := ParseKeySets(must(json.Marshal(file)))
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range sets {
		if _, err := set.Terminal(RolePIN); !errors.Is(err, ErrNoPrivateKey) {
			t.Errorf("got %v, want ErrNoPrivateKey", err)
		}
	}
}

func TestAuthorityCertificatesRecoverAsComputed(t *testing.T) {
	for i, want := range []struct{ message, modulus string }{{
		`6A036573524449600006000000006573534449600006A00000016745222B240304020201847E40E3E821290C86857534
		C8498EE95F3125FE5D603DDCCA927C4C42A6E155BE09FB8990A7A57511CD169623BA5E64C38B362643AFACA162C94A38
		2EEC56FA31D22F3C14DA35EAFBD3961611697BA510E2E07851933C9FDE450FBC`,
		`847E40E3E821290C86857534C8498EE95F3125FE5D603DDCCA927C4C42A6E155BE09FB8990A7A57511CD169623BA5E64
		C38B362643AFACA162C94A382EEC56FA31D22F3C14DA352253C8B9CB5BC3543A55660BDA80946AFB0525E8E5586B4E63
		E89241497836D8D3AB088CD44C214D6AC856E2A007F44F83743337371ADD8E03`,
	}, {
		`6A036573524449620018000000006573534449620018A00000016745222B240304020201A38D8B837335A0B147D04676
		E73EDB3432AEB1C975F6E2DCDB5A3324655E4A593C0DF5FD02FDED755D7497A565DB6A4BE1C2E4DBD6C6EEAD45DBA642
		ECF141DA4EF2CDB57670E225A21B7FDC85B75854308EFF5C3A41B6773B7891BC`,
		`A38D8B837335A0B147D04676E73EDB3432AEB1C975F6E2DCDB5A3324655E4A593C0DF5FD02FDED755D7497A565DB6A4B
		E1C2E4DBD6C6EEAD45DBA642ECF141DA4EF2CDB57670E233E3D52A4B0940E390CD1A641FEA2E9CDD79D3872DD6C508D5
		EF239CB07EB55568CE188B6513ACB88414C9ADF7A64E2CC0B314D12754AEEE67`,
	}} {
		data := published(t)[i]
		root, err := newModulus(unhex(t, data.Root.Modulus))
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := ParseCertificate(unhex(t, data.Authority.Certificate))
		if err != nil {
			t.Fatal(err)
		}
		recovered, hash, err := root.recover(certificate.signature)
		if err != nil {
			t.Fatal(err)
		}
		message := append(append(append([]byte{0x6A}, recovered...), hash...), 0xBC)
		if !bytes.Equal(message, unhex(t, want.message)) {
			t.Errorf("generation %d: recovered %X", i+1, message)
		}
		subject, err := certificate.Verify(root.publicKey())
		if err != nil {
			t.Fatal(err)
		}
		if got := subject.Key.N.Bytes(); !bytes.Equal(got, unhex(t, want.modulus)) {
			t.Errorf("generation %d: modulus %X", i+1, got)
		}
	}
}

// Every bit of a certificate is covered by its form or its signature.
func TestCertificateRefusesEveryFlippedBit(t *testing.T) {
	data := published(t)[1]
	root := must(newModulus(unhex(t, data.Root.Modulus))).publicKey()
	good := unhex(t, data.Authority.Certificate)
	for i := range good {
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << bit
			certificate, err := ParseCertificate(bad)
			if err == nil {
				_, err = certificate.Verify(root)
			}
			if !errors.Is(err, ErrCertificate) {
				t.Fatalf("bit %d of byte %d: got %v, want ErrCertificate", bit, i, err)
			}
		}
		if _, err := ParseCertificate(good[:i]); !errors.Is(err, ErrCertificate) {
			t.Fatalf("cut to %d bytes: got %v, want ErrCertificate", i, err)
		}
	}
	if _, err := ParseCertificate(append(bytes.Clone(good), 0)); !errors.Is(err, ErrCertificate) {
		t.Errorf("trailing byte: got %v, want ErrCertificate", err)
	}
}

// C-50: signatures that verify over contents that may not be.
func TestC50CertificateRefusesSignedNonsense(t *testing.T) {
	issuer, key := generate(), generate()
	even := new(big.Int).Lsh(big.NewInt(1), 1023)
	edit := func(at int, value byte) []byte {
		b := body(labAuthorityReference, vectorTerminalSerial, 0x02, key.n)
		b[at] = value
		return b
	}
	for _, v := range []struct {
		name    string
		content []byte
		ok      bool
	}{
		{"good", edit(0, 0x04), true},
		{"unknown profile", edit(0, 0x05), false},
		{"profile of an authority with the length of a terminal", edit(0, 0x03), false},
		{"other issuer inside", edit(8, 0xFF), false},
		{"other application in the authorisation", edit(21, 0xA1), false},
		{"role of an authority in a terminal", edit(27, 0x22), false},
		{"other key algorithm", edit(33, 0x02), false},
		{"short modulus", edit(34, 0x00), false},
		{"even modulus", body(labAuthorityReference, vectorTerminalSerial, 0x02, even), false},
		{"exponent 3", edit(165, 0x03), false},
		{"terminal in the profile of an authority", func() []byte {
			b := body(labAuthorityReference, vectorTerminalSerial, 0x22, key.n)
			b[27] = 0x02
			return b
		}(), false},
	} {
		certificate, err := ParseCertificate(seal(issuer, labAuthorityReference, v.content))
		if err != nil {
			t.Fatalf("%s: %v", v.name, err)
		}
		subject, err := certificate.Verify(issuer.public())
		switch {
		case v.ok && (err != nil || subject.Role != RoleUser || subject.Key.N.Cmp(key.n) != 0):
			t.Errorf("%s: got %+v, %v", v.name, subject, err)
		case !v.ok && !errors.Is(err, ErrCertificate):
			t.Errorf("%s: got %v, want ErrCertificate", v.name, err)
		}
		if _, err := certificate.Verify(key.public()); !errors.Is(err, ErrCertificate) {
			t.Errorf("%s, other issuer: got %v, want ErrCertificate", v.name, err)
		}
		if _, err := certificate.Verify(nil); !errors.Is(err, ErrCertificate) {
			t.Errorf("%s, no issuer: got %v, want ErrCertificate", v.name, err)
		}
	}
}

// Both forms of a signature are the same signature.
func TestCertificateAcceptsTheOtherSignature(t *testing.T) {
	issuer, key := generate(), generate()
	raw := issue(issuer, labAuthorityReference, vectorTerminalSerial, 0x02, key.n)
	s := new(big.Int).SetBytes(raw[8:136])
	s.Sub(issuer.n, s).FillBytes(raw[8:136])
	certificate, err := ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := certificate.Verify(issuer.public()); err != nil {
		t.Error(err)
	}
}

// FuzzParseCertificate: what is accepted is written back as it was, and nothing
// but the published certificates verifies under the published roots.
func FuzzParseCertificate(f *testing.F) {
	good := map[string]bool{}
	var keys []*modulus
	sets := must(PublishedKeySets())
	for i, data := range published(f) {
		keys = append(keys, sets[i].root, must(newModulus(unhex(f, data.User.Modulus))))
		for _, text := range []string{data.Authority.Certificate, data.User.Certificate, data.PIN.Certificate} {
			raw := unhex(f, text)
			good[string(raw)] = true
			f.Add(raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		certificate, err := ParseCertificate(raw)
		if err != nil {
			if !errors.Is(err, ErrCertificate) {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		if !bytes.Equal(certificate.Bytes(), raw) {
			t.Fatalf("read %X, wrote %X", raw, certificate.Bytes())
		}
		for _, key := range keys {
			if _, err := certificate.Verify(key.publicKey()); err == nil && !good[string(raw)] {
				t.Fatalf("verified %X", raw)
			}
		}
	})
}
