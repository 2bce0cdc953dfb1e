package prompt_test

import (
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/desktop"
)

// A login says who asks and that nothing is signed, and its button is no
// signature's.
func TestLoginIsNoSignature(t *testing.T) {
	p, said := pinentry(t, `GETPIN=D 1234\nOK`)
	c := consent(t)
	c.Kind, c.Document, c.PIN, c.Locale = desktop.KindAuthenticate, desktop.Description{}, "PIN1", "nl"
	secret, err := p.PIN(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	secret.Wipe()
	for _, want := range []string{"example.es vraagt u om in te loggen", "Er wordt niets ondertekend", "SETOK Inloggen", "https://sede.example.es"} {
		if !strings.Contains(said(), want) {
			t.Errorf("window does not say %q: %s", want, said())
		}
	}
	for _, wrong := range []string{"SHA-256", "Onderteken", "handtekening", "contract.pdf"} {
		if strings.Contains(said(), wrong) {
			t.Errorf("window says %q: %s", wrong, said())
		}
	}
}
