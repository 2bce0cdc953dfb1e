// Package host is the program side of brokers/hsm: it loads a PKCS #11 module, logs
// in to one token and signs with its keys until nobody asks any more. It needs cgo;
// nothing that the broker links may import it.
package host
