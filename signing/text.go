package signing

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// WriteText writes the report for people, in English. Every claim of the signer
// is marked as one, and what was not checked stands at the end.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	switch len(r.Signatures) {
	case 0:
		b.WriteString("The document carries no signature.\n")
	case 1:
		b.WriteString("The document carries 1 signature.\n")
	default:
		fmt.Fprintf(&b, "The document carries %d signatures.\n", len(r.Signatures))
	}
	for _, f := range r.Warnings {
		fmt.Fprintf(&b, "Warning: %s.\n", f.Text)
	}
	for i := range r.Signatures {
		r.Signatures[i].writeText(&b, i+1)
	}
	for _, t := range r.TimeStamps {
		t.writeText(&b)
	}
	if len(r.NotChecked) > 0 && len(r.Signatures) > 0 {
		b.WriteString("\nNot checked:\n")
		for _, c := range r.NotChecked {
			fmt.Fprintf(&b, "  - %s\n", checkText(c))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (s *Signature) writeText(b *strings.Builder, number int) {
	line := func(label, format string, args ...any) {
		fmt.Fprintf(b, "  %-15s %s\n", label+":", fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(b, "\nSignature %d", number)
	if s.Field != "" {
		fmt.Fprintf(b, " in field %q", clean(s.Field))
	}
	b.WriteByte('\n')
	verdict := string(s.Indication)
	if s.SubIndication != "" {
		verdict += " / " + string(s.SubIndication)
	}
	line("Verdict", "%s", verdict)
	line("Integrity", "%s", integrityText(s.Integrity))
	if s.Coverage != "" {
		line("Covers", "%s", coverageText(s.Coverage))
		line("Changes after", "%s", changesText(s.ChangesAfter))
	}
	for i := range s.Data {
		line("Covers", "%s", s.Data[i].text())
	}
	s.Signer.writeText(line)
	if s.Baseline != "" {
		line("Level", "%s %s", s.Format.Title(), s.Baseline)
	}
	if s.SignatureAlgorithm != "" {
		line("Algorithm", "%s", s.SignatureAlgorithm)
	}
	if s.ClaimedTime != nil {
		line("Claimed time", "%s", s.ClaimedTime.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	if s.BestTime != nil {
		line("Proven before", "%s", s.BestTime.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	for _, t := range s.TimeStamps {
		line("Time-stamp", "%s", t.text())
	}
	if s.Revocation != "" {
		line("Not revoked", "says %s", s.Revocation)
	}
	commitments := make([]string, 0, len(s.Commitments))
	for _, c := range s.Commitments {
		commitments = append(commitments, string(c))
	}
	for _, c := range []struct{ label, text string }{
		{"Claimed name", s.ClaimedName},
		{"Reason", s.Reason},
		{"Location", s.Location},
		{"Contact", s.ContactInfo},
		{"Policy", s.Policy},
		{"Commitment", strings.Join(commitments, ", ")},
		{"Claimed roles", strings.Join(s.Roles, ", ")},
	} {
		if c.text != "" {
			line(c.label, "%s", clean(c.text))
		}
	}
	for _, f := range s.Findings {
		line("Finding", "%s (%s)", clean(f.Text), f.Code)
	}
}

// writeText tells who signed, if that is known.
func (s *Signer) writeText(line func(label, format string, args ...any)) {
	if s == nil {
		return
	}
	line("Signer", "%s", clean(s.Subject))
	line("Issuer", "%s", clean(s.Issuer))
	line("Valid", "%s to %s", s.NotBefore.UTC().Format(time.DateOnly), s.NotAfter.UTC().Format(time.DateOnly))
	if len(s.KeyUsage) > 0 {
		line("Key usage", "%s", strings.Join(s.KeyUsage, ", "))
	}
	if len(s.QCStatements) > 0 {
		line("Claims to be", "%s", strings.Join(s.QCStatements, ", "))
	}
}

// text is one line about signed data.
func (d *SignedData) text() string {
	text := "the file " + strconv.Quote(clean(d.URI))
	switch {
	case d.Whole():
		text = "the whole document"
	case d.Element != "":
		text = fmt.Sprintf("the element %q, bytes %d to %d", clean(d.Element), d.Start, d.End)
	}
	if d.Integrity != Intact {
		text += " (" + integrityText(d.Integrity) + ")"
	}
	return text
}

// writeText writes a time-stamp that stands by itself.
func (t *TimeStamp) writeText(b *strings.Builder) {
	b.WriteString("\nDocument time-stamp")
	if t.Field != "" {
		fmt.Fprintf(b, " in field %q", clean(t.Field))
	}
	fmt.Fprintf(b, "\n  %-15s %s\n", "Verdict:", t.text())
	if t.Coverage != "" {
		fmt.Fprintf(b, "  %-15s %s\n", "Covers:", coverageText(t.Coverage))
	}
}

// text is one line about a time-stamp.
func (t *TimeStamp) text() string {
	text := string(t.Indication)
	if t.SubIndication != "" {
		text += " / " + string(t.SubIndication)
	}
	if t.Time != nil {
		text += ", " + t.Time.UTC().Format("2006-01-02 15:04:05 UTC") + " by " + clean(t.Authority)
	}
	return text
}

// clean keeps text of strangers from steering a terminal or imitating further
// lines of the report.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < ' ', r >= 0x7F && r < 0xA0, r >= 0x200E && r <= 0x200F, r >= 0x2028 && r <= 0x202E, r >= 0x2066 && r <= 0x2069:
			return ' '
		}
		return r
	}, s)
}

func integrityText(i Integrity) string {
	switch i {
	case Intact:
		return "intact: the signed bytes are as they were when signed"
	case Broken:
		return "BROKEN: the signed bytes or the signature were changed"
	default:
		return "unknown"
	}
}

func coverageText(c Coverage) string {
	switch c {
	case WholeFile:
		return "the whole file"
	case WholeRevision:
		return "a complete earlier version of the file"
	case Partial:
		return "only PART of the file"
	default:
		return "unclear"
	}
}

func changesText(c Changes) string {
	switch c {
	case ChangesNone:
		return "none"
	case ChangesLTVOnly:
		return "validation data only"
	case ChangesFormFill:
		return "further signatures and filled-in form fields only"
	case ChangesAnnotations:
		return "ANNOTATIONS were added or changed"
	case ChangesOther:
		return "the DOCUMENT was changed"
	default:
		return "not recognised as harmless"
	}
}

func checkText(c Check) string {
	switch c {
	case CheckRevocation:
		return "whether the certificate had been revoked"
	case CheckTrustedList:
		return "whether the issuer is on an EU trusted list, and so whether the signature is qualified"
	case CheckChain:
		return "who issued the certificate: no trust anchors were given"
	default:
		return string(c)
	}
}
