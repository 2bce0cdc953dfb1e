package pace

import (
	"encoding/hex"
	"fmt"
	"io"

	"filippo.io/bigmod"
)

// curve is y² = x³ + ax + b over a prime field, of prime order (cofactor 1).
type curve struct {
	name  string
	size  int // bytes of a coordinate and of a scalar
	field field
	order *bigmod.Modulus
	a, b  *bigmod.Nat
	b3    *bigmod.Nat // 3b
	base  point
}

// point is in projective coordinates: x = X/Z, y = Y/Z; Z = 0 is infinity.
type point struct {
	x, y, z *bigmod.Nat
}

// curveData are the hexadecimal constants of a curve.
type curveData struct {
	name, p, a, b, x, y, order string
}

// dataP256 is from FIPS 186-4 D.1.2.3.
func dataP256() curveData {
	return curveData{
		name:  "P-256",
		p:     "FFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF",
		a:     "FFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFC",
		b:     "5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B",
		x:     "6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296",
		y:     "4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5",
		order: "FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551",
	}
}

// dataBrainpoolP256r1 is from RFC 5639 3.4.
func dataBrainpoolP256r1() curveData {
	return curveData{
		name:  "brainpoolP256r1",
		p:     "A9FB57DBA1EEA9BC3E660A909D838D726E3BF623D52620282013481D1F6E5377",
		a:     "7D5A0975FC2C3057EEF67530417AFFE7FB8055C126DC5C6CE94A4B44F330B5D9",
		b:     "26DC5C6CE94A4B44F330B5D9BBD77CBF958416295CF7E1CE6BCCDC18FF8C07B6",
		x:     "8BD2AEB9CB7E57CB2C4B482FFC81B7AFB9DE27E1E3BD23C23A4453BD9ACE3262",
		y:     "547EF835C3DAC4FD97F8461A14611DC9C27745132DED8E545C1D54C72F046997",
		order: "A9FB57DBA1EEA9BC3E660A909D838D718C397AA3B561A6F7901E0E82974856A7",
	}
}

// dataBrainpoolP384r1 is from RFC 5639 3.6.
func dataBrainpoolP384r1() curveData {
	return curveData{
		name:  "brainpoolP384r1",
		p:     "8CB91E82A3386D280F5D6F7E50E641DF152F7109ED5456B412B1DA197FB71123ACD3A729901D1A71874700133107EC53",
		a:     "7BC382C63D8C150C3C72080ACE05AFA0C2BEA28E4FB22787139165EFBA91F90F8AA5814A503AD4EB04A8C7DD22CE2826",
		b:     "04A8C7DD22CE28268B39B55416F0447C2FB77DE107DCD2A62E880EA53EEB62D57CB4390295DBC9943AB78696FA504C11",
		x:     "1D1C64F068CF45FFA2A63A81B7C13F6B8847A3E77EF14FE3DB7FCAFE0CBD10E8E826E03436D646AAEF87B2E247D4AF1E",
		y:     "8ABE1D7520F9C2A45CB1EB8E95CFD55262B70B29FEEC5864E19C054FF99129280E4646217791811142820341263C5315",
		order: "8CB91E82A3386D280F5D6F7E50E641DF152F7109ED5456B31F166E6CAC0425A7CF3AB6AF6B7FC3103B883202E9046565",
	}
}

// curve computes the values that follow from the constants.
func (d curveData) curve() (*curve, error) {
	raw := map[string][]byte{}
	for name, text := range map[string]string{"p": d.p, "a": d.a, "b": d.b, "x": d.x, "y": d.y, "order": d.order} {
		value, err := hex.DecodeString(text)
		if err != nil {
			return nil, fmt.Errorf("%s of %s: %w", name, d.name, err)
		}
		raw[name] = value
	}
	p, err := bigmod.NewModulus(raw["p"])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.name, err)
	}
	order, err := bigmod.NewModulus(raw["order"])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.name, err)
	}
	c := &curve{name: d.name, size: len(raw["p"]), field: field{p}, order: order}
	if c.a, err = bigmod.NewNat().SetBytes(raw["a"], p); err != nil {
		return nil, fmt.Errorf("%s: %w", d.name, err)
	}
	if c.b, err = bigmod.NewNat().SetBytes(raw["b"], p); err != nil {
		return nil, fmt.Errorf("%s: %w", d.name, err)
	}
	c.b3 = c.field.add(c.field.add(c.b, c.b), c.b)
	c.base, err = c.parse(append(append([]byte{uncompressed}, raw["x"]...), raw["y"]...))
	return c, err
}

// add is complete: it holds for all points of a curve of odd order, equal ones,
// inverse ones and infinity included (Renes, Costello and Batina, "Complete
// addition formulas for prime order elliptic curves", 2015, formula 2).
func (c *curve) add(p, q point) point {
	f := c.field
	xx, yy, zz := f.mul(p.x, q.x), f.mul(p.y, q.y), f.mul(p.z, q.z)
	// The mixed sums, each by one product: (s+t)(u+v) - su - tv.
	mixed := func(s, t, u, v, su, tv *bigmod.Nat) *bigmod.Nat {
		return f.sub(f.mul(f.add(s, t), f.add(u, v)), f.add(su, tv))
	}
	xy := mixed(p.x, p.y, q.x, q.y, xx, yy) // X1Y2 + X2Y1
	xz := mixed(p.x, p.z, q.x, q.z, xx, zz) // X1Z2 + X2Z1
	yz := mixed(p.y, p.z, q.y, q.z, yy, zz) // Y1Z2 + Y2Z1

	azz := f.mul(c.a, zz)
	t := f.add(f.mul(c.a, xz), f.mul(c.b3, zz))
	minus, plus := f.sub(yy, t), f.add(yy, t)
	u := f.add(f.mul(c.b3, xz), f.mul(c.a, f.sub(xx, azz)))
	v := f.add(f.add(f.add(xx, xx), xx), azz)
	return point{
		x: f.sub(f.mul(xy, minus), f.mul(yz, u)),
		y: f.add(f.mul(plus, minus), f.mul(v, u)),
		z: f.add(f.mul(yz, plus), f.mul(xy, v)),
	}
}

// multiply is scalar times p, the scalar big endian, in a time that depends on
// its length only.
func (c *curve) multiply(scalar []byte, p point) point {
	r := point{x: c.field.zero(), y: c.field.zero().SetUint(1).ExpandFor(c.field.p), z: c.field.zero()}
	for _, b := range scalar {
		for bit := 7; bit >= 0; bit-- {
			r = c.add(r, r)
			sum := c.add(r, p)
			on := uint(b>>bit) & 1
			r = point{
				x: c.field.choose(on, r.x, sum.x),
				y: c.field.choose(on, r.y, sum.y),
				z: c.field.choose(on, r.z, sum.z),
			}
		}
	}
	return r
}

func (p point) infinite() bool { return p.z.IsZero() == 1 }

// uncompressed is the form of public keys in PACE (BSI TR-03111 3.2.1).
const uncompressed = 0x04

// parse reads 04 || X || Y and accepts only points on the curve. Infinity has no
// such form.
func (c *curve) parse(encoded []byte) (point, error) {
	if len(encoded) != 1+2*c.size || encoded[0] != uncompressed {
		return point{}, fmt.Errorf("no uncompressed point of %s", c.name)
	}
	f := c.field
	x, err := bigmod.NewNat().SetBytes(encoded[1:1+c.size], f.p)
	if err != nil {
		return point{}, fmt.Errorf("coordinate is outside of the field: %w", err)
	}
	y, err := bigmod.NewNat().SetBytes(encoded[1+c.size:], f.p)
	if err != nil {
		return point{}, fmt.Errorf("coordinate is outside of the field: %w", err)
	}
	right := f.add(f.mul(f.add(f.mul(x, x), c.a), x), c.b)
	if f.mul(y, y).Equal(right) != 1 {
		return point{}, fmt.Errorf("point is not on %s", c.name)
	}
	return point{x: x, y: y, z: f.zero().SetUint(1).ExpandFor(f.p)}, nil
}

// encode writes a finite point.
func (c *curve) encode(p point) []byte {
	f := c.field
	inverse := f.invert(p.z)
	out := append(make([]byte, 0, 1+2*c.size), uncompressed)
	out = append(out, f.mul(p.x, inverse).Bytes(f.p)...)
	return append(out, f.mul(p.y, inverse).Bytes(f.p)...)
}

// draw makes a private key: uniform below the order, not zero.
func (c *curve) draw(random io.Reader) ([]byte, error) {
	key := make([]byte, c.size)
	for range maxDraws {
		if _, err := io.ReadFull(random, key); err != nil {
			return nil, fmt.Errorf("random numbers: %w", err)
		}
		value, err := bigmod.NewNat().SetBytes(key, c.order)
		if err == nil && value.IsZero() == 0 {
			return key, nil
		}
	}
	return nil, fmt.Errorf("random numbers: no private key in %d draws", maxDraws)
}
