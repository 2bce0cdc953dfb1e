package pades

import (
	"bytes"
	"compress/zlib"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/eidbridge/eidbridge/signing/pdf"
	"github.com/eidbridge/eidbridge/signing/revocation"
)

const (
	// maxStore bounds the streams of one array of the document security store.
	maxStore = 256
	// maxStoreBytes bounds what is read from the store.
	maxStoreBytes = 64 << 20
)

// readStore reads the document security store (ISO 32000-2 12.8.4.3): its arrays
// and those of /VRI, whose streams are normally the same objects. A stream that
// cannot be read is left out, as it proves nothing.
func readStore(d *pdf.Document) (revocation.Material, error) {
	var m revocation.Material
	_, catalog, err := d.Root()
	if err != nil {
		return m, err
	}
	store, err := d.Value(catalog, "DSS")
	if err != nil || store.IsNull() {
		return m, softly(err)
	}
	r := &storeReader{d: d, seen: make(map[pdf.Ref]bool)}
	read := func(dict pdf.Object, certs, ocsps, crls string) error {
		var part revocation.Material
		for _, e := range []struct {
			key string
			to  *[][]byte
		}{{certs, &part.Certificates}, {ocsps, &part.OCSPs}, {crls, &part.CRLs}} {
			if err := r.read(dict, e.key, e.to); err != nil {
				return err
			}
		}
		m.Add(part)
		return nil
	}
	if err := read(store, "Certs", "OCSPs", "CRLs"); err != nil {
		return m, err
	}
	vri, err := d.Value(store, "VRI")
	if err != nil {
		return m, softly(err)
	}
	n := 0
	for _, item := range vri.Entries() {
		entry, err := d.Resolve(item)
		if err != nil {
			return m, softly(err)
		}
		if n++; n > maxStore {
			break
		}
		if err := read(entry, "Cert", "OCSP", "CRL"); err != nil {
			return m, err
		}
	}
	return m, nil
}

// softly turns errors of form into nothing found; limits and errors of the
// source remain.
func softly(err error) error {
	var format *pdf.FormatError
	if errors.As(err, &format) || errors.Is(err, pdf.ErrMissing) {
		return nil
	}
	return err
}

type storeReader struct {
	d     *pdf.Document
	seen  map[pdf.Ref]bool
	bytes int
}

func (r *storeReader) read(dict pdf.Object, key string, to *[][]byte) error {
	list, err := r.d.Value(dict, key)
	if err != nil {
		return softly(err)
	}
	for i, item := range list.Items() {
		ref, ok := item.Ref()
		if !ok || r.seen[ref] {
			continue
		}
		if i == maxStore {
			return &pdf.LimitError{What: "validation data of one kind", Limit: maxStore}
		}
		r.seen[ref] = true
		object, err := r.d.Object(ref)
		if err == nil {
			var content []byte
			if content, err = r.d.Content(object); err == nil {
				if r.bytes += len(content); r.bytes > maxStoreBytes {
					return &pdf.LimitError{What: "bytes of validation data", Limit: maxStoreBytes}
				}
				*to = append(*to, content)
			}
		}
		if err := softly(err); err != nil {
			return err
		}
	}
	return nil
}

// putStore adds what is new to the document security store. Its arrays only
// grow, and every piece stands in the file once. It tells whether anything was
// new.
func (l *layout) putStore(m revocation.Material) (bool, error) {
	_, catalog, err := l.doc.Root()
	if err != nil {
		return false, err
	}
	entry := catalog.Get("DSS")
	store, err := l.doc.Resolve(entry)
	if err != nil {
		return false, err
	}
	if err := unambiguous(store, "the document security store"); err != nil {
		return false, err
	}
	have, err := readStore(l.doc)
	if err != nil {
		return false, err
	}
	known := make(map[[32]byte]bool)
	for _, list := range [][][]byte{have.Certificates, have.OCSPs, have.CRLs} {
		for _, piece := range list {
			known[sha256.Sum256(piece)] = true
		}
	}
	edit := pdf.NewEdit(store)
	for _, e := range []struct {
		key    string
		pieces [][]byte
	}{{"Certs", m.Certificates}, {"OCSPs", m.OCSPs}, {"CRLs", m.CRLs}} {
		if err := l.growArray(store, edit, e.key, e.pieces, known); err != nil {
			return false, err
		}
	}
	if !edit.Changed() && !l.grown {
		return false, nil
	}
	if store.IsNull() {
		edit.Set("Type", []byte("/DSS"))
	}
	if ref, ok := entry.Ref(); ok && !store.IsNull() {
		if edit.Changed() {
			l.update.Put(ref, edit.Bytes())
		}
		return true, nil
	}
	ref := l.update.Reserve()
	l.update.Put(ref, edit.Bytes())
	l.setCatalog("DSS", []byte(ref.String()))
	return true, nil
}

// growArray appends streams to an array of the store.
func (l *layout) growArray(store pdf.Object, edit *pdf.Edit, key string, pieces [][]byte, known map[[32]byte]bool) error {
	entry := store.Get(key)
	array, err := l.doc.Resolve(entry)
	if err != nil {
		return err
	}
	if !array.IsNull() && array.Kind() != pdf.Array {
		return &pdf.FormatError{Offset: array.Offset(), What: "/" + key + " of the document security store is no array"}
	}
	var refs [][]byte
	for _, piece := range pieces {
		if sum := sha256.Sum256(piece); known[sum] {
			continue
		} else {
			known[sum] = true
		}
		ref := l.update.Reserve()
		body, err := deflated(piece)
		if err != nil {
			return err
		}
		l.update.Put(ref, body)
		refs = append(refs, []byte(ref.String()))
	}
	if refs == nil {
		return nil
	}
	items := pdf.AppendItem(array, bytes.Join(refs, []byte{' '}))
	if ref, ok := entry.Ref(); ok && !array.IsNull() {
		l.update.Put(ref, items)
		l.grown = true
		return nil
	}
	edit.Set(key, items)
	return nil
}

// deflated is the source of a stream with FlateDecode.
func deflated(content []byte) ([]byte, error) {
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	if _, err := z.Write(content); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	body := fmt.Appendf(nil, "<< /Length %d /Filter /FlateDecode >>\nstream\n", packed.Len())
	return append(append(body, packed.Bytes()...), "\nendstream"...), nil
}
