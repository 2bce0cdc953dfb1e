// Package capacity keeps a server within what its machine gives it, so that it turns
// visitors away in time and goes on, where it would else fail in the middle of what it
// does for others (threats S-30).
//
// A Plan says how many connections and requests fit into the limit of open files. A
// Listener keeps to the connections, and lets go of idle ones as soon as others wait.
// LimitMemory has the garbage collector work harder before the memory of a container is
// used up. What a request beyond the plan hears is the matter of who serves it.
package capacity

// A Plan is what a server takes on at once.
type Plan struct {
	// Connections are those of visitors that may be open, Requests those of their
	// requests that are served; who comes beyond hears so at once. There are fewer
	// requests than connections, so that somebody can be told.
	Connections, Requests int
	// Monitors are the connections of each listener that is not for visitors.
	Monitors int
}

// What open files go to.
const (
	// ownFiles are those that a server has open in any case: logs, keys, listeners,
	// what the runtime needs, and some that come and go.
	ownFiles = 24
	// filesPerVisitor is one for the connection and one for an upstream that is asked
	// on its behalf.
	filesPerVisitor = 2
	// leastConnections are allowed however few files there may be.
	leastConnections = 4
)

// Within is the plan for a machine where so many files may be open, of which the database
// takes some. No number of files is no limit.
func (p Plan) Within(files, database int) Plan {
	if files <= 0 {
		return p
	}
	fit := max(leastConnections, (files-ownFiles-database)/filesPerVisitor)
	p.Connections = min(p.Connections, fit)
	p.Requests = max(1, min(p.Requests, p.Connections*3/4))
	p.Monitors = min(p.Monitors, max(2, fit/8))
	return p
}
