package validation_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/digitorus/timestamp"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/fetch"
	"github.com/eidbridge/eidbridge/signing/tsp"
)

// Times before now, for situations.
const (
	day  = 24 * time.Hour
	week = 7 * day
	year = 365 * day
)

// change alters the template of a certificate; now is the real time.
type change func(c *x509.Certificate, now time.Time)

// revoked says since when a certificate is revoked, before now, and why.
type revoked struct {
	ago    time.Duration
	reason int
}

// situation is one state of the authorities around a signature: everything as it
// should be, but for what is named.
type situation struct {
	name string
	// root, issuer, signer, responder and unit (the time-stamping unit) are the
	// certificates.
	root, issuer, signer, responder, unit change
	// second puts one more authority between issuer and signer.
	second change
	// rsa is the size of the signer's RSA key, 0 for P-256.
	rsa int
	// issuerHash is the digest under the signer's certificate, 0 for SHA-256.
	issuerHash x509.SignatureAlgorithm
	// signedAgo is when the document was signed and stamped, before now.
	signedAgo time.Duration
	// signerRevoked and issuerRevoked are revocations.
	signerRevoked, issuerRevoked, unitRevoked *revoked
	// lists makes the certificates name CRLs and no responder.
	lists bool
	// answer spoils the answers about the signer.
	answer answer
	// answered is when answers about the signer date from, before now; 0 is the
	// moment they are asked for. inForce is how long they last (default: a day).
	answered, inForce time.Duration
	// silent: nobody answers. mute: nobody answers about the signer.
	silent, mute bool
	// kept: expired certificates are kept in lists and answered about.
	kept bool
	// stranger puts the time-stamping unit below a root that nobody trusts.
	stranger bool
	// untrusted leaves the root out of the anchors, trustIssuer and trustSigner put
	// others in its place.
	untrusted, trustIssuer, trustSigner bool
	// level is what is made; B-B if empty.
	level signing.Baseline
	// hash is that of the signature, 0 for SHA-256.
	hash crypto.Hash
	pss  bool
}

// answer is how an OCSP answer is spoilt.
type answer string

const (
	answerRight     answer = ""
	answerUnknown   answer = "status unknown"
	answerStranger  answer = "signed by a stranger"
	answerDamaged   answer = "signature damaged"
	answerOther     answer = "about another certificate"
	answerByIssuer  answer = "signed by the issuer itself"
	answerWithoutCR answer = "without the responder's certificate"
)

// party is a certificate with its key.
type party struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// realm is a PKI in one situation, with the services that it needs.
type realm struct {
	situation
	now                                            time.Time
	root, issuer, between, signer, responder, unit party
	strangers                                      party // root of the stranger's unit, or the root
	address                                        string

	mu    sync.Mutex
	clock time.Time
}

// lab serves all realms of a test.
type lab struct {
	address string
	client  *fetch.Client
	mu      sync.Mutex
	realms  map[string]*realm
	rsa     map[int]*rsa.PrivateKey
	serial  int64
}

func newLab(t testing.TB) *lab {
	t.Helper()
	l := &lab{realms: make(map[string]*realm), rsa: make(map[int]*rsa.PrivateKey)}
	server := httptest.NewServer(http.HandlerFunc(l.serve))
	t.Cleanup(server.Close)
	l.address = strings.TrimPrefix(server.URL, "http://")
	l.client = fetch.New(fetch.Options{Allow: []string{l.address}, Timeout: time.Minute}) // of a loaded machine
	return l
}

func (l *lab) serve(w http.ResponseWriter, r *http.Request) {
	parts := strings.SplitN(strings.TrimPrefix(r.URL.Path, "/"), "/", 2)
	l.mu.Lock()
	found := l.realms[parts[0]]
	l.mu.Unlock()
	if found == nil || len(parts) != 2 {
		http.NotFound(w, r)
		return
	}
	found.serve(w, r, parts[1])
}

func (l *lab) newKey(t testing.TB, bits int) crypto.Signer {
	t.Helper()
	if bits > 0 {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.rsa[bits] == nil {
			key, err := rsa.GenerateKey(rand.Reader, bits)
			if err != nil {
				t.Fatal(err)
			}
			l.rsa[bits] = key
		}
		return l.rsa[bits]
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue makes a certificate.
func (l *lab) issue(t testing.TB, name string, by *party, bits int, template x509.Certificate, changes ...change) party {
	t.Helper()
	l.mu.Lock()
	l.serial++
	template.SerialNumber = big.NewInt(1000 + l.serial)
	l.mu.Unlock()
	now := time.Now()
	template.Subject = pkix.Name{CommonName: name, Organization: []string{"Lab of verdicts"}, Country: []string{"EE"}}
	template.NotBefore, template.NotAfter = now.Add(-5*year), now.Add(5*year)
	for _, c := range changes {
		if c != nil {
			c(&template, now)
		}
	}
	made := party{key: l.newKey(t, bits)}
	if by == nil {
		by = &party{certificate: &template, key: made.key}
	}
	raw, err := x509.CreateCertificate(rand.Reader, &template, by.certificate, made.key.Public(), by.key)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if made.certificate, err = x509.ParseCertificate(raw); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return made
}

func authority() x509.Certificate {
	return x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
}

// newRealm makes the PKI of a situation.
func (l *lab) newRealm(t testing.TB, s situation) *realm {
	t.Helper()
	r := &realm{situation: s, now: time.Now()}
	l.mu.Lock()
	id := fmt.Sprintf("r%d", len(l.realms))
	l.realms[id] = r
	l.mu.Unlock()
	r.address = "http://" + l.address + "/" + id
	where := func(authority string) change {
		return func(c *x509.Certificate, _ time.Time) {
			c.IssuingCertificateURL = []string{r.address + "/" + authority + ".cer"}
			if s.lists {
				c.CRLDistributionPoints = []string{r.address + "/" + authority + ".crl"}
			} else {
				c.OCSPServer = []string{r.address + "/ocsp"}
			}
		}
	}
	algorithm := func(c *x509.Certificate, _ time.Time) { c.SignatureAlgorithm = s.issuerHash }
	bits := 0
	if s.issuerHash == x509.SHA1WithRSA {
		bits = 2048
	}
	r.root = l.issue(t, id+" root", nil, 0, authority(), s.root)
	r.issuer = l.issue(t, id+" issuer", &r.root, bits, authority(), where("root"), s.issuer)
	r.between = r.issuer
	if s.second != nil {
		r.between = l.issue(t, id+" second issuer", &r.issuer, 0, authority(), where("issuer"), s.second)
	}
	r.signer = l.issue(t, id+" signer", &r.between, s.rsa, x509.Certificate{KeyUsage: x509.KeyUsageContentCommitment}, where("between"), algorithm, s.signer)
	unchecked := func(c *x509.Certificate, _ time.Time) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}, Value: []byte{5, 0}}}
	}
	r.responder = l.issue(t, id+" responder", &r.between, 0, x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature}, unchecked, s.responder)
	r.strangers = r.root
	if s.stranger {
		r.strangers = l.issue(t, id+" stranger", nil, 0, authority())
	}
	r.unit = l.issue(t, id+" unit", &r.strangers, 0, x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature},
		func(c *x509.Certificate, _ time.Time) {
			c.ExtraExtensions = []pkix.Extension{{
				Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true,
				Value: []byte{0x30, 0x0a, 0x06, 0x08, 0x2b, 6, 1, 5, 5, 7, 3, 8},
			}}
		}, where("root"), s.unit)
	r.set(r.now.Add(-s.signedAgo))
	return r
}

func (r *realm) set(at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock = at
}

func (r *realm) time() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.clock
}

// credential signs; what Credential.Check would refuse is hidden from it.
func (r *realm) credential() signing.Credential {
	shown := *r.signer.certificate
	shown.NotBefore, shown.NotAfter, shown.KeyUsage = r.now.Add(-50*year), r.now.Add(50*year), x509.KeyUsageContentCommitment
	chain := []*x509.Certificate{r.between.certificate}
	if r.between != r.issuer {
		chain = append(chain, r.issuer.certificate)
	}
	return signing.Credential{Signer: r.signer.key, Certificate: &shown, Chain: chain}
}

// stamper makes time-stamps without asking the checks of a client.
type stamper struct{ r *realm }

func (s stamper) Stamp(_ context.Context, hash crypto.Hash, digest []byte) (*tsp.Token, error) {
	raw, err := s.r.stamp(hash, digest)
	if err != nil {
		return nil, err
	}
	if token, err := tsp.Parse(raw); err == nil {
		return token, nil
	}
	return tsp.Inspect(raw)
}

func (r *realm) stamp(hash crypto.Hash, digest []byte) ([]byte, error) {
	stamp := timestamp.Timestamp{
		HashAlgorithm: hash, HashedMessage: digest, Time: r.time().UTC(), Accuracy: time.Second,
		Policy: asn1.ObjectIdentifier{2, 999, 1}, AddTSACertificate: true, Certificates: []*x509.Certificate{r.strangers.certificate},
	}
	der, err := stamp.CreateResponseWithOpts(r.unit.certificate, r.unit.key, crypto.SHA256)
	if err != nil {
		return nil, err
	}
	var response struct {
		Status asn1.RawValue
		Token  asn1.RawValue
	}
	if _, err := asn1.Unmarshal(der, &response); err != nil {
		return nil, err
	}
	return response.Token.FullBytes, nil
}

// answerStamp answers a request of RFC 3161.
func (r *realm) answerStamp(der []byte) ([]byte, error) {
	q, err := timestamp.ParseRequest(der)
	if err != nil {
		return nil, err
	}
	stamp := timestamp.Timestamp{
		HashAlgorithm: q.HashAlgorithm, HashedMessage: q.HashedMessage, Time: r.time().UTC(), Accuracy: time.Second, Nonce: q.Nonce,
		Policy: asn1.ObjectIdentifier{2, 999, 1}, AddTSACertificate: true, Certificates: []*x509.Certificate{r.strangers.certificate},
	}
	return stamp.CreateResponseWithOpts(r.unit.certificate, r.unit.key, crypto.SHA256)
}

func (r *realm) services(l *lab) *signing.Services {
	return &signing.Services{
		TimeStamps: stamper{r}, Fetch: l.client, Clock: r.time,
		Anchors: []*x509.Certificate{r.root.certificate, r.strangers.certificate},
	}
}

func (r *realm) anchors() []*x509.Certificate {
	switch {
	case r.untrusted:
		return nil
	case r.trustIssuer:
		return []*x509.Certificate{r.issuer.certificate}
	case r.trustSigner:
		return []*x509.Certificate{r.signer.certificate}
	}
	return []*x509.Certificate{r.root.certificate}
}

func (r *realm) serve(w http.ResponseWriter, q *http.Request, path string) {
	authorities := map[string]party{"root": r.root, "issuer": r.issuer, "between": r.between}
	name, kind, _ := strings.Cut(path, ".")
	switch {
	case r.silent && kind != "cer":
		http.Error(w, "silent", http.StatusServiceUnavailable)
	case kind == "cer":
		_, _ = w.Write(authorities[name].certificate.Raw)
	case kind == "crl":
		raw, err := r.list(authorities[name])
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(raw)
	case path == "ocsp":
		body, err := io.ReadAll(io.LimitReader(q.Body, 1<<16))
		if err == nil {
			body, err = r.respond(body)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/ocsp-response")
		_, _ = w.Write(body)
	case path == "tsa":
		body, err := io.ReadAll(io.LimitReader(q.Body, 1<<16))
		if err == nil {
			body, err = r.answerStamp(body)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/timestamp-reply")
		_, _ = w.Write(body)
	default:
		http.NotFound(w, q)
	}
}

// state is what authorities know about a certificate at their time.
func (r *realm) state(serial *big.Int) *revoked {
	for _, known := range []struct {
		party   party
		revoked *revoked
	}{{r.signer, r.signerRevoked}, {r.issuer, r.issuerRevoked}, {r.unit, r.unitRevoked}} {
		if known.revoked != nil && serial.Cmp(known.party.certificate.SerialNumber) == 0 && !r.now.Add(-known.revoked.ago).After(r.time()) {
			return known.revoked
		}
	}
	return nil
}

// times are those of an answer.
func (r *realm) times(serial *big.Int) (this, next time.Time) {
	this = r.time()
	if r.answered != 0 && serial.Cmp(r.signer.certificate.SerialNumber) == 0 {
		this = r.now.Add(-r.answered)
	}
	lasts := r.inForce
	if lasts == 0 {
		lasts = day
	}
	return this.UTC().Truncate(time.Second), this.Add(lasts).UTC().Truncate(time.Second)
}

func (r *realm) list(by party) ([]byte, error) {
	this, next := r.times(r.signer.certificate.SerialNumber)
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: this, NextUpdate: next}
	if r.kept {
		since, err := asn1.MarshalWithParams(r.now.Add(-5*year).UTC().Truncate(time.Second), "generalized")
		if err != nil {
			return nil, err
		}
		template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 60}, Value: since}}
	}
	for _, p := range []party{r.signer, r.issuer, r.unit} {
		if s := r.state(p.certificate.SerialNumber); s != nil && bytes.Equal(p.certificate.RawIssuer, by.certificate.RawSubject) {
			template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{
				SerialNumber: p.certificate.SerialNumber, RevocationTime: r.now.Add(-s.ago), ReasonCode: s.reason,
			})
		}
	}
	return x509.CreateRevocationList(rand.Reader, template, by.certificate, by.key)
}

// The structures of RFC 6960 4.1 and 4.2, as far as they are needed.
type (
	certID struct {
		Algorithm pkix.AlgorithmIdentifier
		Name, Key []byte
		Serial    *big.Int
	}
	ocspRequest struct {
		TBS struct {
			Version    int `asn1:"explicit,tag:0,default:0,optional"`
			Requests   []struct{ ID certID }
			Extensions []pkix.Extension `asn1:"explicit,tag:2,optional"`
		}
	}
	singleResponse struct {
		ID         certID
		Status     asn1.RawValue
		ThisUpdate time.Time        `asn1:"generalized"`
		NextUpdate time.Time        `asn1:"generalized,explicit,tag:0"`
		Extensions []pkix.Extension `asn1:"explicit,tag:1,optional"`
	}
	responseData struct {
		Responder  asn1.RawValue
		Produced   time.Time `asn1:"generalized"`
		Responses  []singleResponse
		Extensions []pkix.Extension `asn1:"explicit,tag:1,optional"`
	}
	basicResponse struct {
		Data         asn1.RawValue
		Algorithm    pkix.AlgorithmIdentifier
		Signature    asn1.BitString
		Certificates []asn1.RawValue `asn1:"explicit,tag:0,optional"`
	}
)

// respond answers an OCSP request.
func (r *realm) respond(der []byte) ([]byte, error) {
	var q ocspRequest
	if _, err := asn1.Unmarshal(der, &q); err != nil {
		return nil, err
	}
	id := q.TBS.Requests[0].ID
	about := id.Serial
	if r.mute && about.Cmp(r.signer.certificate.SerialNumber) == 0 {
		return nil, errors.New("mute")
	}
	by, kind := r.responder, r.answer
	signerAsked := about.Cmp(r.signer.certificate.SerialNumber) == 0
	if !signerAsked {
		// Answers about authorities and time-stamping units come from their issuer.
		by, kind = r.issuerOf(about), answerByIssuer
	}
	status := asn1.RawValue{Class: 2, Tag: 0}
	if s := r.state(about); s != nil {
		at, err := asn1.MarshalWithParams(r.now.Add(-s.ago).UTC().Truncate(time.Second), "generalized")
		if err != nil {
			return nil, err
		}
		status = asn1.RawValue{Class: 2, Tag: 1, IsCompound: true, Bytes: append(at, 0xa0, 3, 0x0a, 1, byte(s.reason))}
	}
	switch kind {
	case answerUnknown:
		status = asn1.RawValue{Class: 2, Tag: 2}
	case answerOther:
		id.Serial = new(big.Int).Add(about, big.NewInt(1))
	case answerByIssuer:
		if signerAsked {
			by = r.between
		}
	case answerStranger:
		by = r.unit // certified for something else
	}
	single := singleResponse{ID: id, Status: status}
	single.ThisUpdate, single.NextUpdate = r.times(about)
	if r.kept {
		since, err := asn1.MarshalWithParams(r.now.Add(-5*year).UTC().Truncate(time.Second), "generalized")
		if err != nil {
			return nil, err
		}
		single.Extensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 6}, Value: since}}
	}
	key, err := publicBits(by.certificate)
	if err != nil {
		return nil, err
	}
	sum := sha1.Sum(key)
	name, err := asn1.Marshal(sum[:])
	if err != nil {
		return nil, err
	}
	data := responseData{
		Responder: asn1.RawValue{Class: 2, Tag: 2, IsCompound: true, Bytes: name}, Produced: single.ThisUpdate,
		Responses: []singleResponse{single},
	}
	for _, e := range q.TBS.Extensions {
		if r.answered == 0 {
			data.Extensions = append(data.Extensions, e) // the nonce
		}
	}
	return r.signResponse(by, kind, data)
}

func (r *realm) issuerOf(serial *big.Int) party {
	for _, c := range []struct{ subject, issuer party }{{r.issuer, r.root}, {r.between, r.issuer}, {r.unit, r.strangers}, {r.responder, r.between}} {
		if c.subject.certificate.SerialNumber.Cmp(serial) == 0 {
			return c.issuer
		}
	}
	return r.between
}

func publicBits(c *x509.Certificate) ([]byte, error) {
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	_, err := asn1.Unmarshal(c.RawSubjectPublicKeyInfo, &info)
	return info.Key.Bytes, err
}

func (r *realm) signResponse(by party, kind answer, data responseData) ([]byte, error) {
	raw, err := asn1.Marshal(data)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(raw)
	value, err := by.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	if kind == answerDamaged {
		value[len(value)-1] ^= 1
	}
	algorithm := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}}
	if _, ok := by.key.(*rsa.PrivateKey); ok {
		algorithm = pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, Parameters: asn1.NullRawValue}
	}
	basic := basicResponse{Data: asn1.RawValue{FullBytes: raw}, Algorithm: algorithm, Signature: asn1.BitString{Bytes: value, BitLength: 8 * len(value)}}
	if kind != answerWithoutCR && kind != answerByIssuer {
		basic.Certificates = []asn1.RawValue{{FullBytes: by.certificate.Raw}}
	}
	inner, err := asn1.Marshal(basic)
	if err != nil {
		return nil, err
	}
	type responseBytes struct {
		Type     asn1.ObjectIdentifier
		Response []byte
	}
	return asn1.Marshal(struct {
		Status asn1.Enumerated
		Bytes  responseBytes `asn1:"explicit,tag:0"`
	}{0, responseBytes{asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 1}, inner}})
}
