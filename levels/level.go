package levels

// Level is a level of assurance on the canonical scale. The numeric gaps leave
// room for national half-steps. Comparing two levels with < is meaningful;
// comparing values of two vocabularies is not: translate first.
type Level int

// The canonical scale (Commission Implementing Regulation (EU) 2015/1502 for
// low, substantial and high).
const (
	None        Level = 0
	BelowLow    Level = 5
	Low         Level = 10
	Substantial Level = 20
	High        Level = 30
)
