package xmltext

// Limits bound what a Reader takes in. A field that is zero stands for its
// default, one beyond the hard bound for the hard bound.
type Limits struct {
	Size       int64 // bytes of the source
	Elements   int64 // in the whole document
	Depth      int   // of nested elements
	Attributes int   // of one element, namespace declarations and defaults included
	Namespaces int   // declarations in scope at one place
	Name       int   // bytes of a name, and of a namespace name
	Markup     int   // bytes of a tag, comment, processing instruction or doctype
}

// DefaultLimits are for a document of unknown origin that is to be signed or
// verified.
func DefaultLimits() Limits {
	return Limits{
		Size:       32 << 20,
		Elements:   1_000_000,
		Depth:      256,
		Attributes: 256,
		Namespaces: 1000,
		Name:       1 << 10,
		Markup:     1 << 20,
	}
}

// FileLimits are for a file that somebody chose on their own computer: large ones
// are theirs to wait for. What a reader keeps in memory does not grow with them.
func FileLimits() Limits {
	l := DefaultLimits()
	l.Size, l.Elements = 4<<30, 1<<28
	return l
}

// hardLimits are what no caller gets past. Cost stays linear up to them.
func hardLimits() Limits {
	return Limits{
		Size:       16 << 30,
		Elements:   1 << 32,
		Depth:      4096,
		Attributes: 1024,
		Namespaces: 4096,
		Name:       16 << 10,
		Markup:     64 << 20,
	}
}

func (l Limits) complete() Limits {
	d, h := DefaultLimits(), hardLimits()
	return Limits{
		Size:       within(l.Size, d.Size, h.Size),
		Elements:   within(l.Elements, d.Elements, h.Elements),
		Depth:      within(l.Depth, d.Depth, h.Depth),
		Attributes: within(l.Attributes, d.Attributes, h.Attributes),
		Namespaces: within(l.Namespaces, d.Namespaces, h.Namespaces),
		Name:       within(l.Name, d.Name, h.Name),
		Markup:     within(l.Markup, d.Markup, h.Markup),
	}
}

func within[T int | int64](wanted, usual, most T) T {
	if wanted <= 0 {
		return usual
	}
	return min(wanted, most)
}

const (
	// window is how much of the source is held at a time, bytes; firstWindow what a
	// reader begins with, enough for a small document, where the length is not known, and
	// leastWindow what it has at least.
	window      = 64 << 10
	firstWindow = 8 << 10
	leastWindow = 1 << 10
	// maxEntity bounds the text of one declared entity or default,
	// maxExpansion all that a document takes from its internal subset in
	// place of references and as defaults; bytes.
	maxEntity    = 4 << 10
	maxExpansion = 16 << 20
	// maxDeclarations bounds the declarations of an internal subset.
	maxDeclarations = 1000
)
