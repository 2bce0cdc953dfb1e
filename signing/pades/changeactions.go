package pades

import (
	"slices"

	"github.com/eidbridge/eidbridge/signing/pdf"
)

// compareActions looks for scripts and actions in everything that was added or
// changed, wherever it hangs: they can change what is shown (threats P-32).
func (c *comparison) compareActions() error {
	for number := range c.changed {
		before, after, err := c.objects(number)
		if err != nil {
			return err
		}
		if acts(after.Value) && !acts(before.Value) {
			c.set.active = true
			c.set.raise(ChangesOther, "scripts or actions were added")
			return nil
		}
	}
	return nil
}

// acts tells whether a value holds an action that runs programs or scripts,
// sends, fetches or opens other files (table 201).
func acts(o pdf.Object) bool {
	switch o.Kind() {
	case pdf.Array:
		return slices.ContainsFunc(o.Items(), acts)
	case pdf.Dictionary:
		switch o.Get("S").Name() {
		case "JavaScript", "Launch", "SubmitForm", "ImportData", "GoToR", "GoToE", "Rendition", "RichMediaExecute", "GoTo3DView", "Hide", "SetOCGState":
			return true
		}
		if !o.Get("JS").IsNull() {
			return true
		}
		for _, value := range o.Entries() {
			if acts(value) {
				return true
			}
		}
	}
	return false
}
