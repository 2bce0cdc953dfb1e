package dnie

import "errors"

var (
	// ErrNoRoot: Driver.Roots is empty, so no chip can be trusted and no PIN
	// sent. It is a cardreader.ErrCardUntrusted. PublishedRoots are those of the
	// real cards.
	ErrNoRoot = errors.New("no trust root for DNIe chips is configured: set the component root of the card's issuer")
	// ErrNoAccessNumber: the card is held to a contactless reader and Driver.CAN
	// is not set. In a contact reader it works without a number.
	ErrNoAccessNumber = errors.New("contactless card needs the access number printed on it: type it, or use a contact reader")
	// ErrDamaged: the answer to reset says that the card's memory is damaged.
	ErrDamaged = errors.New("card reports damaged memory: it has to be replaced")
)
