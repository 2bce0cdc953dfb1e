package store

import (
	"bytes"
	"encoding/json"
)

// keeper is a record that is written back with what a newer program wrote into it and
// this one does not know: brokers.Later.
type keeper interface {
	Members() string
	Keep(members string)
}

// unknown is what an object has of which this program does not know: members, and what is
// unknown within members that it knows.
type unknown struct {
	Members map[string]any      `json:"members,omitempty"`
	Within  map[string]*unknown `json:"within,omitempty"`
}

// tree reads JSON, with its numbers as they are written.
func tree[T any](data []byte) (value T, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	err = d.Decode(&value)
	return value, err
}

// keepUnknown finds the members of a record that the program does not know: those that
// are gone when it writes down what it read.
func keepUnknown(record keeper, data []byte) error {
	was, err := tree[map[string]any](data)
	if err != nil {
		return err
	}
	again, err := json.Marshal(record)
	if err != nil {
		return err
	}
	known, err := tree[map[string]any](again)
	if err != nil {
		return err
	}
	rest := without(was, known)
	if rest == nil {
		return nil
	}
	members, err := json.Marshal(rest)
	record.Keep(string(members))
	return err
}

// without is what an object has and another has not, at any depth of objects; nil is
// nothing.
func without(object, other map[string]any) *unknown {
	rest := &unknown{map[string]any{}, map[string]*unknown{}}
	for name, value := range object {
		present, ok := other[name]
		if !ok {
			rest.Members[name] = value
			continue
		}
		inner, isObject := value.(map[string]any)
		innerOther, isToo := present.(map[string]any)
		if isObject && isToo {
			if more := without(inner, innerOther); more != nil {
				rest.Within[name] = more
			}
		}
	}
	if len(rest.Members) == 0 && len(rest.Within) == 0 {
		return nil
	}
	return rest
}

// withMembers adds to a record what was unknown in it. What was within an object that the
// record has no more is gone with it.
func withMembers(data []byte, members string) ([]byte, error) {
	object, err := tree[map[string]any](data)
	if err != nil {
		return nil, err
	}
	rest, err := tree[unknown]([]byte(members))
	if err != nil {
		return nil, err
	}
	rest.addTo(object)
	return json.Marshal(object)
}

func (u *unknown) addTo(object map[string]any) {
	for name, value := range u.Members {
		if _, ok := object[name]; !ok {
			object[name] = value
		}
	}
	for name, more := range u.Within {
		if inner, ok := object[name].(map[string]any); ok {
			more.addTo(inner)
		}
	}
}
