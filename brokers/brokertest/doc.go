// Package brokertest has what tests of the broker share: the contract that every
// store keeps (TestStore), and an upstream that answers as told (Upstream).
package brokertest
