package pkcs11

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/pin"
	"github.com/eidbridge/eidbridge/fixtures/pcscd"
)

// hostMarker makes the test binary the module's process.
const hostMarker = "EIDBRIDGE_TEST_PKCS11_HOST"

func TestMain(m *testing.M) {
	pcscd.Child()
	if os.Getenv(hostMarker) != "" {
		if err := Serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// host runs this binary as the module's process with more environment.
func host(env ...string) func(context.Context) (*exec.Cmd, error) {
	return func(ctx context.Context) (*exec.Cmd, error) {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		c := exec.CommandContext(ctx, self)
		c.Env = append(append(os.Environ(), hostMarker+"=1"), env...)
		return c, nil
	}
}

// typist is a holder who types the same PIN whenever asked.
type typist struct {
	pin   string
	asked []cardreader.PINRequest
}

func (s *typist) PIN(_ context.Context, r cardreader.PINRequest) (*pin.PIN, error) {
	s.asked = append(s.asked, r)
	return pin.New([]byte(s.pin))
}
