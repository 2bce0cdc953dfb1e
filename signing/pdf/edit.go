package pdf

import (
	"bytes"
	"slices"
)

// Edit rewrites a dictionary as its old source text with some entries replaced,
// added or taken out. Comments, white space and the spelling of every other
// token stay.
type Edit struct {
	dict    Object
	changes []change // the latest last
}

// change is what becomes of an entry.
type change struct {
	key   string
	value []byte // nil takes it out
}

// NewEdit starts from a dictionary. A nil or null object starts from an empty
// one.
func NewEdit(dict Object) *Edit {
	if dict.kind != Dictionary {
		dict = Object{kind: Dictionary, raw: []byte("<<>>")}
	}
	return &Edit{dict: dict}
}

// Set gives a key a value in PDF source form.
func (e *Edit) Set(key string, value []byte) *Edit {
	at := slices.IndexFunc(e.changes, func(c change) bool { return c.key == key && c.value != nil })
	if at < 0 {
		e.Remove(key)
		at = len(e.changes) - 1
	}
	e.changes[at].value = value
	return e
}

// Remove takes a key and its value out.
func (e *Edit) Remove(keys ...string) *Edit {
	for _, key := range keys {
		e.changes = slices.DeleteFunc(e.changes, func(c change) bool { return c.key == key })
		e.changes = append(e.changes, change{key: key})
	}
	return e
}

// Bytes returns the new source text.
func (e *Edit) Bytes() []byte {
	raw, d := e.dict.raw, e.dict
	room := len(raw) + len("\n")
	for _, c := range e.changes {
		room += len("\n/ ") + len(c.key) + len(c.value)
	}
	out := make([]byte, 0, room)
	done := make([]bool, len(e.changes))
	from := 0
	for i := 0; i+1 < len(d.items); i += 2 {
		key, value := d.items[i], d.items[i+1]
		at := slices.IndexFunc(e.changes, func(c change) bool { return key.named(c.key) })
		keyAt, valueAt := int(key.start-d.start), int(value.start-d.start)
		valueEnd := valueAt + len(value.raw)
		switch {
		case at < 0:
		case e.changes[at].value == nil || done[at]:
			out = append(out, raw[from:keyAt]...)
			from = valueEnd
		default:
			out = append(out, raw[from:valueAt]...)
			out = appendApart(out, e.changes[at].value)
			done[at] = true
			from = valueEnd
			if from < len(raw) && !bytes.ContainsAny(raw[from:from+1], "()<>[]/% \t\r\n\f\x00") {
				out = append(out, ' ')
			}
		}
	}
	end := len(raw) - len(">>")
	out = append(out, raw[from:end]...)
	for i, c := range e.changes {
		if c.value == nil || done[i] {
			continue
		}
		if len(out) > 0 && out[len(out)-1] != '\n' {
			out = append(out, '\n')
		}
		out = AppendName(out, c.key)
		out = append(out, ' ')
		out = append(out, c.value...)
	}
	if !isDelimiter(out[len(out)-1]) && !isSpace(out[len(out)-1]) {
		out = append(out, '\n')
	}
	return append(out, ">>"...)
}

// AppendItem returns the source text of an array with one element more. A null
// object counts as the empty array.
func AppendItem(array Object, value []byte) []byte {
	if array.kind != Array {
		return append(append([]byte{'['}, value...), ']')
	}
	out := bytes.Clone(array.raw[:len(array.raw)-1])
	out = appendApart(out, value)
	return append(out, ']')
}

// appendApart appends a token so that it cannot run into the one before it.
func appendApart(dst, token []byte) []byte {
	if len(dst) > 0 && !isSpace(dst[len(dst)-1]) {
		dst = append(dst, ' ')
	}
	return append(dst, token...)
}

// Dict returns the dictionary that is edited, as it was.
func (e *Edit) Dict() Object { return e.dict }

// Changed tells whether anything was set or removed.
func (e *Edit) Changed() bool { return len(e.changes) > 0 }
