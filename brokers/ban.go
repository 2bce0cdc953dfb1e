package brokers

import "time"

// Ban keeps an address from beginning logins and from further tries, for a while.
type Ban struct {
	// ID names it to operators; it tells nothing of the address.
	ID string `json:"id"`
	// Address is the banned one: personal data, which is kept encrypted and no longer
	// than the ban.
	Address string `json:"address"`
	// Kind is what was tried last.
	Kind  string    `json:"kind"`
	At    time.Time `json:"at"`
	Until time.Time `json:"until"`
}
