package dnie

// model is what an answer to reset tells.
type model struct {
	contactless bool
	// old is DNIe 1.x and 2.0: one channel, MAC of 4 bytes.
	old     bool
	damaged bool
}

// macLength is the length of the channel's MAC in bytes.
func (m model) macLength() int {
	if m.old {
		return 4
	}
	return 8
}

// free stands for any byte in a pattern; patterns are bytes otherwise.
const free = -1

// Answers to reset (OpenSC card-dnie.c, jmulticard DnieFactory). In the contact
// form byte 2 is the speed, 11 to 14 are the maker's, 15 and 16 are the version
// of the operating system, and the end tells the life cycle. The contactless
// ones are shared with Spanish residence permits.
func contactPattern() []int {
	return []int{
		0x3B, 0x7F, free, 0, 0, 0, 0x6A, 'D', 'N', 'I', 'e',
		free, free, free, free, free, free, free, free, free,
	}
}

func contactlessPatterns() [][]int {
	return [][]int{
		{0x3B, 0x88, 0x80, 0x01, 0xE1, 0xF3, 0x5E, 0x11, 0x77, 0x81, free, 0x00, free},
		{
			0x3B, 0x8C, 0x80, 0x01, 0x50, free, free, free, free,
			0xE1, 0xF3, 0x5E, 0x11, 0x77, 0x81, free, free,
		},
	}
}

const (
	versionByte = 15
	// firstWithTwoChannels is the major version of DNIe 3.0.
	firstWithTwoChannels = 0x04
	lifeCycleByte        = 17
)

// parseATR recognises the card.
func parseATR(atr []byte) (m model, ok bool) {
	for _, pattern := range contactlessPatterns() {
		if fits(atr, pattern) {
			return model{contactless: true}, true
		}
	}
	if !fits(atr, contactPattern()) {
		return model{}, false
	}
	m.old = atr[versionByte] < firstWithTwoChannels
	switch string(atr[lifeCycleByte:]) {
	case "\x03\x90\x00":
		return m, true
	case "\x0F\x65\x81":
		m.damaged = true
		return m, true
	default:
		return model{}, false
	}
}

func fits(atr []byte, pattern []int) bool {
	if len(atr) != len(pattern) {
		return false
	}
	for i, b := range pattern {
		if b != free && int(atr[i]) != b {
			return false
		}
	}
	return true
}
