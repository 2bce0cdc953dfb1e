package prompt

import (
	"errors"
	"testing"
)

// A person may have read a message, and it be gone, before anybody waits for it: then it
// was shown, and there is something to call when it is no longer needed. Of two channels
// that are ready select takes any, so it is tried often.
func TestMessageThatIsReadAtOnceWasShown(t *testing.T) {
	broken := errors.New("pinentry ended")
	for _, end := range []error{nil, broken} {
		for range 100 {
			shown, ended, cancelled := make(chan struct{}), make(chan error, 1), 0
			close(shown)
			ended <- end
			done, err := onceShown(shown, ended, func() { cancelled++ })
			if done == nil || err != nil {
				t.Fatalf("something to call: %v, %v", done != nil, err)
			}
			if done(); cancelled != 1 {
				t.Fatalf("taken away %d times", cancelled)
			}
		}
	}
	ended, cancelled := make(chan error, 1), 0
	ended <- broken
	if done, err := onceShown(make(chan struct{}), ended, func() { cancelled++ }); done != nil || !errors.Is(err, broken) || cancelled != 1 {
		t.Errorf("never shown: %v, something to call: %v, cancelled %d times", err, done != nil, cancelled)
	}
}
