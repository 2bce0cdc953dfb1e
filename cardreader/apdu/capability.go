package apdu

import "context"

// Extender is a Transmitter that knows whether its card and reader take extended
// lengths. Without it commands that do not fit the short form are chained.
type Extender interface {
	// TakesExtended is asked only when a command does not fit the short form.
	TakesExtended(ctx context.Context) bool
}

// ExtendedLengths tells from the answer to reset whether the card says that it
// takes extended Lc and Le: bit 7 of the third byte of its capabilities, in the
// historical bytes (ISO/IEC 7816-4 12.1.1.9).
func ExtendedLengths(atr []byte) bool {
	historical := historicalBytes(atr)
	if len(historical) == 0 {
		return false
	}
	switch historical[0] {
	case 0x80: // compact TLV to the end
		historical = historical[1:]
	case 0x00: // compact TLV, then three bytes of status
		historical = historical[1:max(1, len(historical)-3)]
	default:
		return false
	}
	for len(historical) > 0 {
		tag, length := historical[0]>>4, int(historical[0]&0x0F)
		if length > len(historical)-1 {
			return false
		}
		value := historical[1 : 1+length]
		if tag == 7 {
			return length == 3 && value[2]&0x40 != 0
		}
		historical = historical[1+length:]
	}
	return false
}

// historicalBytes skips the interface bytes (ISO/IEC 7816-3 8.2); nil where the
// answer to reset is cut off.
func historicalBytes(atr []byte) []byte {
	if len(atr) < 2 {
		return nil
	}
	count := int(atr[1] & 0x0F)
	presence, at := atr[1]>>4, 2
	for presence != 0 {
		next := byte(0)
		for bit := range 4 {
			if presence&(1<<bit) == 0 {
				continue
			}
			if at >= len(atr) {
				return nil
			}
			if bit == 3 { // TD: which interface bytes follow
				next = atr[at] >> 4
			}
			at++
		}
		presence = next
	}
	if at+count > len(atr) {
		return nil
	}
	return atr[at : at+count]
}
