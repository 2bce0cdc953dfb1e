package pades_test

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/eidbridge/eidbridge/fixtures/pdfs"
	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/pades"
	"github.com/eidbridge/eidbridge/signing/pdf"
)

// TestStoreComesBeforeItsTimeStamp: what an archive time-stamp of ours is to protect
// stands in a revision before that of the time-stamp, at once, step by step, and when
// it is renewed (EN 319 142-1 6.3).
func TestStoreComesBeforeItsTimeStamp(t *testing.T) {
	s := newState(t)
	for name, document := range map[string][]byte{"table": pdfs.Classic(), "stream": pdfs.CompressedObjects(), "hybrid": pdfs.Hybrid()} {
		atOnce, _ := s.sign(t, document, signing.BaselineLTA)
		short, _ := s.sign(t, document, signing.BaselineB)
		stepped, _ := s.extend(t, short, signing.BaselineLTA)
		renewed, _ := s.extend(t, stepped, signing.BaselineLTA)
		for _, file := range [][]byte{atOnce, stepped, renewed} {
			if stores, stamps, both := storesAndStamps(t, file); stores == 0 || stamps == 0 || both != 0 {
				t.Errorf("%s: %d revisions with data, %d with a time-stamp, %d with both", name, stores, stamps, both)
			}
		}
	}
}

// storesAndStamps counts the revisions that write validation data, those that write a
// document time-stamp, and those that do both.
func storesAndStamps(t *testing.T, file []byte) (stores, stamps, both int) {
	t.Helper()
	doc, err := pdf.Open(t.Context(), bytes.NewReader(file), int64(len(file)), pdf.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for i, revision := range doc.Revisions() {
		view := doc.At(i)
		_, catalog, err := view.Root()
		if err != nil {
			t.Fatal(err)
		}
		writes := func(ref pdf.Ref) bool { return slices.Contains(revision.Objects, ref.Number) }
		store, stamp := false, false
		if ref, ok := catalog.Get("DSS").Ref(); ok {
			store = writes(ref)
			dict, err := view.Resolve(catalog.Get("DSS"))
			if err != nil {
				t.Fatal(err)
			}
			pdf.Walk(dict, func(_ string, ref pdf.Ref) { store = store || writes(ref) })
		} else if !catalog.Get("DSS").IsNull() {
			t.Error("the store stands in the catalog itself")
		}
		for _, number := range revision.Objects {
			if ref, ok := view.Current(number); ok {
				object, err := view.Object(ref)
				stamp = stamp || err == nil && object.Value.Get("Type").Name() == "DocTimeStamp"
			}
		}
		if store {
			stores++
		}
		if stamp {
			stamps++
		}
		if store && stamp {
			both++
		}
	}
	return stores, stamps, both
}

// TestStoreInTheRevisionOfItsTimeStamp: others write both at once. The time-stamp
// covers the data all the same, so that the file is of B-LTA and can be renewed; and
// when it covers other bytes, nothing is.
func TestStoreInTheRevisionOfItsTimeStamp(t *testing.T) {
	s := newState(t)
	file, hole := s.storedAndStamped(t)
	if stores, stamps, both := storesAndStamps(t, file); stores != 1 || stamps != 1 || both != 1 {
		t.Fatalf("%d revisions with data, %d with a time-stamp, %d with both", stores, stamps, both)
	}
	s.passed(t, file, signing.BaselineLTA)
	renewed, e := s.extend(t, file, signing.BaselineLTA)
	if e.Before != signing.BaselineLTA || e.After != signing.BaselineLTA {
		t.Errorf("renewed from %s to %s", e.Before, e.After)
	}
	s.passed(t, renewed, signing.BaselineLTA)

	// A byte of the data: the only archive time-stamp is broken, and with it the level.
	spoiled := bytes.Clone(file)
	at := bytes.LastIndex(spoiled[:hole], []byte("\nendstream"))
	spoiled[at-1] ^= 1
	report := s.verify(t, spoiled)
	if len(report.TimeStamps) != 1 || report.TimeStamps[0].Integrity != pades.Broken || report.Signatures[0].Baseline == signing.BaselineLTA {
		t.Errorf("with other data: time-stamps %+v, level %s", report.TimeStamps, report.Signatures[0].Baseline)
	}
}

// storedAndStamped makes one revision of the two that bring a file from B-T to B-LTA,
// and has it stamped. It returns where the time-stamp stands as well.
func (s *state) storedAndStamped(t *testing.T) (file []byte, hole int) {
	t.Helper()
	signed, _ := s.sign(t, pdfs.Classic(), signing.BaselineT)
	two, _ := s.extend(t, signed, signing.BaselineLTA)
	objects := make(map[int]string)
	for _, m := range regexp.MustCompile(`(?s)\n(\d+) 0 obj\n(.*?)\nendobj`).FindAllSubmatch(two[len(signed)-1:], -1) {
		number, err := strconv.Atoi(string(m[1]))
		if err != nil {
			t.Fatal(err)
		}
		objects[number] = string(m[2])
	}
	root := regexp.MustCompile(`/Root (\d+) 0 R`).FindSubmatch(signed)
	catalog, err := strconv.Atoi(string(root[1]))
	if err != nil {
		t.Fatal(err)
	}
	file = pdfs.Revise(signed, objects, catalog)
	body := bytes.LastIndex(file, []byte("/Type /DocTimeStamp"))
	places := regexp.MustCompile(`/ByteRange (\[[^\]]*\])\s*/Contents (<[0-9a-fA-F]*>)`).FindSubmatchIndex(file[body:])
	if body < len(signed) || places == nil {
		t.Fatal("no time-stamp in the revision")
	}
	hole, end := body+places[4], body+places[5]
	copy(file[body+places[2]:body+places[3]], fmt.Sprintf("%-*s]", places[3]-places[2]-1, fmt.Sprintf("[0 %d %d %d", hole, end, len(file)-end)))
	h := crypto.SHA256.New()
	h.Write(file[:hole])
	h.Write(file[end:])
	token, err := s.services.TimeStamps.Stamp(t.Context(), crypto.SHA256, h.Sum(nil))
	if err != nil {
		t.Fatal(err)
	}
	copy(file[hole+1:end-1], bytes.Repeat([]byte("0"), end-hole-2))
	hex.Encode(file[hole+1:], token.Raw)
	return file, hole
}
