package audit

// Break makes a log fail as if its file had.
func Break(l *Log, failure error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failure = failure
}
