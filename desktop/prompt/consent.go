package prompt

import (
	"encoding/hex"
	"fmt"
	"net"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/eidbridge/eidbridge/desktop"
	"github.com/eidbridge/eidbridge/desktop/origins"
	"github.com/eidbridge/eidbridge/signing/pades"
)

// fitting composes a text with the full lengths of foreign strings and, where it
// comes out longer than room bytes, again with less of them. What the agent says
// itself is never cut.
func fitting(room int, compose func(cut func(s string, max int) string) string) string {
	text := ""
	for eighth := 8; eighth > 0; eighth-- {
		text = compose(func(s string, max int) string { return Quote(s, max*eighth/8) })
		if len(escape(text)) <= room {
			break
		}
	}
	return text
}

// consentText says who asks for what, as whom and with which weight
// (agent-protocols 8).
func (p phrases) consentText(c desktop.Consent, room int) string {
	if c.Kind == desktop.KindAuthenticate {
		return p.loginText(c, room)
	}
	// Every kind of risk has its word where there is room for it beside whole names.
	for most := len(pades.Risks()); most > maxRisks; most-- {
		if text := p.consentNaming(c, Quote, most); len(escape(text)) <= room {
			return text
		}
	}
	for most := maxRisks; ; most-- {
		text := fitting(room, func(cut func(string, int) string) string { return p.consentNaming(c, cut, most) })
		if most == 1 || len(escape(text)) <= room {
			return text
		}
	}
}

// consentNaming is the consent with at most so many kinds of risk.
func (p phrases) consentNaming(c desktop.Consent, cut func(string, int) string, most int) string {
	lines := p.recognised()
	switch {
	case !c.Origin.IsZero():
		lines = append(lines, p.say("ask_site", who(c.Origin, cut)))
	case c.Of > 1:
		lines = append(lines, p.say("batch_place", values{"N": c.At, "Of": c.Of}))
	default:
		lines = append(lines, p.say("ask_local", nil))
	}
	lines = append(lines,
		p.say("document", values{
			"Name": cut(c.Document.Name, maxNameText),
			"Type": mediaType(c.Document.MediaType, cut), "Size": size(c.Document.Size),
		}),
		p.say("digest", values{"Digest": groups(c.Document.SHA256[:8])}))
	lines = append(lines, p.partsText(c.Document.Parts, cut)...)
	lines = append(lines, p.riskTexts(c.Document, most)...)
	if c.Purpose != "" {
		lines = append(lines, p.say("site_says", values{"Purpose": cut(c.Purpose, maxPurposeText)}))
	}
	if c.Reference != "" {
		lines = append(lines, p.say("site_reference", values{"Reference": cut(c.Reference, maxReferenceText)}))
	}
	if c.Mark != "" && !c.Origin.IsZero() {
		lines = append(lines, p.say("site_mark", values{"Text": cut(c.Mark, maxMarkText)}))
	}
	lines = append(lines, p.holderText(c.Holder, cut))
	if c.TriesLeft >= 0 {
		lines = append(lines, p.count("tries", c.TriesLeft, values{"PIN": Quote(c.PIN, 8)}))
	}
	return strings.Join(lines, "\n")
}

// maxRisks bounds how many kinds of risk are named in a list of documents, and of one
// document where room is short; the gravest come first.
const maxRisks = 4

// riskTexts name what the document does by itself, and what else can make it look
// different later.
func (p phrases) riskTexts(d desktop.Description, most int) []string {
	if d.Scan == nil {
		return nil
	}
	var active, other []string
	for i, f := range d.Scan.Findings {
		list := &other
		if f.Active || i == most && len(other) == 0 {
			list = &active
		}
		if i == most {
			*list = append(*list, "…")
			break
		}
		*list = append(*list, p.say("risk_"+string(f.Kind), nil))
	}
	var lines []string
	if len(active) > 0 {
		lines = append(lines, p.say("risks_active", values{"List": strings.Join(active, ", ")}))
	}
	if len(other) > 0 {
		lines = append(lines, p.say("risks_other", values{"List": strings.Join(other, ", ")}))
	}
	if !d.Scan.Complete {
		lines = append(lines, p.say("risks_incomplete", nil))
	}
	return lines
}

// maxParts bounds the files of a container that are listed one by one.
const maxParts = 12

// partsText lists the files under one signature.
func (p phrases) partsText(parts []desktop.Description, cut func(string, int) string) []string {
	var lines []string
	for i, d := range parts {
		if i == maxParts {
			lines = append(lines, "…")
			break
		}
		lines = append(lines, p.say("batch_item", values{
			"N": i + 1, "Name": cut(d.Name, maxNameText), "Type": mediaType(d.MediaType, cut), "Size": size(d.Size), "Digest": groups(d.SHA256[:8]) + " …",
		}))
	}
	return lines
}

// loginText says who wants to know who the person is, and that nothing is signed.
func (p phrases) loginText(c desktop.Consent, room int) string {
	return fitting(room, func(cut func(string, int) string) string {
		lines := append(p.recognised(), p.say("ask_login", who(c.Origin, cut)))
		if c.Purpose != "" {
			lines = append(lines, p.say("site_says", values{"Purpose": cut(c.Purpose, maxPurposeText)}))
		}
		number := ""
		if c.Holder.Number != "" {
			number = "(" + cut(c.Holder.Number, maxNumberText) + ")"
		}
		lines = append(lines, p.say("login_holder", values{
			"Name": cut(c.Holder.Name, maxHolderText), "Number": number, "Issuer": cut(c.Holder.Issuer, maxIssuerText),
			"Until": c.Holder.NotAfter.UTC().Format(p.say("date", nil)),
		}), p.say("weight_login", nil))
		if c.TriesLeft >= 0 {
			lines = append(lines, p.count("tries", c.TriesLeft, values{"PIN": Quote(c.PIN, 8)}))
		}
		return strings.Join(lines, "\n")
	})
}

// agreement is the text of the button.
func agreement(c desktop.Consent) string {
	if c.Kind == desktop.KindAuthenticate {
		return "log_in"
	}
	return "sign"
}

// holderText says as whom the person signs, and with which weight.
func (p phrases) holderText(h desktop.Holder, cut func(string, int) string) string {
	number := ""
	if h.Number != "" {
		number = "(" + cut(h.Number, maxNumberText) + ")"
	}
	weight := "weight_other"
	if h.Qualified {
		weight = "weight_qualified"
	}
	return p.say("holder", values{
		"Name": cut(h.Name, maxHolderText), "Number": number,
		"Issuer": cut(h.Issuer, maxIssuerText),
		"Until":  h.NotAfter.UTC().Format(p.say("date", nil)),
	}) + "\n" + p.say(weight, nil)
}

// batchTexts list every document of a batch on as many pages as it takes, and say on
// the last one as whom the person signs. A digest is shown in full when there is
// room for long lines, else its first bytes as for a single document.
func (p phrases) batchTexts(c desktop.Consent, room int, whole bool) []string {
	var pages []string
	page := strings.Join(append(p.recognised(), p.count("ask_batch", len(c.Documents), values{})), "\n")
	add := func(line string) {
		if room > 0 && len(escape(page+"\n"+line)) > room {
			pages, page = append(pages, page), line
			return
		}
		page += "\n" + line
	}
	for i, d := range c.Documents {
		digest := groups(d.SHA256[:8]) + " …"
		if whole {
			digest = hex.EncodeToString(d.SHA256[:])
		}
		add(p.say("batch_item", values{
			"N": i + 1, "Name": Quote(d.Name, maxNameText), "Type": mediaType(d.MediaType, Quote), "Size": size(d.Size), "Digest": digest,
		}))
		for _, line := range p.riskTexts(d, maxRisks) {
			add("   " + line)
		}
	}
	add(p.holderText(c.Holder, Quote))
	if c.PIN != "" {
		add(p.say("batch_each", values{"PIN": Quote(c.PIN, maxPINName)}))
	}
	return append(pages, page)
}

func (p phrases) lastTryText(c desktop.Consent, room int) string {
	return fitting(room, func(cut func(string, int) string) string {
		return p.say("last_try", values{"PIN": Quote(c.PIN, 8), "Name": cut(c.Holder.Name, maxHolderText)})
	})
}

func (p phrases) pairingText(q desktop.PairingQuestion, room int) string {
	return fitting(room, func(cut func(string, int) string) string {
		lines := []string{p.say("pairing_site", who(q.Origin, cut))}
		if q.Name != "" {
			lines = append(lines, p.say("pairing_name", values{"Name": cut(q.Name, maxNameText)}))
		}
		scopes := make([]string, 0, len(q.Scopes))
		for _, s := range q.Scopes {
			scopes = append(scopes, p.say("scope_"+string(s), nil))
		}
		return strings.Join(append(lines,
			p.say("pairing_scopes", values{"Scopes": strings.Join(scopes, ", ")}),
			p.say("pairing_code", values{"Code": q.Code}),
			p.say("pairing_advice", nil)), "\n")
	})
}

// who names an origin: the domain that somebody registered, then all of it. A
// long host loses its front, which its owner can choose freely.
func who(o origins.Origin, cut func(string, int) string) values {
	domain := o.Host()
	if net.ParseIP(domain) == nil {
		if registered, err := publicsuffix.EffectiveTLDPlusOne(domain); err == nil {
			domain = registered
		}
	}
	whole := o.String()
	if len(whole) > maxOriginText {
		whole = o.Scheme() + "://…" + whole[len(whole)-maxOriginText:]
	}
	return values{"Domain": cut(domain, maxOriginText), "Origin": Quote(whole, maxOriginText+12)}
}

func mediaType(s string, cut func(string, int) string) string {
	if s == desktop.MediaTypePDF {
		return "PDF"
	}
	return cut(s, 30)
}

// size is a length in decimal units, rounded up: "23 kB".
func size(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1000_000:
		return fmt.Sprintf("%d kB", (n+999)/1000)
	default:
		return fmt.Sprintf("%d MB", (n+999_999)/1000_000)
	}
}

// groups writes bytes as hexadecimal in fours, as people compare them.
func groups(b []byte) string {
	digits := hex.EncodeToString(b)
	var out []string
	for len(digits) > 4 {
		out, digits = append(out, digits[:4]), digits[4:]
	}
	return strings.Join(append(out, digits), " ")
}
