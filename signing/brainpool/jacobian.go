package brainpool

import "math/big"

// jacobian is a point as (X/Z², Y/Z³), which saves the division of each step; Z = 0
// is infinity.
type jacobian struct{ x, y, z *big.Int }

func projective(x, y *big.Int) jacobian {
	if x.Sign() == 0 && y.Sign() == 0 {
		return jacobian{new(big.Int), new(big.Int), new(big.Int)}
	}
	return jacobian{x, y, big.NewInt(1)}
}

func (f field) product(a, b *big.Int) *big.Int {
	c := new(big.Int).Mul(a, b)
	return c.Mod(c, f.P)
}

// affine is a point's x and y; (0, 0) for infinity.
func (f field) affine(p jacobian) (*big.Int, *big.Int) {
	if p.z.Sign() == 0 {
		return new(big.Int), new(big.Int)
	}
	inverse := new(big.Int).ModInverse(p.z, f.P)
	square := f.product(inverse, inverse)
	return f.product(p.x, square), f.product(p.y, f.product(square, inverse))
}

// double is the tangent rule:
//
//	S = 4XY², M = 3X² + aZ⁴, X' = M² - 2S, Y' = M(S - X') - 8Y⁴, Z' = 2YZ
func (f field) double(p jacobian) jacobian {
	if p.z.Sign() == 0 || p.y.Sign() == 0 {
		return projective(new(big.Int), new(big.Int))
	}
	yy, zz := f.product(p.y, p.y), f.product(p.z, p.z)
	s := f.product(p.x, yy)
	s.Lsh(s, 2)
	m := f.product(p.x, p.x)
	m.Mul(m, big.NewInt(3)).Add(m, f.product(f.a, f.product(zz, zz)))
	x := f.product(m, m)
	x.Sub(x, s).Sub(x, s).Mod(x, f.P)
	y := f.product(yy, yy)
	y.Lsh(y, 3)
	y.Sub(f.product(m, s.Sub(s, x)), y).Mod(y, f.P)
	z := f.product(p.y, p.z)
	z.Lsh(z, 1).Mod(z, f.P)
	return jacobian{x, y, z}
}

// add is the chord rule for p and the point (x2, y2), which is not infinity:
//
//	H = x2Z² - X, R = y2Z³ - Y, V = XH²,
//	X' = R² - H³ - 2V, Y' = R(V - X') - YH³, Z' = ZH
func (f field) add(p jacobian, x2, y2 *big.Int) jacobian {
	if p.z.Sign() == 0 {
		return projective(x2, y2)
	}
	zz := f.product(p.z, p.z)
	h := f.product(x2, zz)
	h.Sub(h, p.x).Mod(h, f.P)
	r := f.product(y2, f.product(zz, p.z))
	r.Sub(r, p.y).Mod(r, f.P)
	if h.Sign() == 0 {
		if r.Sign() == 0 {
			return f.double(p)
		}
		return projective(new(big.Int), new(big.Int))
	}
	hh := f.product(h, h)
	hhh, v := f.product(hh, h), f.product(p.x, hh)
	x := f.product(r, r)
	x.Sub(x, hhh).Sub(x, v).Sub(x, v).Mod(x, f.P)
	y := f.product(r, v.Sub(v, x))
	y.Sub(y, f.product(p.y, hhh)).Mod(y, f.P)
	return jacobian{x, y, f.product(p.z, h)}
}

// multiply is k times (x, y), k with its highest byte first.
func (f field) multiply(x, y *big.Int, k []byte) (*big.Int, *big.Int) {
	sum := projective(new(big.Int), new(big.Int))
	if x.Sign() == 0 && y.Sign() == 0 {
		return sum.x, sum.y
	}
	for _, b := range k {
		for bit := 7; bit >= 0; bit-- {
			sum = f.double(sum)
			if b>>bit&1 == 1 {
				sum = f.add(sum, x, y)
			}
		}
	}
	return f.affine(sum)
}
