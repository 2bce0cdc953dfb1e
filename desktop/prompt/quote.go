package prompt

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Quote makes a foreign string safe to show: letters, marks, numbers, signs and
// the plain space stay; control, format, direction and private characters, other
// spaces and line ends are shown as \u{…}, and bytes that are no UTF-8 as \x….
// "<", ">" and "&" are escaped too, since Qt takes some texts for markup. More
// than two combining marks on one letter are cut, and so is what goes beyond max
// characters, which an ellipsis tells.
func Quote(s string, max int) string {
	var b strings.Builder
	length, marks := 0, 0
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		piece := ""
		switch {
		case r == utf8.RuneError && size <= 1:
			piece = fmt.Sprintf(`\x%02x`, s[i])
		case unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Me, r):
			marks++
			if marks > 2 {
				i += size
				continue
			}
			piece = string(r)
		case !unicode.IsPrint(r), strings.ContainsRune(`<>&\`, r):
			piece = fmt.Sprintf(`\u{%x}`, r)
		default:
			piece = string(r)
		}
		if !unicode.Is(unicode.M, r) {
			marks = 0
		}
		n := utf8.RuneCountInString(piece)
		if length+n > max-1 && i+size < len(s) || length+n > max {
			b.WriteString("…")
			return b.String()
		}
		b.WriteString(piece)
		length += n
		i += size
	}
	return b.String()
}
