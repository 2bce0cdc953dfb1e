package pace

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"math/big"
	"strings"
	"testing"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func curveOf(t testing.TB, d curveData) *curve {
	t.Helper()
	c, err := d.curve()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func allCurves() []curveData {
	return []curveData{dataP256(), dataBrainpoolP256r1(), dataBrainpoolP384r1()}
}

// The order is a prime, the generator has it, and the complete formulas hold in
// the cases in which the usual ones do not.
func TestCurvesHaveTheirOrder(t *testing.T) {
	for _, d := range allCurves() {
		c := curveOf(t, d)
		n, _ := new(big.Int).SetString(d.order, 16)
		if !n.ProbablyPrime(20) {
			t.Errorf("%s: order is not a prime", d.name)
		}
		if !c.multiply(n.Bytes(), c.base).infinite() {
			t.Errorf("%s: n·G is not infinity", d.name)
		}
		if got := c.encode(c.multiply(new(big.Int).Add(n, big.NewInt(1)).Bytes(), c.base)); !bytes.Equal(got, c.encode(c.base)) {
			t.Errorf("%s: (n+1)·G is not G", d.name)
		}
		minus := c.multiply(new(big.Int).Sub(n, big.NewInt(1)).Bytes(), c.base)
		if !c.add(minus, c.base).infinite() {
			t.Errorf("%s: -G + G is not infinity", d.name)
		}
		if !c.multiply(make([]byte, c.size), c.base).infinite() {
			t.Errorf("%s: 0·G is not infinity", d.name)
		}
		infinity := c.multiply([]byte{0}, c.base)
		if got := c.encode(c.add(infinity, c.base)); !bytes.Equal(got, c.encode(c.base)) {
			t.Errorf("%s: infinity + G is not G", d.name)
		}
	}
}

func TestCurvesAgreeWithAffineArithmetic(t *testing.T) {
	for _, d := range allCurves() {
		c, other := curveOf(t, d), affineOf(d)
		for range 8 {
			k, err := c.draw(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			p := c.multiply(k, c.base)
			q := other.multiply(new(big.Int).SetBytes(k), other.g)
			if !bytes.Equal(c.encode(p), other.bytes(q)) {
				t.Fatalf("%s: multiples differ", d.name)
			}
			if !bytes.Equal(c.encode(c.add(p, c.base)), other.bytes(other.add(q, other.g))) {
				t.Fatalf("%s: sums differ", d.name)
			}
		}
	}
}

func TestP256AgreesWithTheStandardLibrary(t *testing.T) {
	c := curveOf(t, dataP256())
	for range 8 {
		private, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.encode(c.multiply(private.Bytes(), c.base)); !bytes.Equal(got, private.PublicKey().Bytes()) {
			t.Fatal("public keys differ")
		}
	}
}

// The example's mapping: G' = s·G + H.
func TestMappingReproducesTheExample(t *testing.T) {
	c := curveOf(t, dataBrainpoolP256r1())
	terminal := unhex(t, "7F4EF07B9EA82FD78AD689B38D0BC78CF21F249D953BC46F4C6E19259C010F99")
	public := unhex(t, `04 7ACF3EFC982EC45565A4B155129EFBC74650DCBFA6362D896FC70262E0C2CC5E
		544552DCB6725218799115B55C9BAA6D9F6BC3A9618E70C25AF71777A9C4922D`)
	if got := c.encode(c.multiply(terminal, c.base)); !bytes.Equal(got, public) {
		t.Errorf("terminal's key: %X", got)
	}
	other, err := c.parse(unhex(t, `04 824FBA91C9CBE26BEF53A0EBE7342A3BF178CEA9F45DE0B70AA601651FBA3F57
		30D8C879AAA9C9F73991E61B58F4D52EB87A0A0C709A49DC63719363CCD13C54`))
	if err != nil {
		t.Fatal(err)
	}
	h := c.multiply(terminal, other)
	if got, want := c.encode(h), unhex(t, `04 60332EF2450B5D247EF6D3868397D398852ED6E8CAF6FFEEF6BF85CA57057FD5
		0840CA7415BAF3E43BD414D35AA4608B93A2CAF3A4E3EA4E82C9C13D03EB7181`); !bytes.Equal(got, want) {
		t.Errorf("H: %X", got)
	}
	mapped := c.add(c.multiply(unhex(t, "3F00C4D39D153F2B2A214A078D899B22"), c.base), h)
	if got, want := c.encode(mapped), unhex(t, `04 8CED63C91426D4F0EB1435E7CB1D74A46723A0AF21C89634F65A9AE87A9265E2
		8C879506743F8611AC33645C5B985C80B5F09A0B83407C1B6A4D857AE76FE522`); !bytes.Equal(got, want) {
		t.Errorf("G': %X", got)
	}
}

// badPoints are encodings that no honest card sends (C-54): of another curve, in
// no field, of another form.
func badPoints(d curveData) map[string][]byte {
	c := affineOf(d)
	off := c.bytes(&xy{c.g.x, new(big.Int).Add(c.g.y, big.NewInt(1))})
	reduced := append([]byte{4}, c.p.FillBytes(make([]byte, c.size))...)
	// A point of the curve with the same p and a, and another b: addition
	// formulas without b would happily compute with it.
	invalid := &xy{big.NewInt(5), big.NewInt(7)}
	return map[string][]byte{
		"off the curve":          off,
		"invalid curve":          c.bytes(invalid),
		"zero":                   append([]byte{4}, make([]byte, 2*c.size)...),
		"x is p":                 append(reduced, make([]byte, c.size)...),
		"all ones":               append([]byte{4}, bytes.Repeat([]byte{0xFF}, 2*c.size)...),
		"infinity":               {0},
		"compressed":             append([]byte{2}, c.g.x.FillBytes(make([]byte, c.size))...),
		"hybrid":                 append([]byte{6}, c.bytes(c.g)[1:]...),
		"one byte short":         c.bytes(c.g)[:2*c.size],
		"one byte more":          append(c.bytes(c.g), 0),
		"nothing":                {},
		"x above p, congruent x": append(append([]byte{4}, overflow(c)...), c.g.y.FillBytes(make([]byte, c.size))...),
	}
}

// overflow is x + p where that fits into the coordinate, all ones otherwise.
func overflow(c affine) []byte {
	sum := new(big.Int).Add(c.g.x, c.p)
	if sum.BitLen() > 8*c.size {
		return bytes.Repeat([]byte{0xFF}, c.size)
	}
	return sum.FillBytes(make([]byte, c.size))
}

func TestC54ParseRefusesBadPoints(t *testing.T) {
	for _, d := range allCurves() {
		c := curveOf(t, d)
		for name, raw := range badPoints(d) {
			if _, err := c.parse(raw); err == nil {
				t.Errorf("%s: %s accepted", d.name, name)
			}
		}
		if _, err := c.parse(c.encode(c.base)); err != nil {
			t.Errorf("%s: G: %v", d.name, err)
		}
	}
}

func TestDrawRefusesNumbersOutsideOfTheOrder(t *testing.T) {
	c := curveOf(t, dataBrainpoolP256r1())
	order := unhex(t, dataBrainpoolP256r1().order)
	good := append(make([]byte, 31), 1)
	got, err := c.draw(bytes.NewReader(append(append(append(order, make([]byte, 32)...), bytes.Repeat([]byte{0xFF}, 32)...), good...)))
	if err != nil || !bytes.Equal(got, good) {
		t.Errorf("got %X, %v", got, err)
	}
	if _, err := c.draw(bytes.NewReader(make([]byte, 32*(maxDraws+1)))); err == nil {
		t.Error("zeros for ever were accepted")
	}
	if _, err := c.draw(bytes.NewReader(make([]byte, 31))); err == nil {
		t.Error("a short source was accepted")
	}
}

func BenchmarkMultiply(b *testing.B) {
	for _, d := range allCurves() {
		c := curveOf(b, d)
		k, err := c.draw(rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(d.name, func(b *testing.B) {
			for b.Loop() {
				c.multiply(k, c.base)
			}
		})
	}
}
