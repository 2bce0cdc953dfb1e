package xmldsig

// Misplaced tells whether an element that a reference leads to is one of a
// signature, but does not stand where the schema has it: an attacker moved it
// away, and something else stands in its place (threats X-50). What is inside
// this signature must be its direct child, or a child of one of those; a
// ds:Object or ds:Manifest anywhere must be one of a ds:Signature.
func (d *Document) Misplaced(s *Signature, r *Reference, o Outcome) bool {
	if o.Err != nil || o.Depth == 0 || o.Start < 0 {
		return false
	}
	home := s
	if !s.contains(o) {
		home = nil
		for _, other := range d.Signatures {
			if other.contains(o) && (home == nil || other.Depth > home.Depth) {
				home = other
			}
		}
	}
	own := o.Space == Namespace && (o.Local == "Object" || o.Local == "Manifest" || o.Local == "KeyInfo")
	if !own && r.Type != TypeManifest {
		return false
	}
	if home == nil {
		return true
	}
	want := map[string]int{"Object": 1, "KeyInfo": 1, "Manifest": 2}[o.Local]
	if o.Depth-home.Depth != want {
		return true
	}
	return r.Type == TypeManifest && o.Local != "Manifest"
}

func (s *Signature) contains(o Outcome) bool { return s.Start < o.Start && o.End < s.End }
