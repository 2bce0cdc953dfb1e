package esteid_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
	"github.com/eidbridge/eidbridge/cardreader/pin"
)

var atr2018 = unhex("3BDB960080B1FE451F830012233F536549440F9000F1")

func unhex(s string) []byte {
	raw, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return raw
}

// fakeCard answers as the card does, as far as the driver goes, and can be told
// to misbehave. It knows nothing of the driver.
type fakeCard struct {
	mu       sync.Mutex
	number   string
	keys     map[byte]*ecdsa.PrivateKey // by key reference
	files    map[string][]byte          // by path below the main application
	pins     map[byte]string            // by VERIFY's P2
	tries    map[byte]int
	selected []byte
	df       string
	key      byte
	verified byte
	sent     [][]byte
	resets   int
	// interfere may answer the n-th command (from 1) instead of the card.
	records   map[string][]byte // of the personal data
	pukOK     bool
	interfere func(n int, command []byte) (answer []byte, handled bool, err error)
}

type certificateOption func(*x509.Certificate)

func newCard(t testing.TB, options ...certificateOption) *fakeCard {
	t.Helper()
	c := &fakeCard{
		number: "NS0010001",
		keys:   make(map[byte]*ecdsa.PrivateKey),
		files:  make(map[string][]byte),
		pins:   map[byte]string{0x01: "1234", 0x85: "12345", 0x02: "12345678"},
		tries:  map[byte]int{0x01: 3, 0x85: 3, 0x02: 3},
		records: map[string][]byte{
			"5001": []byte("LAB"), "5002": []byte("PERSON \u00d5UNA"), "5003": []byte("M"), "5004": []byte("EST"),
			"5005": []byte("08 01 1980 EST"), "5006": []byte("38001085718"), "5007": []byte("NS0010001"), "5008": []byte("13 08 2030"),
		},
	}
	for path, reference := range map[string]byte{"ADF13401": 0x81, "ADF2341F": 0x9F} {
		key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c.keys[reference] = key
		c.files[path] = certificateFor(t, &key.PublicKey, key, options...)
	}
	return c
}

func certificateFor(t testing.TB, public, signer any, options ...certificateOption) []byte {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "LAB,PERSON,38001085718", SerialNumber: "PNOEE-38001085718"},
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtraExtensions: []pkix.Extension{{Id: []int{1, 2, 3}, Value: bytes.Repeat([]byte{5, 0}, 250)}}, // several blocks
	}
	for _, option := range options {
		option(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, signer)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// instruction counts commands by INS, and by what VERIFY's data field is.
func (c *fakeCard) instruction(ins byte) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, command := range c.sent {
		if command[1] == ins {
			n++
		}
	}
	return n
}

func (c *fakeCard) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resets++
	c.clear()
}

func (c *fakeCard) clear() {
	c.selected, c.df, c.key, c.verified, c.pukOK = nil, "", 0, 0, false
}

func (c *fakeCard) Transmit(ctx context.Context, raw []byte) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.sent = append(c.sent, bytes.Clone(raw))
	if c.interfere != nil {
		if answer, handled, err := c.interfere(len(c.sent), raw); handled || err != nil {
			return answer, err
		}
	}
	return c.answer(raw), nil
}

func (c *fakeCard) answer(raw []byte) []byte {
	command, err := apdu.ParseCommand(raw)
	if err != nil {
		return unhex("6700")
	}
	switch command.INS {
	case 0xA4:
		return c.selectFile(command)
	case 0xB0:
		offset := int(command.P1)<<8 | int(command.P2)
		if offset >= len(c.selected) {
			return unhex("6B00")
		}
		part := c.selected[offset:]
		return append(bytes.Clone(part[:min(len(part), command.Ne)]), 0x90, 0)
	case 0xCB:
		reference := map[byte]byte{1: 0x01, 2: 0x02, 5: 0x85}[command.Data[6]]
		answer := unhex("701EBF81011AA0189A01039B0103A1108C06F300007343009C06F300007343009000")
		answer[4], answer[13] = command.Data[6], byte(c.tries[reference])
		return answer
	case 0x22:
		c.key = command.Data[len(command.Data)-1]
		return unhex("9000")
	case 0x20:
		return c.verify(command)
	case 0x24:
		return c.change(command)
	case 0x2C:
		return c.unblock(command)
	case 0x2A, 0x88:
		if command.P1 == 0x80 {
			return c.agree(command)
		}
		return c.sign(command)
	default:
		return unhex("6D00")
	}
}

func (c *fakeCard) selectFile(command apdu.Command) []byte {
	name := strings.ToUpper(hex.EncodeToString(command.Data))
	switch name {
	case "A000000077010800070000FE00000100":
		c.df = "MF"
	case "E828BD080FF2504F5420415750":
		c.df = "ADF1"
	case "51534344204170706C69636174696F6E":
		c.df = "ADF2"
	case "D003":
		c.selected = append([]byte{4, byte(len(c.number))}, c.number...)
	case "5001", "5002", "5003", "5004", "5005", "5006", "5007", "5008":
		if c.df != "5000" || c.records[name] == nil {
			return unhex("6A82")
		}
		c.selected = c.records[name]
	case "3F005000":
		c.df = "5000"
	case "ADF13401", "ADF2341F", "3F00ADF13401", "3F00ADF2341F":
		path := strings.TrimPrefix(name, "3F00")
		if path == name && c.df != "MF" {
			return unhex("6A82")
		}
		c.df, c.selected = path[:4], c.files[path]
		return []byte{0x62, 4, 0x80, 2, byte(len(c.selected) >> 8), byte(len(c.selected)), 0x90, 0}
	default:
		return unhex("6A82")
	}
	return unhex("9000")
}

// local: PIN2 exists in its own application alone.
func (c *fakeCard) local(reference byte) bool { return reference&0x80 == 0 || c.df == "ADF2" }

func (c *fakeCard) change(command apdu.Command) []byte {
	reference := command.P2
	if len(command.Data) != 24 || !c.local(reference) {
		return unhex("6A88")
	}
	if sw := c.verify(apdu.Command{P2: reference, Data: command.Data[:12]}); sw[0] != 0x90 {
		return sw
	}
	replacement := string(bytes.TrimRight(command.Data[12:], "\xFF"))
	if replacement == c.pins[reference] {
		return unhex("6985")
	}
	c.pins[reference] = replacement
	return unhex("9000")
}

func (c *fakeCard) unblock(command apdu.Command) []byte {
	if !c.pukOK || command.P1 != 2 || len(command.Data) != 12 || !c.local(command.P2) {
		return unhex("6982")
	}
	c.pins[command.P2], c.tries[command.P2] = string(bytes.TrimRight(command.Data, "\xFF")), 3
	return unhex("9000")
}

func (c *fakeCard) agree(command apdu.Command) []byte {
	if c.key != 0x81 || c.verified != 0x01 || len(command.Data) != 98 || command.Data[0] != 0 {
		return unhex("6982")
	}
	key, err := c.keys[0x81].ECDH()
	if err != nil {
		return unhex("6F00")
	}
	peer, err := ecdh.P384().NewPublicKey(command.Data[1:])
	if err != nil {
		return unhex("6A80")
	}
	shared, err := key.ECDH(peer)
	if err != nil {
		return unhex("6A80")
	}
	return append(shared, 0x90, 0)
}

func (c *fakeCard) verify(command apdu.Command) []byte {
	reference := command.P2
	if !c.local(reference) {
		return unhex("6A88")
	}
	if c.tries[reference] == 0 {
		return unhex("6983")
	}
	if string(bytes.TrimRight(command.Data, "\xFF")) != c.pins[reference] || len(command.Data) != 12 {
		c.tries[reference]--
		return []byte{0x63, 0xC0 | byte(c.tries[reference])}
	}
	c.tries[reference], c.verified = 3, reference
	c.pukOK = c.pukOK || reference == 0x02
	return unhex("9000")
}

func (c *fakeCard) sign(command apdu.Command) []byte {
	want := map[byte]byte{0x81: 0x01, 0x9F: 0x85}[c.key]
	if want == 0 || c.verified != want || len(command.Data) != 48 {
		return unhex("6982")
	}
	c.verified = 0
	r, s, err := ecdsa.Sign(rand.Reader, c.keys[c.key], command.Data)
	if err != nil {
		return unhex("6F00")
	}
	return append(append(r.FillBytes(make([]byte, 48)), s.FillBytes(make([]byte, 48))...), 0x90, 0)
}

// service is a reader with one slot for a fakeCard.
type service struct {
	name string
	mu   sync.Mutex
	card *fakeCard // nil: empty
	open int
	// connects counts connections; before runs ahead of the n-th.
	connects int
	before   func(n int)
}

func (s *service) Readers(context.Context) ([]cardreader.Reader, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.card == nil {
		return []cardreader.Reader{{Name: s.name, State: cardreader.ReaderEmpty}}, nil
	}
	return []cardreader.Reader{{Name: s.name, State: cardreader.ReaderPresent, ATR: atr2018}}, nil
}

func (s *service) Connect(_ context.Context, reader string) (cardreader.Connection, error) {
	s.mu.Lock()
	s.connects++
	n := s.connects
	s.mu.Unlock()
	if s.before != nil {
		s.before(n)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if reader != s.name {
		return nil, cardreader.ErrReaderGone
	}
	if s.card == nil {
		return nil, cardreader.ErrNoCard
	}
	s.open++
	return &connection{fakeCard: s.card, service: s}, nil
}

func (s *service) insert(c *fakeCard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.card = c
}

func (s *service) opened() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

type connection struct {
	*fakeCard
	service *service
}

func (c *connection) ATR() []byte { return atr2018 }

func (c *connection) Close(reset bool) error {
	if reset {
		c.reset()
	}
	c.service.mu.Lock()
	defer c.service.mu.Unlock()
	c.service.open--
	return nil
}

// entry is a PINSource that types one PIN and checks the rules of asking.
type entry struct {
	t       testing.TB
	service *service
	secret  string
	err     error
	asked   int
	last    cardreader.PINRequest
	given   *pin.PIN
	during  func()
}

func (e *entry) PIN(_ context.Context, r cardreader.PINRequest) (*pin.PIN, error) {
	e.asked++
	e.last = r
	if n := e.service.opened(); n != 0 {
		e.t.Errorf("%d connections held while a person types", n)
	}
	if e.during != nil {
		e.during()
	}
	if e.err != nil {
		return nil, e.err
	}
	p, err := pin.New([]byte(e.secret))
	e.given = p
	return p, err
}
