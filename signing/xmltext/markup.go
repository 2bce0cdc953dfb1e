package xmltext

import "bytes"

// rawAttribute is an attribute as found: places in the tag.
type rawAttribute struct {
	name, colon, nameEnd int32 // colon is -1 if there is none
	value, valueEnd      int32
	normal               bool // the value is what the source has
	plain                bool // and needs no escape, see Attribute.Plain
}

// startTag reads a start-tag or an empty-element tag.
func (r *Reader) startTag(b []byte) (int, error) {
	nameEnd, colon, err := scanQName(b, 1)
	if err != nil {
		return 0, err
	}
	if nameEnd-1 > r.limits.Name {
		return 0, excess(1, "bytes of a name", int64(r.limits.Name))
	}
	local := max(colon, 0) // in the name, which starts one byte later
	n, empty, err := r.scanAttributes(b, nameEnd)
	if err != nil {
		return 0, err
	}
	if n > r.limits.Markup {
		return 0, excess(0, "bytes of markup", int64(r.limits.Markup))
	}
	mark := len(r.scope.bindings)
	name := b[1:nameEnd]
	if err := r.resolveAttributes(b, name, mark); err != nil {
		return 0, err
	}
	binding, err := r.binding(1, name[:max(local-1, 0)])
	if err != nil {
		return 0, err
	}
	if err := r.enter(name, local, binding, mark); err != nil {
		return 0, err
	}
	r.set(StartElement)
	r.name(name, local, &r.scope.bindings[binding])
	r.token.Attributes, r.token.Namespaces, r.token.Empty = r.attrs, r.declared, empty
	r.closing = empty
	return n, nil
}

// binding gives the one in scope for a prefix.
func (r *Reader) binding(at int, prefix []byte) (int32, error) {
	found := r.scope.find(prefix)
	if found == none {
		return 0, misused(at, "prefix "+quoted(prefix)+" is not declared")
	}
	return r.scope.slots[found].top, nil
}

// scanAttributes finds the attributes of a tag from b[i] on, and its end.
func (r *Reader) scanAttributes(b []byte, i int) (n int, empty bool, err error) {
	r.raw = r.raw[:0]
	for {
		at := skipSpace(b, i)
		if at+1 >= len(b) {
			return 0, false, errMore
		}
		switch b[at] {
		case '>':
			return at + 1, false, nil
		case '/':
			if b[at+1] != '>' {
				return 0, false, syntax(at, "> expected after /")
			}
			return at + 2, true, nil
		}
		if at == i {
			return 0, false, syntax(at, "white space expected before an attribute")
		}
		if len(r.raw) >= r.limits.Attributes {
			return 0, false, excess(at, "attributes", int64(r.limits.Attributes))
		}
		a := rawAttribute{name: int32(at)}
		end, colon, err := scanQName(b, at)
		if err != nil {
			return 0, false, err
		}
		if end-at > r.limits.Name {
			return 0, false, excess(at, "bytes of a name", int64(r.limits.Name))
		}
		a.nameEnd, a.colon = int32(end), int32(colon)
		if i, err = scanValue(b, end, &a); err != nil {
			return 0, false, err
		}
		r.raw = append(r.raw, a)
	}
}

// scanValue finds the value of an attribute whose name ended at b[i], and
// where it ends with its quote.
func scanValue(b []byte, i int, a *rawAttribute) (end int, err error) {
	i = skipSpace(b, i)
	if i < len(b) && b[i] != '=' {
		return 0, syntax(i, "= expected")
	}
	i = skipSpace(b, i+1)
	if i >= len(b) {
		return 0, errMore
	}
	quote := b[i]
	if quote != '"' && quote != '\'' {
		return 0, syntax(i, "quote expected")
	}
	i++
	a.value, a.normal, a.plain = int32(i), true, true
	for {
		for i < len(b) && classes[b[i]]&valueChar != 0 {
			i++
		}
		if i == len(b) {
			return 0, errMore
		}
		switch c := b[i]; c {
		case quote:
			a.valueEnd = int32(i)
			return i + 1, nil
		case '"':
			a.plain = false
			i++
		case '\'':
			i++
		case '<':
			return 0, syntax(i, "< in an attribute value")
		case '&', '\t', '\n', '\r':
			a.normal = false
			i++
		default:
			size, err := wideChar(b, i)
			if err != nil {
				return 0, err
			}
			i += size
		}
	}
}

// resolveAttributes makes attributes and declarations of what scanAttributes
// found, declares the latter, and supplies defaults.
func (r *Reader) resolveAttributes(b, element []byte, mark int) error {
	r.attrs, r.declared, r.values = r.attrs[:0], r.declared[:0], r.values[:0]
	if len(r.raw) == 0 && r.subset == nil {
		return nil
	}
	var declared attributeTypes
	if r.subset != nil {
		declared = r.subset.attributes[string(element)]
	}
	for i := range r.raw {
		a := &r.raw[i]
		name := b[a.name:a.nameEnd]
		attr := Attribute{Value: b[a.value:a.valueEnd], Plain: a.plain}
		if !a.normal {
			var err error
			if attr.Value, attr.Plain, err = r.normalise(b, int(a.value), int(a.valueEnd)); err != nil {
				return err
			}
		}
		if declared != nil {
			declared.apply(&attr, name)
		}
		if err := r.attribute(int(a.name), name, int(a.colon-a.name), attr, mark); err != nil {
			return err
		}
	}
	if err := r.supply(b, declared, mark); err != nil {
		return err
	}
	for i := range r.attrs {
		name := &r.attrs[i].Name
		if name.local == 0 {
			continue
		}
		at, err := r.binding(0, name.Prefix())
		if err != nil {
			return err
		}
		of := &r.scope.bindings[at]
		name.Space, name.Slot = of.uri, int(of.slot)
	}
	return r.distinct()
}

// attribute adds an attribute of the tag, or declares what it declares.
func (r *Reader) attribute(at int, name []byte, colon int, attr Attribute, mark int) error {
	if colon < 0 {
		if string(name) == "xmlns" {
			return r.declare(at, nil, attr.Value, mark)
		}
		attr.Name = Name{Qualified: name, Slot: -1}
	} else {
		if string(name[:colon]) == "xmlns" {
			return r.declare(at, name[colon+1:], attr.Value, mark)
		}
		attr.Name = Name{Qualified: name, local: colon + 1}
	}
	r.attrs = append(r.attrs, attr)
	return nil
}

// normalise appends the value b[i:end] to the values as XML 1.0 section 3.3.3
// wants it for an attribute of type CDATA.
func (r *Reader) normalise(b []byte, i, end int) (value []byte, plain bool, err error) {
	start := len(r.values)
	for i < end {
		switch c := b[i]; c {
		case '\r':
			if b[i+1] == '\n' { // the quote is within reach
				i++
			}
			fallthrough
		case '\t', '\n':
			r.values = append(r.values, ' ')
			i++
		case '&':
			text, next, err := r.resolve(b[:end+1], i, false)
			if err == errMore { //nolint:errorlint // a sentinel of this package, never wrapped
				return nil, false, syntax(i, "a reference ends with a semicolon")
			}
			if err != nil {
				return nil, false, err
			}
			if b[i+1] == '#' {
				r.values = append(r.values, text...)
			} else {
				r.values = appendBlank(r.values, text)
			}
			i = next
		default:
			r.values = append(r.values, c)
			i++
		}
	}
	value = r.values[start:len(r.values):len(r.values)]
	return value, plainValue(value), nil
}

// appendBlank appends the text of an entity with white space as blanks.
func appendBlank(dst, text []byte) []byte {
	for _, c := range text {
		if isSpace(c) {
			c = ' '
		}
		dst = append(dst, c)
	}
	return dst
}

func plainValue(value []byte) bool {
	for _, c := range value {
		switch c {
		case '&', '<', '"', '\t', '\n', '\r':
			return false
		}
	}
	return true
}

// endTag reads an end-tag, which has to be that of the innermost element.
func (r *Reader) endTag(b []byte) (int, error) {
	if r.stage != inContent {
		return 0, syntax(0, "an end-tag without its start-tag")
	}
	name := r.names[r.open[len(r.open)-1].name:]
	i := 2 + len(name)
	if at := min(i, len(b)); !bytes.Equal(b[2:at], name[:at-2]) {
		return 0, syntax(0, "end-tag of "+quoted(name)+" expected")
	}
	if len(b) <= i {
		return 0, errMore
	}
	i = skipSpace(b, i)
	switch {
	case i == len(b):
		return 0, errMore
	case b[i] != '>':
		return 0, syntax(0, "end-tag of "+quoted(name)+" expected")
	case i >= r.limits.Markup:
		return 0, excess(0, "bytes of markup", int64(r.limits.Markup))
	}
	r.endElement()
	return i + 1, nil
}

// comment reads a comment.
func (r *Reader) comment(b []byte) (int, error) {
	const from = len("<!--")
	at := bytes.Index(b[from:], []byte("--"))
	if at < 0 || from+at+2 >= len(b) {
		return 0, errMore
	}
	to := from + at
	if b[to+2] != '>' {
		return 0, syntax(to, "-- within a comment")
	}
	r.set(Comment)
	return to + 3, r.setData(b, from, to, to+3)
}

// instruction reads a processing instruction.
func (r *Reader) instruction(b []byte) (int, error) {
	p, err := scanInstruction(b, 0, r.limits)
	if err != nil {
		return 0, err
	}
	r.set(ProcessingInstruction)
	r.token.Target = b[p.target:p.targetEnd]
	return p.end, r.setData(b, p.data, p.dataEnd, p.end)
}

// rawInstruction is a processing instruction as found: places in the bytes.
type rawInstruction struct{ target, targetEnd, data, dataEnd, end int }

// scanInstruction finds the parts of the processing instruction at b[i].
func scanInstruction(b []byte, i int, l Limits) (p rawInstruction, err error) {
	p.target = i + len("<?")
	if p.targetEnd, err = scanNCName(b, p.target); err != nil {
		return p, err
	}
	target := b[p.target:p.targetEnd]
	if len(target) > l.Name {
		return p, excess(p.target, "bytes of a name", int64(l.Name))
	}
	if len(target) == 3 && bytes.EqualFold(target, []byte("xml")) {
		return p, syntax(i, "an XML declaration that does not begin the document, or a reserved target")
	}
	n := bytes.Index(b[p.targetEnd:], []byte("?>"))
	if n < 0 {
		return p, errMore
	}
	p.dataEnd = p.targetEnd + n
	p.end = p.dataEnd + len("?>")
	p.data = skipSpace(b[:p.dataEnd], p.targetEnd)
	if p.data == p.targetEnd && n > 0 {
		return p, syntax(p.targetEnd, "white space expected after a target")
	}
	return p, nil
}

// setData gives the token the data b[from:to] with line ends normalised. The
// markup has n bytes.
func (r *Reader) setData(b []byte, from, to, n int) error {
	if n > r.limits.Markup {
		return excess(0, "bytes of markup", int64(r.limits.Markup))
	}
	cr, err := checkData(b, from, to)
	if err != nil {
		return err
	}
	r.token.Data = b[from:to]
	if cr {
		r.values = appendLines(r.values[:0], b[from:to])
		r.token.Data = r.values
	}
	return nil
}
