// Package securemessaging protects the exchange with a card once both sides hold
// session keys: ISO/IEC 7816-4 clause 10, in the two profiles that the supported
// cards use.
//
//   - NewDES: CWA 14890-1 clause 9 (3DES, retail MAC of 4 or 8 bytes), what the
//     Spanish DNIe speaks after its device authentication.
//   - NewAES: ICAO Doc 9303-11 9.8 (AES, CMAC of 8
//     bytes), what any card speaks after PACE.
//
// A Session turns plain commands into protected ones and protected answers into
// plain ones. A Channel is a Session bound to a card; it is a
// cardreader.Transport, so a driver speaks through it unchanged.
//
// A channel lives until the first thing that is not as it has to be: a wrong
// MAC, an answer without protection, a broken transport. Then the keys are gone
// and every later command fails with ErrClosed. Nothing is ever repeated in
// clear, and all forgeries look the same from outside.
//
// Left out: extended lengths (the cards do not need them), BER-TLV data (tag 85),
// sending a command in clear while a channel is open, the key agreements
// themselves (packages cwa14890 and pace).
//
// Key bytes are overwritten when a session ends. The key schedules inside
// crypto/aes and crypto/des cannot be; they are given to the garbage collector.
package securemessaging
