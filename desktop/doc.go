// Package desktop is the citizen's side: a service that takes requests from
// doors, finds the card, asks the person, and leaves one line in the journal for
// each of them.
//
// A door (the command line, the loopback API; later AutoFirma, Web eID, the
// broker's relay) translates what it was asked into a Request and decides
// nothing. Every request is the same object and goes the same way:
//
//	created → waiting_documents → waiting_card → waiting_consent → waiting_pin → signing → done
//	       ↘ declined | cancelled | expired | failed        (from every state before done)
//
// A batch goes back from signing to waiting_pin for its next document.
//
// Requests are worked on one after the other, and only one question is before
// the person at any time. waiting_consent is the preparation of the document and
// the explicit yes where one is needed (the last try of a PIN); waiting_pin is
// the one window that says who asks for what and takes the PIN: entering the PIN
// is the consent. Of several documents the whole list is agreed to first, with one
// yes, and each signature then takes the PIN that its key demands. A PIN is asked
// for once a signature and sent to the card once.
//
// The package holds no window: a Prompter asks. It holds no web server: doors
// live in packages of their own, which know this one and not each other.
//
// Left to later versions: login and certificate requests, several documents in
// one request of a page, choosing among cards, readers with a keypad.
package desktop
