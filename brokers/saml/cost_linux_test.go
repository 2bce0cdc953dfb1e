package saml

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The bounds of. They are on what the judgement itself spends, the
// processor time of its thread and the bytes it allocates, and of several runs the
// cheapest counts: a busy machine then changes nothing.
const (
	mostTime  = 20 * time.Millisecond
	mostBytes = 4 << 20
	// mostBytesOfTag is for attributes, which the XML reader collects before it shows
	// their element: 50 for each byte that came.
	mostBytesOfTag = 12 << 20
	costRuns       = 5
)

// costly are the documents of and of the experiments E-26, E-26b and
// E-27, which cost other readers seconds and gigabytes. Those under 256 KiB get past
// the first look.
func costly() map[string]string {
	good := goodAnswer().post()
	inside := func(text string) string { return strings.Replace(good, "<samlp:Status>", text+"<samlp:Status>", 1) }
	nested := func(n int) string { return inside(strings.Repeat("<a>", n) + strings.Repeat("</a>", n)) }
	namespaces := func(m, d int) string {
		var b strings.Builder
		b.WriteString("<a")
		for i := range m {
			fmt.Fprintf(&b, ` xmlns:p%d="urn:u"`, i)
		}
		return b.String() + ">" + strings.Repeat("<x>", d) + strings.Repeat("</x>", d) + "</a>"
	}
	begin, end := strings.Index(good, "<saml:Assertion "), strings.Index(good, "</saml:Assertion>")+len("</saml:Assertion>")
	assertion := good[begin:end]
	return map[string]string{
		"X-110 65 levels":                       nested(65),
		"X-110 1 025 levels":                    nested(1025),
		"X-110 100 000 levels":                  nested(100_000),
		"X-110 a million levels":                nested(1_000_000),
		"X-110 levels that are never closed":    strings.Repeat("<a>", 80_000),
		"X-111 2 000 namespaces by 900 levels":  namespaces(2000, 900),
		"X-111 20 000 namespaces by 900 levels": namespaces(20_000, 900),
		"X-111 9 000 namespaces by 60 levels":   namespaces(9_000, 60),
		"X-112 a million siblings":              inside(strings.Repeat("<b/>", 1_000_000)),
		"X-112 60 000 siblings":                 inside(strings.Repeat("<b/>", 60_000)),
		"X-112 200 000 attributes":              strings.Replace(good, "<samlp:Status>", "<samlp:Status"+strings.Repeat(` b=""`, 200_000)+">", 1),
		"X-112 40 000 attributes":               strings.Replace(good, "<samlp:Status>", "<samlp:Status"+strings.Repeat(` b=""`, 40_000)+">", 1),
		"X-112 20 MB of text":                   inside(strings.Repeat("x", 20_000_000)),
		"X-112 250 000 bytes of text":           inside(strings.Repeat("x", 250_000)),
		"X-112 20 000 CDATA sections":           inside(strings.Repeat("<![CDATA[x]]>", 19_000)),
		"X-112 5 000 signed assertions":         inside(strings.Repeat(assertion, 5000)),
		"X-112 60 signed assertions":            inside(strings.Repeat(assertion, 60)),
	}
}

func TestHostileMessagesAreCheap(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for name, document := range costly() {
		message, e := []byte(document), goodExpectation()
		took, allocated := time.Hour, uint64(1<<62)
		for range costRuns {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := threadTime(t)
			_, err := ValidateResponse(message, e)
			took = min(took, threadTime(t)-began)
			runtime.ReadMemStats(&after)
			allocated = min(allocated, after.TotalAlloc-before.TotalAlloc)
			if err == nil {
				t.Fatalf("%s: accepted", name)
			}
		}
		t.Logf("%s (%d KiB): %s, %d KiB", name, len(document)>>10, took, allocated>>10)
		if took > mostTime {
			t.Errorf("%s: %s of processor time", name, took)
		}
		most := uint64(mostBytes)
		if strings.HasSuffix(name, "attributes") {
			most = mostBytesOfTag
		}
		if allocated > most {
			t.Errorf("%s: allocates %d KiB", name, allocated>>10)
		}
	}
}

// whether the key or the content fails takes the same way. The least
// processor time is compared, with a content that is dearer than the key: by the clock a
// busy machine makes either slower, however often both are tried.
func TestWrongKeyTakesTheWholeWay(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	k := keysOnce()
	d := ours(k.other)
	s := &sealed{method: cipherMethod{size: 32}, ciphertext: random(16 << 20)}
	once := func(wrapped []byte) time.Duration {
		began := threadTime(t)
		if _, ok := s.try(sealedKey{ciphertext: wrapped, digest: crypto.SHA256, mask: crypto.SHA256}, d.Keys[0]); ok {
			t.Fatal("opened")
		}
		return threadTime(t) - began
	}
	sealedRight := must(rsa.EncryptOAEP(sha256.New(), rand.Reader, k.other.key.Public().(*rsa.PublicKey), random(32), nil))
	right, wrong := time.Hour, time.Hour
	for range 24 {
		right, wrong = min(right, once(sealedRight)), min(wrong, once(random(256)))
	}
	if wrong < right*6/10 {
		t.Errorf("wrong key takes %s, right key with wrong content %s", wrong, right)
	}
}

// threadTime is the processor time of this thread so far.
func threadTime(t *testing.T) time.Duration {
	t.Helper()
	var spent unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &spent); err != nil {
		t.Fatal(err)
	}
	return time.Duration(spent.Nano())
}
