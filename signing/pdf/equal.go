package pdf

import (
	"bytes"
	"slices"
)

// Equal tells whether two values mean the same: numbers by value, strings and
// names by their bytes, dictionaries without order, references by their target's
// number. An entry with a null value counts as absent.
func Equal(a, b Object) bool {
	if fa, ok := a.Float(); ok {
		fb, ok := b.Float()
		return ok && fa == fb
	}
	if a.kind != b.kind {
		return false
	}
	switch a.kind {
	case String:
		if a.secret == b.secret && bytes.Equal(a.raw, b.raw) {
			return true
		}
		sa, oka := a.Bytes()
		sb, okb := b.Bytes()
		if !oka || !okb { // what cannot be decrypted may be anything
			sa, _ = a.Source()
			sb, _ = b.Source()
		}
		return bytes.Equal(sa, sb)
	case Name:
		return bytes.Equal(a.raw, b.raw) || a.Name() == b.Name()
	case Array:
		if len(a.items) != len(b.items) {
			return false
		}
		for i := range a.items {
			if !Equal(a.items[i], b.items[i]) {
				return false
			}
		}
		return true
	case Dictionary:
		return len(Differences(a, b)) == 0
	default:
		return a.bits == b.bits
	}
}

// Differences returns the keys whose values differ between two dictionaries,
// sorted.
// A key that occurs twice in one of them always differs.
func Differences(a, b Object) []string {
	var keys []string
	for _, o := range []Object{a, b} {
		if key, found := o.Duplicate(); found {
			keys = append(keys, key)
		}
	}
	left, right := a.entryMap(), b.entryMap()
	for key, value := range left {
		if other, ok := right[key]; !ok || !Equal(value, other) {
			keys = append(keys, key)
		}
	}
	for key := range right {
		if _, ok := left[key]; !ok {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

func (o Object) entryMap() map[string]Object {
	m := make(map[string]Object, len(o.items)/2)
	for key, value := range o.Entries() {
		m[key] = value
	}
	return m
}

// Walk calls visit for every reference inside a value, with the key of the
// outermost dictionary it lies under ("" outside dictionaries).
func Walk(o Object, visit func(key string, ref Ref)) { walk(o, "", visit) }

func walk(o Object, key string, visit func(string, Ref)) {
	switch o.kind {
	case Reference:
		ref, _ := o.Ref()
		visit(key, ref)
	case Array:
		for _, item := range o.items {
			walk(item, key, visit)
		}
	case Dictionary:
		for k, value := range o.Entries() {
			if key != "" {
				k = key
			}
			walk(value, k, visit)
		}
	}
}
