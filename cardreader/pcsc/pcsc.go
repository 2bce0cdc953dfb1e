// Package pcsc reaches readers through PC/SC: pcscd on Linux and BSD, the
// system's service on macOS and Windows.
package pcsc

import (
	"context"

	"github.com/eidbridge/eidbridge/cardreader"
)

// Service is the machine's PC/SC service.
type Service struct{}

// New returns the service; nothing is opened before it is used.
func New() *Service { return &Service{} }

// Readers lists the slots.
func (s *Service) Readers(context.Context) ([]cardreader.Reader, error) {
	return nil, cardreader.ErrNoService
}

// Connect opens a card under a transaction.
func (s *Service) Connect(context.Context, string) (cardreader.Connection, error) {
	return nil, cardreader.ErrNoService
}
