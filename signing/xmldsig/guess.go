package xmldsig

import (
	"bytes"
	"context"
	"io"
	"iter"

	"github.com/eidbridge/eidbridge/signing/c14n"
	"github.com/eidbridge/eidbridge/signing/xmltext"
)

// guess looks for bytes that look like the start-tag of a ds:Signature and reads
// what stands there as if it were a document. Where it succeeds, the references
// say what will probably be wanted. That the bytes really are a signature of the
// document, at that place, is found out by reading the document.
func (d *Document) guess(ctx context.Context, wanted map[digestKey]bool) {
	for _, at := range d.candidates(ctx) {
		reader := new(c14n.Context).Reader(io.NewSectionReader(d.src, at, min(d.size-at, 4<<20)), xmltext.Options{})
		var last int64
		e, err := readTree(upToRoot{reader, &last})
		if err != nil || e == nil || !e.Is(Namespace, "Signature") {
			continue
		}
		info := e.Child(Namespace, "SignedInfo")
		if info == nil || len(info.Children) < 3 {
			continue
		}
		references, err := readReferences(info.All(Namespace, "Reference"))
		for i := range references {
			if r := &references[i]; err == nil && r.Err == nil {
				want(wanted, r.target(at, d.opts.XPointer), r.Digest)
			}
		}
	}
}

// tokens gives the tokens of one element.
type tokens interface {
	Next() (*xmltext.Token, error)
	InScope() iter.Seq[xmltext.Namespace]
}

// upToRoot ends with the document element, whatever follows it.
type upToRoot struct {
	*xmltext.Reader
	ended *int64
}

// Next gives tokens up to the end of the document element.
func (u upToRoot) Next() (*xmltext.Token, error) {
	if *u.ended > 0 {
		return nil, io.EOF
	}
	t, err := u.Reader.Next()
	if err == nil && t.Kind == xmltext.EndElement && t.Depth == 1 {
		*u.ended = max(t.End, 1)
	}
	return t, err
}

// candidates are the offsets at which a start-tag named Signature may stand.
func (d *Document) candidates(ctx context.Context) []int64 {
	const word = "Signature"
	const longest = 64 // bytes of a prefix
	var all []int64
	buf := make([]byte, min(128<<10, d.size+longest+int64(len(word))))
	keep := 0
	for at := int64(0); at < d.size && ctx.Err() == nil; {
		n, _ := d.src.ReadAt(buf[keep:], at)
		if n <= 0 {
			return all
		}
		window := buf[:keep+n]
		base := at - int64(keep)
		at += int64(n)
		for from := 0; ; {
			i := bytes.Index(window[from:], []byte(word))
			if i < 0 {
				break
			}
			i += from
			from = i + len(word)
			if from < len(window) && !bytes.ContainsRune([]byte(" \t\r\n>/"), rune(window[from])) {
				continue
			}
			open := bytes.LastIndexByte(window[max(0, i-longest):i], '<')
			if open < 0 {
				continue
			}
			open += max(0, i-longest)
			if open+1 != i && window[i-1] != ':' {
				continue
			}
			if n := len(all); n > 0 && all[n-1] >= base+int64(open) {
				continue
			}
			if all = append(all, base+int64(open)); len(all) == maxCandidates {
				return all
			}
		}
		keep = min(len(window), longest+len(word))
		copy(buf, window[len(window)-keep:])
	}
	return all
}
