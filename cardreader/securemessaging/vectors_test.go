package securemessaging

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

// The plain commands of the exchange vectors.
const (
	plainSelect    = "00A404000B4D61737465722E46696C65"
	plainVerify    = "002000000843525950544F4B49" // "CRYPTOKI", not a PIN of anyone
	plainRead      = "00B00000DE"
	plainTries     = "0020000000"
	plainChallenge = "0084000008"
	plainMSE       = "002241B60484020101"
	plainPSO       = "002A9E9A333031300D0609608648016503040201050004207692C3AD3540BB803C020B3AEE66CD8887123234EA0C6E7143C0ADD73FF431ED"
)

// Keys of the vectors published with jmulticard's TestApduEncrypter.
const (
	vectorEnc = "598f26e36e11a8ec14b81e19bda223ca"
	vectorMAC = "5de2939a1ea03a930b88206d8f73e8a7"
)

type vector struct {
	name    string
	counter string // of the message itself
	plain   string
	secured string
}

func commandVectors(macLength int) []vector {
	if macLength == 4 {
		return []vector{
			{"select Master.File", "d31ac8ec7ba0fe75", plainSelect, "0CA40400198711013E9AC315A8E855DD3722F291078AC2BD8E04B6F56963"},
			{"verify", "d31ac8ec7ba0fe6f", plainVerify, "0C20000019871101CE1AB937C332F3FAEE43336D4311EF338E046908DF4E"},
			{"read binary", "d31ac8ec7ba0fe77", plainRead, "0CB00000099701DE8E040102F317"},
			{"tries left", "d31ac8ec7ba0fe79", plainTries, "0C200000099701008E046E1DA682"},
			{"get challenge", "d31ac8ec7ba0fe7b", plainChallenge, "0C840000099701088E0457BAE1E2"},
			{"set security environment", "d31ac8ec7ba0fe7d", plainMSE, "0C2241B611870901FAF40C655215987F8E0433203FD5"},
			{"compute signature", "d31ac8ec7ba0fe7f", plainPSO, "0C2A9E9A41873901DBB92E4CD46B89867694D17C758569EE20155D74765B10AF7AF501B211154BF5FF0865194E9C913A15675DACF6EC60AAE0CA74D4A851C09F8E04255D5164"},
		}
	}
	return []vector{
		{"select Master.File", "d31ac8ec7ba0fe75", plainSelect, "0CA404001D8711013E9AC315A8E855DD3722F291078AC2BD8E08B6F56963CA2B8632"},
		{"verify", "d31ac8ec7ba0fe6f", plainVerify, "0C2000001D871101CE1AB937C332F3FAEE43336D4311EF338E086908DF4E6EB3CEAE"},
		{"read binary", "d31ac8ec7ba0fe77", plainRead, "0CB000000D9701DE8E080102F3179E45CE4F"},
		{"tries left", "d31ac8ec7ba0fe79", plainTries, "0C2000000D9701008E086E1DA682971F9C11"},
		{"get challenge", "d31ac8ec7ba0fe7b", plainChallenge, "0C8400000D9701088E0857BAE1E2A86295C2"},
		{"set security environment", "d31ac8ec7ba0fe7d", plainMSE, "0C2241B615870901FAF40C655215987F8E0833203FD5C1429F63"},
		{"compute signature", "d31ac8ec7ba0fe7f", plainPSO, "0C2A9E9A45873901DBB92E4CD46B89867694D17C758569EE20155D74765B10AF7AF501B211154BF5FF0865194E9C913A15675DACF6EC60AAE0CA74D4A851C09F8E08255D5164C91C06C3"},
	}
}

func answerVectors(macLength int) []vector {
	if macLength == 4 {
		return []vector{
			{"data and 9000", "d31ac8ec7ba0fe78", "424D50313030303031" + "9000", "871101C2FD9B81B8E845BEA59DC53D7137CACA990290008E04EF5C3D29"},
			{"63C3", "d31ac8ec7ba0fe7a", "63C3", "990263C38E04F925DEF8"},
			{"9000", "d31ac8ec7ba0fe7e", "9000", "990290008E049D8A45E1"},
		}
	}
	return []vector{
		{"data and 9000", "d31ac8ec7ba0fe78", "424D50313030303031" + "9000", "871101C2FD9B81B8E845BEA59DC53D7137CACA990290008E08EF5C3D29B67A418A"},
		{"63C3", "d31ac8ec7ba0fe7a", "63C3", "990263C38E08F925DEF848ACF418"},
		{"9000", "d31ac8ec7ba0fe7e", "9000", "990290008E089D8A45E18F3C62D9"},
	}
}

// vectorSession is a session whose next message has the given counter.
func vectorSession(t testing.TB, counter string, macLength int) *Session {
	t.Helper()
	before := unhex(t, counter)
	before[len(before)-1]-- // no vector ends in 00
	s, err := NewDES(unhex(t, vectorEnc), unhex(t, vectorMAC), before, macLength)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDESSessionProtectsCommandsAsPublished(t *testing.T) {
	for _, macLength := range []int{4, 8} {
		for _, v := range commandVectors(macLength) {
			got, err := vectorSession(t, v.counter, macLength).Wrap(unhex(t, v.plain))
			if err != nil {
				t.Fatalf("%s, MAC of %d: %v", v.name, macLength, err)
			}
			if want := unhex(t, v.secured); !bytes.Equal(got, want) {
				t.Errorf("%s, MAC of %d:\n got %X\nwant %X", v.name, macLength, got, want)
			}
		}
	}
}

func TestDESSessionOpensAnswersAsPublished(t *testing.T) {
	for _, macLength := range []int{4, 8} {
		for _, v := range answerVectors(macLength) {
			got, err := vectorSession(t, v.counter, macLength).Unwrap(unhex(t, v.secured+"9000"))
			if err != nil {
				t.Fatalf("%s, MAC of %d: %v", v.name, macLength, err)
			}
			if want := unhex(t, v.plain); !bytes.Equal(got, want) {
				t.Errorf("%s, MAC of %d: got %X, want %X", v.name, macLength, got, want)
			}
		}
	}
}

// The first exchange after the handshake with throw-away keys: command and
// answer share one session, so the counter runs through both.
func TestDESSessionCountsThroughCommandAndAnswer(t *testing.T) {
	s, err := NewDES(unhex(t, "be5c15a50f52ca279bf58e414b5c578e"), unhex(t, "a881f240c8f819d7307619c86a613e99"),
		unhex(t, "ddeeff0055667788"), 8)
	if err != nil {
		t.Fatal(err)
	}
	command, err := s.Wrap(unhex(t, plainVerify))
	if err != nil {
		t.Fatal(err)
	}
	if want := unhex(t, "0C2000001D87110182FCBD886675C9C9578E012E3696372E8E0802B2A1514E137BA8"); !bytes.Equal(command, want) {
		t.Errorf("command:\n got %X\nwant %X", command, want)
	}
	answer, err := s.Unwrap(unhex(t, "990290008E08952594D63A99D2199000"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(answer, []byte{0x90, 0x00}) {
		t.Errorf("answer: got %X, want 9000", answer)
	}
}

func TestAESSessionProtectsCommandsAsComputed(t *testing.T) {
	s, err := NewAES(unhex(t, "F5F0E35C0D7161EE6724EE513A0D9A7F"), unhex(t, "FE251C7858B356B24514B3BD5F4297D1"))
	if err != nil {
		t.Fatal(err)
	}
	// One after another without answers: counters 1, 2, 3.
	for _, v := range []vector{
		{"select by name", "", plainSelect, "0CA404001D8711011D75C8363A14ACA516C1DE24B08357668E0847E2D5CE090F139600"},
		{"select by identifier", "", "00A40000026004", "0CA400001D871101988D9E3825027896EE6005E7ECFF0A958E0869B5BC103E57A88E00"},
		{"read binary", "", plainRead, "0CB000000D9701DE8E0858354F6E445CFBD300"},
	} {
		got, err := s.Wrap(unhex(t, v.plain))
		if err != nil {
			t.Fatalf("%s: %v", v.name, err)
		}
		if want := unhex(t, v.secured); !bytes.Equal(got, want) {
			t.Errorf("%s:\n got %X\nwant %X", v.name, got, want)
		}
	}
}

// RFC 4493 section 4 and NIST SP 800-38B appendix D.
func TestCMACMatchesThePublishedExamples(t *testing.T) {
	const (
		key128  = "2b7e151628aed2a6abf7158809cf4f3c"
		key192  = "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b"
		key256  = "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4"
		message = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51" +
			"30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
	)
	for _, v := range []struct {
		key    string
		length int
		want   string
	}{
		{key128, 0, "bb1d6929e95937287fa37d129b756746"},
		{key128, 16, "070a16b46b4d4144f79bdd9dd04a287c"},
		{key128, 40, "dfa66747de9ae63030ca32611497c827"},
		{key128, 64, "51f0bebf7e3b9d92fc49741779363cfe"},
		{key192, 0, "d17ddf46adaacde531cac483de7a9367"},
		{key192, 64, "a1d5df0eed790f794d77589659f39a11"},
		{key256, 0, "028962f61b7bf89efc6b551f4667d983"},
		{key256, 64, "e1992190549f6ed5696a2c056c315410"},
	} {
		got, err := CMAC(unhex(t, v.key), unhex(t, message)[:v.length])
		if err != nil {
			t.Fatal(err)
		}
		if want := unhex(t, v.want); !bytes.Equal(got, want) {
			t.Errorf("%d byte key, %d byte message: got %x, want %x", len(v.key)/2, v.length, got, want)
		}
	}
}
