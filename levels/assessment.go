package levels

import "slices"

// Ceiling is an upper bound that someone configured: for an upstream, a method,
// a session.
type Ceiling struct {
	// Source names who set it, for the receipt: "upstream", "method:digid-app".
	Source string `json:"source"`
	// Max is the highest level that passes.
	Max Level `json:"max"`
}

// Assessment is how a level was reached: the core of a level receipt. It is a
// value; Lower returns another one.
type Assessment struct {
	// Level is the result: the least of Asserted and all ceilings.
	Level Level `json:"level"`
	// Scheme and Value are what the upstream said, Value verbatim.
	Scheme string `json:"scheme"`
	Value  string `json:"value"`
	// Rule is the row of the mapping that was applied.
	Rule string `json:"rule"`
	// Asserted is the level that the row gives.
	Asserted Level `json:"asserted"`
	// Ceilings are all bounds that were applied, whether they lowered or not.
	Ceilings []Ceiling `json:"ceilings,omitempty"`
	// Notified says that this class of the scheme is notified under Regulation
	// (EU) No 910/2014 article 9 at the resulting level. It is false when a
	// ceiling lowered the level.
	Notified bool `json:"notified"`
	// OfficialJournal is the notice of the notification, if there is one.
	OfficialJournal string `json:"officialJournal,omitempty"`
	// AMR holds the authentication methods (RFC 8176) that are certain from the
	// class alone.
	AMR []string `json:"amr,omitempty"`
	// PolicyVersion is the version of the mapping.
	PolicyVersion string `json:"policyVersion"`
}

// Lower applies further ceilings. The result is never above the receiver.
func (a Assessment) Lower(ceilings ...Ceiling) Assessment {
	a.Ceilings = append(slices.Clone(a.Ceilings), ceilings...)
	a.AMR = slices.Clone(a.AMR)
	for _, c := range ceilings {
		if c.Max < a.Level {
			a.Level = max(c.Max, None)
		}
	}
	if a.Level < a.Asserted {
		a.Notified, a.OfficialJournal = false, ""
	}
	return a
}

// Requirement is what a login has to reach.
type Requirement struct {
	// Floor is the least level that will do.
	Floor Level `json:"floor"`
	// Answers, if not empty, are the only levels that the relying party accepts
	// as an answer (an essential acr claim with values, OpenID Connect Core
	// 5.5.1.1).
	Answers []Level `json:"answers,omitempty"`
}

// Answer says which level to report for a login that reached actual: actual
// itself, or with Answers the highest listed level that is not above it. It is
// false when the requirement is not met. A login at None meets no requirement.
func (r Requirement) Answer(actual Level) (Level, bool) {
	if actual <= None || actual < r.Floor {
		return None, false
	}
	if len(r.Answers) == 0 {
		return actual, true
	}
	best := None
	for _, l := range r.Answers {
		if l <= actual && l >= r.Floor && l > best {
			best = l
		}
	}
	return best, best > None
}

// Least is the smallest level with which the requirement can be met, for the
// question to an upstream.
func (r Requirement) Least() Level {
	least := max(r.Floor, BelowLow)
	if len(r.Answers) == 0 {
		return least
	}
	found := None
	for _, l := range r.Answers {
		if l >= least && (found == None || l < found) {
			found = l
		}
	}
	if found == None {
		return High + 1 // no listed level reaches the floor: nothing will do
	}
	return found
}
