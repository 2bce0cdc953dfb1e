package cwa14890

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
	"time"
)

// The throw-away keys of the handshake vector. They protect nothing.
const (
	vectorChipModulus = "ab443a4b1a16ebed09f7692db9640f0f2df14cc149f7ea5a35f94744ca90ea0ad7f266d287b62a751b560cfe" +
		"7df278a2b885c27d6bcefbe80e2560ba1d81ad74f16519655bc36f3a180baff7241484bd136bbf5fc9355a6c" +
		"1115f61b7b8a0309ac35d34c52b7c54f8997283ba507d218d4adbcfb45f2983a18bfb024b223bd9f"
	vectorChipExponent = "70ae9827f787633c771538376445a7fed5bc7042b0171432bc564184ca3e242e743c41587cffe6d95bddf6f8" +
		"ae070d460a5fbf41e3dfb02fd2b6d6f83d17a7f638347db059fe3f769397bbba89936916db33a4a456e2f17e" +
		"f772068eb71352082819e19ef7d99bc4a11c42d56012b14ee987c7a0ef9e600b95d37e4b1c64b6a9"
	vectorTerminalModulus = "e64a20c39a11e40151fe4a8f1dddbfcab621cff400c65923672a1e6730ae6744ad626230a217d018857a0162" +
		"77d5a4263a23df1d856d299d4e3c36d65a608969b1e89a451964d8bd8952e8ba7591d3e850d9eae5667034e4" +
		"16a839601065148469ca6d324b24ea76522de7e3de735443068c7dbee4e2b1620dc8336352bd8953"
	vectorTerminalExponent = "82b771019662b1594e8159310372eb7ad5073c52f45da21b4663d1fe20d3de2a4d809adba0268428671b69cd" +
		"cad7a9e548fb339a3e32487cd1fbbbe4d0481bb69f70997c95e1a7c46eca88c89a0b72d4d42c5fbe6f24b78e" +
		"a4f66367c78bd41cee8ecf4a05594376ca4e070fe926243c963392faea5232b3f0f6392ce43c2201"
	vectorTerminalSerial = "0102030405060708"
	vectorChipSerial     = "0006cfc2227a398a"
)

// rawKey is an RSA key as bare numbers.
type rawKey struct{ n, d *big.Int }

func rawKeyOf(t testing.TB, n, d string) rawKey {
	return rawKey{new(big.Int).SetBytes(unhex(t, n)), new(big.Int).SetBytes(unhex(t, d))}
}

func (k rawKey) public() *rsa.PublicKey { return &rsa.PublicKey{N: k.n, E: 65537} }

func generate() rawKey {
	key := must(rsa.GenerateKey(rand.Reader, 1024))
	return rawKey{key.N, key.D}
}

// lab is a component authority of its own: root, authority, two terminals, and
// the chain of one chip.
type lab struct {
	root, authority, chip  rawKey
	user, pin              rawKey
	file                   []byte // key sets as JSON
	set                    *KeySet
	intermediateDER, chipX []byte
	now                    time.Time
	rootKey                *rsa.PrivateKey
}

// Fictitious references in the manner of the DNIe's.
const (
	labRootReference      = "6573534C41420001"
	labAuthorityReference = "6573534C41420002"
	labUserSerial         = "D002E00000000002"
)

func newLab(t testing.TB) *lab {
	t.Helper()
	l := &lab{
		authority: generate(), user: generate(), rootKey: must(rsa.GenerateKey(rand.Reader, 1024)),
		chip: rawKeyOf(t, vectorChipModulus, vectorChipExponent),
		pin:  rawKeyOf(t, vectorTerminalModulus, vectorTerminalExponent),
		now:  time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
	}
	l.root = rawKey{l.rootKey.N, l.rootKey.D}
	l.file = l.keySets(t, nil)
	sets, err := ParseKeySets(l.file)
	if err != nil {
		t.Fatal(err)
	}
	l.set = sets[0]
	l.intermediateDER, l.chipX = l.chain(t, chainOptions{})
	return l
}

// keySets is the file of the lab, after a change.
func (l *lab) keySets(t testing.TB, change func(*keySetFile)) []byte {
	t.Helper()
	var data keySetData
	data.Generation = 1
	data.Root.Modulus = hex.EncodeToString(l.root.n.Bytes())
	data.Authority.Certificate = hex.EncodeToString(issue(l.root, labRootReference, labAuthorityReference, 0x22, l.authority.n))
	terminal := func(serial string, role byte, key rawKey) *terminalData {
		return &terminalData{
			Certificate:     hex.EncodeToString(issue(l.authority, labAuthorityReference, serial, role, key.n)),
			Modulus:         hex.EncodeToString(key.n.Bytes()),
			PrivateExponent: hex.EncodeToString(key.d.Bytes()),
		}
	}
	data.User = terminal(labUserSerial, 0x02, l.user)
	data.PIN = terminal(vectorTerminalSerial, 0x08, l.pin)
	file := keySetFile{Source: "made for this test", KeySets: []keySetData{data}}
	if change != nil {
		change(&file)
	}
	raw, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// body is the content of a certificate before it is cut in two.
func body(authority, holder string, role byte, n *big.Int) []byte {
	profile, oid := "04", "2B2407020101"
	if role == 0x22 {
		profile, oid = "03", "2B240304020201"
	}
	text := profile + authority + "00000000" + holder + "A00000016745" + hex.EncodeToString([]byte{role}) + oid
	raw, _ := hex.DecodeString(text)
	raw = append(raw, n.FillBytes(make([]byte, 128))...)
	return append(raw, 0, 1, 0, 1)
}

// issue makes a card-verifiable certificate with plain big numbers.
func issue(issuer rawKey, authority, holder string, role byte, n *big.Int) []byte {
	return seal(issuer, authority, body(authority, holder, role, n))
}

func seal(issuer rawKey, authority string, content []byte) []byte {
	hash := sha1.Sum(content)
	message := append([]byte{0x6A}, content[:106]...)
	message = append(append(message, hash[:]...), 0xBC)
	s := new(big.Int).Exp(new(big.Int).SetBytes(message), issuer.d, issuer.n)
	rest := content[106:]
	inner := append([]byte{0x5F, 0x37, 0x81, 0x80}, s.FillBytes(make([]byte, 128))...)
	inner = append(append(inner, 0x5F, 0x38, byte(len(rest))), rest...)
	reference, _ := hex.DecodeString(authority)
	inner = append(append(inner, 0x42, 8), reference...)
	return append([]byte{0x7F, 0x21, 0x81, byte(len(inner))}, inner...)
}

// chainOptions are faults of a chip's X.509 chain; the zero value has none.
type chainOptions struct {
	notAuthority, expired, otherIssuerName, foreignRoot, foreignIssuer bool
	wideKey, ecAuthority, sha512, critical                             bool
	chip                                                               *big.Int
}

func (l *lab) chain(t testing.TB, o chainOptions) (intermediate, chip []byte) {
	t.Helper()
	componentKey := must(rsa.GenerateKey(rand.Reader, 1024))
	rootKey := l.rootKey
	if o.foreignRoot {
		rootKey = must(rsa.GenerateKey(rand.Reader, 1024))
	}
	algorithm := x509.SHA1WithRSA
	if o.sha512 {
		algorithm = x509.SHA512WithRSA
	}
	root := &x509.Certificate{Subject: pkix.Name{CommonName: "Lab component root"}}
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "Lab component authority"},
		NotBefore: l.now.AddDate(-1, 0, 0), NotAfter: l.now.AddDate(1, 0, 0),
		BasicConstraintsValid: true, IsCA: !o.notAuthority, SignatureAlgorithm: algorithm,
	}
	if o.critical {
		authority.ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
	}
	var public any = &componentKey.PublicKey
	var ec *ecdsa.PrivateKey
	if o.ecAuthority {
		ec = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
		public = &ec.PublicKey
	}
	intermediate, err := x509.CreateCertificate(rand.Reader, authority, root, public, rootKey)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "Lab chip"},
		NotBefore: l.now.AddDate(-1, 0, 0), NotAfter: l.now.AddDate(1, 0, 0), SignatureAlgorithm: x509.SHA256WithRSA,
	}
	if o.expired {
		leaf.NotAfter = l.now.Add(-time.Second)
	}
	key := *l.chip.public()
	if o.chip != nil {
		key.N = o.chip
	}
	if o.wideKey {
		key = must(rsa.GenerateKey(rand.Reader, 2048)).PublicKey
	}
	parent := &x509.Certificate{Subject: authority.Subject}
	if o.otherIssuerName {
		parent.Subject.CommonName = "Other authority"
	}
	var signer any = componentKey
	if o.foreignIssuer {
		signer = must(rsa.GenerateKey(rand.Reader, 1024))
	}
	if ec != nil {
		signer, leaf.SignatureAlgorithm = ec, x509.ECDSAWithSHA256
	}
	chip, err = x509.CreateCertificate(rand.Reader, leaf, parent, &key, signer)
	if err != nil {
		t.Fatal(err)
	}
	return intermediate, chip
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
