package saml

import (
	"math/rand/v2"
	"testing"

	"github.com/beevik/etree"
)

// TestRandomEditsNeverChangeTheIdentity takes right answers apart and puts them
// together again at random: elements deleted, copied, moved, wrapped, renamed;
// attributes taken from elsewhere. The outcome is a typed refusal or the honest
// identity (threat X-115).
func TestRandomEditsNeverChangeTheIdentity(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	base, evil := goodAnswer().post(), newWrap(false).evil
	refused := map[Reason]int{}
	for range 1500 {
		document, forged := etree.NewDocument(), etree.NewDocument()
		if err := document.ReadFromString(base); err != nil {
			t.Fatal(err)
		}
		if err := forged.ReadFromString(evil); err != nil {
			t.Fatal(err)
		}
		for range 1 + random.IntN(3) {
			edit(random, document.Root(), forged.Root())
		}
		message, err := document.WriteToBytes()
		if err != nil {
			t.Fatal(err)
		}
		e := goodExpectation()
		e.Signed = []Coverage{{Response: true, Assertion: true}, {Response: true}, {Assertion: true}}[random.IntN(3)]
		if random.IntN(2) == 0 {
			e.Lenient = Recorded()
		}
		got, err := ValidateResponse(message, e)
		if err == nil {
			if got.NameID.Value != "s00000000:900029365" || got.ID != "_assertion1" {
				t.Fatalf("identity %q out of\n%s", got.NameID.Value, message)
			}
			continue
		}
		if got != nil {
			t.Fatal("identity released with an error")
		}
		refused[ReasonOf(err)]++
	}
	if len(refused) < 5 {
		t.Errorf("edits reach only the checks %v", refused)
	}
}

func edit(random *rand.Rand, root, evil *etree.Element) {
	all := root.FindElements("//*")
	pick := func(from []*etree.Element) *etree.Element { return from[random.IntN(len(from))] }
	at, other := pick(all), pick(all)
	place := func(parent, child *etree.Element) {
		parent.InsertChildAt(random.IntN(len(parent.Child)+1), child)
	}
	switch random.IntN(8) {
	case 0:
		if parent := at.Parent(); parent != nil && at != root {
			parent.RemoveChild(at)
		}
	case 1:
		place(at, other.Copy())
	case 2:
		place(at, pick(evil.FindElements("//*")).Copy())
	case 3:
		place(at, evil.Copy())
	case 4:
		if parent := at.Parent(); parent != nil && at != root {
			wrapper := etree.NewElement(other.FullTag())
			wrapper.AddChild(at.Copy())
			parent.InsertChildAt(at.Index(), wrapper)
			parent.RemoveChild(at)
		}
	case 5:
		at.Tag = other.Tag
	case 6:
		if len(other.Attr) > 0 {
			a := other.Attr[random.IntN(len(other.Attr))]
			at.CreateAttr(a.FullKey(), a.Value)
		}
	case 7:
		at.SetText(other.Text())
	}
}
