package pace

import "filippo.io/bigmod"

// field is arithmetic modulo the prime of a curve. Values are immutable: each
// operation makes a new one.
type field struct {
	p *bigmod.Modulus
}

func (f field) zero() *bigmod.Nat { return bigmod.NewNat().ExpandFor(f.p) }

func (f field) copy(x *bigmod.Nat) *bigmod.Nat {
	return f.zero().Add(x, f.p)
}

func (f field) add(x, y *bigmod.Nat) *bigmod.Nat { return f.copy(x).Add(y, f.p) }

func (f field) sub(x, y *bigmod.Nat) *bigmod.Nat { return f.copy(x).Sub(y, f.p) }

func (f field) mul(x, y *bigmod.Nat) *bigmod.Nat { return f.copy(x).Mul(y, f.p) }

// invert is x^(p-2), which is 1/x, and 0 for 0.
func (f field) invert(x *bigmod.Nat) *bigmod.Nat {
	exponent := f.p.Nat().SubOne(f.p).SubOne(f.p)
	return bigmod.NewNat().Exp(x, exponent.Bytes(f.p), f.p)
}

// choose is y when on is 1 and x when it is 0, without a branch.
func (f field) choose(on uint, x, y *bigmod.Nat) *bigmod.Nat {
	chosen := f.zero()
	mask := -on
	out, xs, ys := chosen.Bits(), x.Bits(), y.Bits()
	for i := range out {
		out[i] = xs[i] ^ mask&(xs[i]^ys[i])
	}
	return chosen
}
