package pdf

// Limits bounds what a file may make the reader do. A zero field takes the
// default; no field can be raised above ten times the default.
type Limits struct {
	Objects      int   // entries over all cross-reference sections
	ObjectNumber int64 // largest object number
	Depth        int   // nesting of arrays and dictionaries, of the page tree and of fields
	Sections     int   // cross-reference sections
	Items        int   // values in one object
	ObjectBytes  int64 // bytes of one object without its stream
	StreamBytes  int64 // bytes one structural stream may inflate to
	InflateBytes int64 // bytes inflated in the life of a Document
	InflateRatio int64 // output to input, beyond the first MiB
	Filters      int   // filters of one stream
	Fields       int   // form fields
	Signatures   int   // signature fields with a value
}

// DefaultLimits are the budgets of a tool that opens files of strangers.
func DefaultLimits() Limits {
	return Limits{
		Objects:      500_000,
		ObjectNumber: 8_388_607, // ISO 32000-1 Annex C.2
		Depth:        100,
		Sections:     1_000,
		Items:        200_000,
		ObjectBytes:  8 << 20,
		StreamBytes:  32 << 20,
		InflateBytes: 512 << 20,
		InflateRatio: 200,
		Filters:      4,
		Fields:       50_000,
		Signatures:   100,
	}
}

const (
	// headerWindow: the header lies in the first 1024 bytes (ISO 32000-1 Annex H).
	headerWindow = 1024
	// tailWindow: so does %%EOF from the end.
	tailWindow = 1024
	// startxrefSlack is how far from its place an xref section is searched for,
	// in bytes.
	startxrefSlack = 64
	// numberDigits bounds the digits of an integer or real. The smallest real that readers
	// take, 1.175e-38 (Annex C.2), has about 50 when it is written out, as it is in files
	// that conform to PDF/A.
	numberDigits = 128
	// nameBytes is the longest name in source form (Annex C.2 has 127 decoded;
	// producers go beyond that).
	nameBytes = 4096
)

func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	l.Objects = bounded(l.Objects, d.Objects)
	l.ObjectNumber = bounded(l.ObjectNumber, d.ObjectNumber)
	l.Depth = bounded(l.Depth, d.Depth)
	l.Sections = bounded(l.Sections, d.Sections)
	l.Items = bounded(l.Items, d.Items)
	l.ObjectBytes = bounded(l.ObjectBytes, d.ObjectBytes)
	l.StreamBytes = bounded(l.StreamBytes, d.StreamBytes)
	l.InflateBytes = bounded(l.InflateBytes, d.InflateBytes)
	l.InflateRatio = bounded(l.InflateRatio, d.InflateRatio)
	l.Filters = bounded(l.Filters, d.Filters)
	l.Fields = bounded(l.Fields, d.Fields)
	l.Signatures = bounded(l.Signatures, d.Signatures)
	return l
}

func bounded[T int | int64](value, standard T) T {
	if value <= 0 {
		return standard
	}
	return min(value, 10*standard)
}
