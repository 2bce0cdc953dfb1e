package prompt

import "time"

// The bounds of the package.
const (
	// maxLine is the longest Assuan line in bytes, without its line feed
	// (libassuan manual, "Implementation": 1000 octets).
	maxLine = 1000
	// maxLines bounds how many lines one answer may take: status and comment
	// lines are skipped, a program that sends nothing else is not believed.
	maxLines = 100
	// maxPINEntry bounds what is taken from a terminal or descriptor, in bytes.
	maxPINEntry = 64
	// MaxListed bounds a batch that is listed in windows (threats L-38). A terminal
	// can be scrolled and lists any number.
	MaxListed = 50
	// minReading is the time within which no person has read a question.
	minReading = 700 * time.Millisecond
	// endPatience is how long a pinentry may take to leave.
	endPatience = 2 * time.Second

	// Lengths in characters of foreign strings in a question. Together with the
	// longest catalogue they stay below maxLine, which a test proves.
	maxOriginText    = 100
	maxNameText      = 60
	maxHolderText    = 50
	maxNumberText    = 24
	maxIssuerText    = 40
	maxPurposeText   = 60
	maxReferenceText = 24
	maxMarkText      = 40
	maxReaderText    = 32
	maxPhrase        = 28
)
