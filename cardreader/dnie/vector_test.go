package dnie

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/cwa14890"
	"github.com/eidbridge/eidbridge/cardreader/pin"
)

// The handshake vector: throw-away keys, fixed random numbers of both sides, and
// the first protected exchange after it. It was computed with OpenSC's and
// jmulticard's formulas, apart from this code.
const (
	vectorChip = "ab443a4b1a16ebed09f7692db9640f0f2df14cc149f7ea5a35f94744ca90ea0ad7f266d287b62a751b560cfe" +
		"7df278a2b885c27d6bcefbe80e2560ba1d81ad74f16519655bc36f3a180baff7241484bd136bbf5fc9355a6c" +
		"1115f61b7b8a0309ac35d34c52b7c54f8997283ba507d218d4adbcfb45f2983a18bfb024b223bd9f"
	vectorTerminal = "e64a20c39a11e40151fe4a8f1dddbfcab621cff400c65923672a1e6730ae6744ad626230a217d018857a0162" +
		"77d5a4263a23df1d856d299d4e3c36d65a608969b1e89a451964d8bd8952e8ba7591d3e850d9eae5667034e4" +
		"16a839601065148469ca6d324b24ea76522de7e3de735443068c7dbee4e2b1620dc8336352bd8953"
	vectorTerminalExponent = "82b771019662b1594e8159310372eb7ad5073c52f45da21b4663d1fe20d3de2a4d809adba0268428671b69cd" +
		"cad7a9e548fb339a3e32487cd1fbbbe4d0481bb69f70997c95e1a7c46eca88c89a0b72d4d42c5fbe6f24b78e" +
		"a4f66367c78bd41cee8ecf4a05594376ca4e070fe926243c963392faea5232b3f0f6392ce43c2201"
	vectorSerial = "06cfc2227a398a"
	vectorRandom = "1122334455667788" + // RND.IFD, PRND2, Kifd
		"909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babb" +
		"bcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9" +
		"030a11181f262d343b424950575e656c737a81888f969da4abb2b9c0c7ced5dc"
	vectorInternal = "a4abcd8956c8fcfb0d45f670453652db946b11562741222f43062dc7a5ec1b34ce30b9ba7d7761cb2a23f958" +
		"fa8ff2102fa75172524fd3eba990b31f59ff3d2172547e74bc39f975f54a620eca8b6c43a87d4219fc53c152" +
		"3c68083dd91b2a9ee8127c69bab58fac2814de5b87739d36a2479316cfb632febd91b336a81991fc"
	vectorExternal = "348240465e6261738535dde5c05235651919436c70e86546fd51fad67302fb109b1a4fa0b2f07833939f5c9b" +
		"4b473b4ba7b41d934f38695e7df3e982715cd652a5a559fc626a202f3bf4d9db9408b67e314703675bb4065f" +
		"b98b28218091d3a5ddfe130d4dfd05ffb0489df8889f64494af856c806c28406a21d8f68eb9b1497"
	vectorEncryption = "be5c15a50f52ca279bf58e414b5c578e"
	vectorMAC        = "a881f240c8f819d7307619c86a613e99"
	vectorCounter    = "ddeeff0055667788"
)

// rawKey is an RSA key as bare numbers.
type rawKey struct{ n, d *big.Int }

func number(t testing.TB, text string) *big.Int { return new(big.Int).SetBytes(unhex(t, text)) }

func component(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// verifiable issues a card-verifiable certificate with plain big numbers.
func verifiable(issuer rawKey, authority, holder string, role byte, n *big.Int) string {
	profile, oid := "04", "2B2407020101"
	if role == 0x22 {
		profile, oid = "03", "2B240304020201"
	}
	content, _ := hex.DecodeString(profile + authority + "00000000" + holder + "A00000016745" + hex.EncodeToString([]byte{role}) + oid)
	content = append(append(content, n.FillBytes(make([]byte, 128))...), 0, 1, 0, 1)
	hash := sha1.Sum(content)
	message := slices.Concat([]byte{0x6A}, content[:106], hash[:], []byte{0xBC})
	signature := new(big.Int).Exp(new(big.Int).SetBytes(message), issuer.d, issuer.n)
	inner := append([]byte{0x5F, 0x37, 0x81, 0x80}, signature.FillBytes(make([]byte, 128))...)
	inner = append(append(inner, 0x5F, 0x38, byte(len(content)-106)), content[106:]...)
	issuerReference, _ := hex.DecodeString(authority)
	inner = append(append(inner, 0x42, 8), issuerReference...)
	return hex.EncodeToString(append([]byte{0x7F, 0x21, 0x81, byte(len(inner))}, inner...))
}

// recorded is a card that follows a list of exchanges and ends with the
// connection. What it was sent beyond the list is an error.
type recorded struct {
	t         *testing.T
	atr       []byte
	exchanges []exchange
	next      int
}

type exchange struct{ command, answer string }

func (r *recorded) ATR() []byte { return r.atr }

func (r *recorded) Transmit(_ context.Context, command []byte) ([]byte, error) {
	if r.next == len(r.exchanges) {
		return nil, cardreader.ErrCardRemoved
	}
	e := r.exchanges[r.next]
	r.next++
	if got := hex.EncodeToString(command); !strings.EqualFold(got, strings.ReplaceAll(e.command, " ", "")) {
		r.t.Errorf("command %d is %s, want %s", r.next, got, e.command)
	}
	return unhex(r.t, e.answer), nil
}

// vector is the lab of the vector: roots and certificates around its keys.
type vector struct {
	driver             Driver
	intermediate, chip []byte
	authority          string
	user, pin          string
}

func newVector(t *testing.T) vector {
	t.Helper()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	root, middle, authority, user := component(t), component(t), component(t), component(t)
	certificate := func(name, issuer string, key *rsa.PublicKey, signer *rsa.PrivateKey, authority bool) []byte {
		der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(1, 0, 0),
			BasicConstraintsValid: true, IsCA: authority, SignatureAlgorithm: x509.SHA256WithRSA,
		}, &x509.Certificate{Subject: pkix.Name{CommonName: issuer}}, key, signer)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	v := vector{
		intermediate: certificate("LAB authority", "LAB root", &middle.PublicKey, root, true),
		chip:         certificate("LAB chip", "LAB authority", &rsa.PublicKey{N: number(t, vectorChip), E: 65537}, middle, false),
		authority:    verifiable(rawKey{root.N, root.D}, "6573524C41420001", "6573534C41420002", 0x22, authority.N),
		pin:          verifiable(rawKey{authority.N, authority.D}, "6573534C41420002", "0102030405060708", 0x08, number(t, vectorTerminal)),
		user:         verifiable(rawKey{authority.N, authority.D}, "6573534C41420002", "D002E00000000002", 0x02, user.N),
	}
	type object map[string]any
	file, err := json.Marshal(object{"source": "made for this test", "keySets": []object{{
		"generation": 2, "root": object{"modulus": hex.EncodeToString(root.N.Bytes())}, "authority": object{"certificate": v.authority},
		"pin":  object{"certificate": v.pin, "modulus": vectorTerminal, "privateExponent": vectorTerminalExponent},
		"user": object{"certificate": v.user, "modulus": hex.EncodeToString(user.N.Bytes()), "privateExponent": hex.EncodeToString(user.D.Bytes())},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	sets, err := cwa14890.ParseKeySets(file)
	if err != nil {
		t.Fatal(err)
	}
	v.driver = Driver{
		Roots: []*rsa.PublicKey{&root.PublicKey}, KeySets: sets, Now: func() time.Time { return now },
		Rand: bytes.NewReader(unhex(t, vectorRandom)),
	}
	return v
}

const selectMF = "00A404000B4D61737465722E46696C65"

// control is the answer to a SELECT of a file.
func control(id string, size int) string {
	return "6F0C850A01" + id + hex.EncodeToString([]byte{byte(size >> 8), byte(size)}) + "00FFFFFFFF" + "9000"
}

// file are the exchanges of selecting and reading a file of the MF. T=1, so that
// answers come at once.
func file(id string, content []byte) []exchange {
	list := []exchange{{"00A4000002" + id + "00", control(id, len(content))}}
	for at := 0; at < len(content); at += 0xDE {
		part := content[at:min(at+0xDE, len(content))]
		list = append(list, exchange{"00B0" + hex.EncodeToString([]byte{byte(at >> 8), byte(at), byte(len(part))}), hex.EncodeToString(part) + "9000"})
	}
	return list
}

// opening is everything up to the PIN channel.
func (v vector) opening() []exchange {
	list := []exchange{{selectMF + "00", "9000"}, {"90B8000007", vectorSerial + "9000"}}
	list = append(list, file("6020", v.intermediate)...)
	list = append(list, file("601F", v.chip)...)
	list = append(list, file("0006", []byte("BMP200002"))...)
	return append(list,
		exchange{"002281B6 04 8302020F", "9000"},
		exchange{"002A00AE D2" + v.authority, "9000"},
		exchange{"002281B6 0A 8308 6573534C41420002", "9000"},
		exchange{"002A00AE D1" + v.pin, "9000"},
		exchange{"0022C1A4 12 830C 000000000102030405060708 8402021F", "9000"},
		exchange{"00880000 10 1122334455667788 0102030405060708", vectorInternal + "9000"},
		exchange{"0084000008", "99aabbccddeeff00" + "9000"},
		exchange{"00820000 80" + vectorExternal, "9000"},
	)
}

func open(t *testing.T, v vector, exchanges []exchange) (*recorded, cardreader.Card) {
	t.Helper()
	card := &recorded{t: t, atr: unhex(t, "3B7F960000006A444E4965200101550421039000"), exchanges: exchanges}
	opened, err := v.driver.Open(t.Context(), card)
	if err != nil {
		t.Fatal(err)
	}
	return card, opened
}

func secretOf(t *testing.T, text string) *pin.PIN {
	t.Helper()
	p, err := pin.New([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Wipe)
	return p
}
