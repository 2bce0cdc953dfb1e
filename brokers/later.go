package brokers

// Later holds what a newer program wrote into a record and this one does not know. A
// store fills it in when it reads the record, and writes it back with the record, so that
// a step which an older replica takes during an upgrade loses nothing of what newer ones
// noted before. It is text of the store's own, empty for nothing.
//
// A newer program may count on that for members of objects, at any depth, not for those
// of the elements of lists, and not for what a step makes anew: a code or token that an
// older replica issues stands for what that one knows. So a member must mean nothing by
// being absent, and what narrows a login is asked for when all replicas know it.
type Later struct{ members string }

// Members are what a newer program wrote.
func (l *Later) Members() string { return l.members }

// Keep sets them.
func (l *Later) Keep(members string) { l.members = members }
