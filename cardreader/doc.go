// Package cardreader goes from a reader's slot to a signature value.
//
// Service finds readers, Driver recognises a card, Card reads certificates and
// signs. Below this package: pcsc and vpcd (ways to reach a card), apdu and tlv
// (the command layer), iso7816 (what families have in common), pin (the secret),
// and one package per card family. A family knows Transport and nothing else, so
// it never sees PC/SC. What a card can do besides signing is in interfaces that
// its driver may implement (management.go).
//
// Cards is what programs use: it lists what is inserted, hands out crypto.Signer
// values which ask for the PIN at the moment of signing, changes and unblocks
// PINs, and reads what is printed on a card.
package cardreader
