package host

import (
	"errors"
	"io"
	"os"

	"github.com/eidbridge/eidbridge/brokers/hsm/internal/wire"
)

// ErrAlone says that nobody speaks to the program.
var ErrAlone = errors.New("eidbroker starts this program for keys in a PKCS #11 module; it is of no use alone")

// Run serves the broker that started this program.
func Run() error {
	in, out := os.NewFile(wire.Requests, "requests"), os.NewFile(wire.Answers, "answers")
	if _, err := in.Stat(); err != nil {
		return ErrAlone
	}
	if _, err := out.Stat(); err != nil {
		return ErrAlone
	}
	if err := withoutCore(); err != nil {
		return err
	}
	if err := Serve(in, out); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}
