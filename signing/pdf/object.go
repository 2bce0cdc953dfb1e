package pdf

import (
	"bytes"
	"fmt"
	"iter"
	"math"
)

// Kind is the type of an object (ISO 32000-2 7.3). A stream is a dictionary
// that carries a StreamOffset in its Indirect.
type Kind uint8

// The kinds. The zero Object is null.
const (
	Null Kind = iota
	Boolean
	Integer
	Real
	String
	Name
	Array
	Dictionary
	Reference
)

// String returns the name of the kind in the words of the standard.
func (k Kind) String() string {
	switch k {
	case Null:
		return "null"
	case Boolean:
		return "boolean"
	case Integer:
		return "integer"
	case Real:
		return "real"
	case String:
		return "string"
	case Name:
		return "name"
	case Array:
		return "array"
	case Dictionary:
		return "dictionary"
	case Reference:
		return "indirect reference"
	default:
		return "unknown kind"
	}
}

// Ref names an indirect object.
type Ref struct {
	Number     uint32
	Generation uint16
}

// String returns the reference as it stands in a file.
func (r Ref) String() string { return fmt.Sprintf("%d %d R", r.Number, r.Generation) }

// Object is a value with the bytes it was read from. Objects are immutable and
// share the buffer they were parsed from.
type Object struct {
	kind   Kind
	start  uint32 // of raw in the window it was parsed from
	raw    []byte
	offset int64
	bits   uint64   // Boolean, Integer, Real and Reference
	items  []Object // Array; Dictionary with keys and values alternating
	secret *objectKey
}

// Kind returns the type of the object.
func (o Object) Kind() Kind { return o.kind }

// Raw returns the source bytes from the first to the last byte of the value.
// The caller must not change them.
func (o Object) Raw() []byte { return o.raw }

// Offset returns the place of Raw in the file, or -1 when the object was read
// from an object stream.
func (o Object) Offset() int64 { return o.offset }

// IsNull tells whether the object is null or absent.
func (o Object) IsNull() bool { return o.kind == Null }

// Bool returns a boolean value.
func (o Object) Bool() (value, ok bool) { return o.bits != 0, o.kind == Boolean }

// Int returns an integer value.
func (o Object) Int() (int64, bool) { return int64(o.bits), o.kind == Integer }

// Float returns an integer or real value.
func (o Object) Float() (float64, bool) {
	switch o.kind {
	case Integer:
		return float64(int64(o.bits)), true
	case Real:
		return math.Float64frombits(o.bits), true
	default:
		return 0, false
	}
}

// Ref returns the target of an indirect reference.
func (o Object) Ref() (Ref, bool) {
	return Ref{Number: uint32(o.bits >> 16), Generation: uint16(o.bits)}, o.kind == Reference
}

// Name returns a name without its solidus and with #xx decoded, or "".
func (o Object) Name() string {
	if o.kind != Name {
		return ""
	}
	return decodeName(o.raw)
}

// Bytes returns the decoded and decrypted bytes of a string; none when the
// encrypted ones are damaged.
func (o Object) Bytes() ([]byte, bool) {
	b, ok := o.Source()
	if !ok || o.secret == nil {
		return b, ok
	}
	b, err := o.secret.decrypt(o.secret.crypt.strings, b)
	return b, err == nil
}

// Source returns the decoded bytes of a string without decryption, as /Contents
// of a signature is never encrypted.
func (o Object) Source() ([]byte, bool) {
	if o.kind != String {
		return nil, false
	}
	if o.raw[0] == '<' {
		return decodeHex(o.raw[1 : len(o.raw)-1]), true
	}
	return decodeLiteral(o.raw[1 : len(o.raw)-1]), true
}

// IsHex tells whether a string is written in hexadecimal form.
func (o Object) IsHex() bool { return o.kind == String && o.raw[0] == '<' }

// Text returns a text string (7.9.2.2) as UTF-8, or "" for other kinds.
func (o Object) Text() string {
	b, ok := o.Bytes()
	if !ok {
		return ""
	}
	return DecodeText(b)
}

// Items returns the elements of an array.
func (o Object) Items() []Object {
	if o.kind != Array {
		return nil
	}
	return o.items
}

// Entries yields the keys and values of a dictionary in source order. A key
// whose value is null counts as absent (7.3.7) and is left out.
func (o Object) Entries() iter.Seq2[string, Object] {
	return func(yield func(string, Object) bool) {
		if o.kind != Dictionary {
			return
		}
		for i := 0; i+1 < len(o.items); i += 2 {
			if o.items[i+1].IsNull() {
				continue
			}
			if !yield(o.items[i].Name(), o.items[i+1]) {
				return
			}
		}
	}
}

// Get returns the value of a key, the null object when there is none. Of
// duplicate keys the last one counts; Duplicate finds them.
func (o Object) Get(key string) Object {
	if i := o.index(key); i >= 0 {
		return o.items[i+1]
	}
	return Object{}
}

// Duplicate returns a key that occurs twice in the dictionary.
func (o Object) Duplicate() (key string, found bool) {
	if o.kind != Dictionary {
		return "", false
	}
	seen := make(map[string]bool, len(o.items)/2)
	for i := 0; i+1 < len(o.items); i += 2 {
		key := o.items[i].Name()
		if seen[key] {
			return key, true
		}
		seen[key] = true
	}
	return "", false
}

func (o Object) index(key string) int {
	if o.kind != Dictionary {
		return -1
	}
	for i := len(o.items) - 2; i >= 0; i -= 2 {
		if o.items[i].named(key) {
			return i
		}
	}
	return -1
}

// named tells whether a name is this one.
func (o Object) named(name string) bool {
	if raw := o.raw; len(raw) == len(name)+1 && string(raw[1:]) == name {
		return true
	}
	return bytes.IndexByte(o.raw, '#') >= 0 && o.Name() == name
}
