package facturae

import (
	"fmt"
	"slices"
	"strings"
)

// part is a piece of a content model with what an automaton needs to know of it.
type part struct {
	first, last []int
	empty       bool
}

// compiler turns the text of a content model into an automaton:
//
//	model = item [ "?" | "*" | "+" ]
//	item  = "(" model { ", " model } ")" | "(" model { " | " model } ")"
//	      | name ":" type | "@Signature" | "any"
type compiler struct {
	text string
	at   int
	out  automaton
}

func compile(model string) (*automaton, error) {
	c := &compiler{text: model}
	p, err := c.model()
	if err != nil {
		return nil, err
	}
	if c.at != len(c.text) {
		return nil, fmt.Errorf("unexpected %q", c.text[c.at:])
	}
	c.out.first, c.out.empty = p.first, p.empty
	c.out.last = make([]bool, len(c.out.positions))
	for _, i := range p.last {
		c.out.last[i] = true
	}
	return &c.out, nil
}

func (c *compiler) take(s string) bool {
	if strings.HasPrefix(c.text[c.at:], s) {
		c.at += len(s)
		return true
	}
	return false
}

func (c *compiler) model() (part, error) {
	p, err := c.item()
	if err != nil {
		return p, err
	}
	repeats := false
	switch {
	case c.take("?"):
		p.empty = true
	case c.take("*"):
		p.empty, repeats = true, true
	case c.take("+"):
		repeats = true
	}
	if repeats {
		c.connect(p.last, p.first)
	}
	return p, nil
}

func (c *compiler) item() (part, error) {
	if c.take("(") {
		return c.group()
	}
	end := strings.IndexAny(c.text[c.at:], "?*+,) ")
	if end < 0 {
		end = len(c.text) - c.at
	}
	word := c.text[c.at : c.at+end]
	c.at += end
	var p position
	name, kind, typed := strings.Cut(word, ":")
	switch {
	case word == "any":
		p.any = true
	case word == "@Signature":
		p.signature = true
	case typed && name != "" && kind != "":
		p.name, p.kind = name, kind
	default:
		return part{}, fmt.Errorf("unexpected %q", word)
	}
	i := len(c.out.positions)
	c.out.positions = append(c.out.positions, p)
	c.out.follow = append(c.out.follow, nil)
	return part{first: []int{i}, last: []int{i}}, nil
}

func (c *compiler) group() (part, error) {
	all, err := c.model()
	if err != nil {
		return all, err
	}
	for {
		switch {
		case c.take(")"):
			return all, nil
		case c.take(", "):
			next, err := c.model()
			if err != nil {
				return next, err
			}
			c.connect(all.last, next.first)
			if all.empty {
				all.first = slices.Concat(all.first, next.first)
			}
			if next.empty {
				all.last = slices.Concat(all.last, next.last)
			} else {
				all.last = next.last
			}
			all.empty = all.empty && next.empty
		case c.take(" | "):
			next, err := c.model()
			if err != nil {
				return next, err
			}
			all = part{first: slices.Concat(all.first, next.first), last: slices.Concat(all.last, next.last), empty: all.empty || next.empty}
		default:
			return all, fmt.Errorf("unexpected %q", c.text[c.at:])
		}
	}
}

// connect lets every one of the next positions follow every one of the last.
func (c *compiler) connect(last, next []int) {
	for _, i := range last {
		c.out.follow[i] = slices.Concat(c.out.follow[i], next)
	}
}
