package pkcs11

import (
	"bytes"
	"testing"
)

func TestAnswerIsFoundInTheModulesChatter(t *testing.T) {
	var out bytes.Buffer
	out.WriteString("loading…\neidbridge-pkcs 12")
	if err := writeAnswer(&out, answer{Signature: []byte{1, 2}}); err != nil {
		t.Fatal(err)
	}
	out.WriteString("bye")
	a, err := parseAnswer(out.Bytes())
	if err != nil || !bytes.Equal(a.Signature, []byte{1, 2}) {
		t.Errorf("%+v, %v", a, err)
	}
}

// What is parsed is bounded and written the same again.
func FuzzParseAnswer(f *testing.F) {
	f.Add([]byte(answerMark + `{"error":{"function":"C_Login","code":160},"flags":4}` + "\n"))
	f.Add([]byte(answerMark + `{"tokens":[{"slot":1,"label":"A (PIN2)","certificates":[{"id":"AQ==","der":"MAA="}]}]}` + "\n"))
	f.Add([]byte("chatter"))
	f.Fuzz(func(t *testing.T, output []byte) {
		a, err := parseAnswer(output)
		if err != nil {
			return
		}
		for _, token := range a.Tokens {
			slot := token.inserted()
			for _, s := range slot.PINs {
				if s.MinLength < 1 || s.MaxLength < s.MinLength || s.ID == "" {
					t.Errorf("PIN %+v", s)
				}
			}
		}
		if a.Error != nil && meaning(a, "PIN") == nil {
			t.Error("a failure without an error")
		}
	})
}
