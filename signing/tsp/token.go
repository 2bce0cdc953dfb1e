package tsp

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/eidbridge/eidbridge/signing/cms"
)

// Errors that a caller decides on. All errors about tokens match one of them.
var (
	// ErrToken: not a time-stamp token as RFC 3161 2.4.2 demands, or one whose
	// signature or certificate is not right.
	ErrToken = errors.New("time-stamp token not acceptable")
	// ErrImprint: the token is about other data.
	ErrImprint = errors.New("time-stamp is about other data")
	// ErrResponse: the server did not give what was asked for.
	ErrResponse = errors.New("time-stamp response not acceptable")
)

func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrToken, fmt.Sprintf(format, args...))
}

// Token is a verified time-stamp token.
type Token struct {
	// Raw is the ContentInfo as received.
	Raw []byte
	// Time is genTime, Accuracy its possible error; the time proven is the sum.
	Time     time.Time
	Accuracy time.Duration
	Policy   cms.OID
	Serial   *big.Int
	Nonce    *big.Int // nil without one
	// Hash and Imprint say what is stamped.
	Hash    crypto.Hash
	Imprint []byte
	// Digest is the one under the signature of the token. Whether it and Hash are
	// reliable depends on the time, which the caller knows.
	Digest crypto.Hash
	// Certificate is the one the token is bound to; Certificates are all that
	// came with it.
	Certificate  *x509.Certificate
	Certificates []*x509.Certificate
	// CRLs holds the raw revocation information inside the token.
	CRLs [][]byte
}

// Parse reads a token that fills raw and verifies its signature. Extra
// certificates are searched for the signer's when the token has none.
func Parse(raw []byte, extra ...*x509.Certificate) (*Token, error) {
	message, err := cms.Parse(raw)
	if err != nil {
		return nil, wrong("%v", err)
	}
	return read(message, raw, extra)
}

// ParsePadded reads a token followed by zero bytes, as in the /Contents of a PDF.
func ParsePadded(raw []byte, extra ...*x509.Certificate) (*Token, error) {
	message, padding, err := cms.ParsePadded(raw)
	if err != nil {
		return nil, wrong("%v", err)
	}
	return read(message, raw[:len(raw)-padding], extra)
}

func read(message *cms.SignedData, raw []byte, extra []*x509.Certificate) (*Token, error) {
	switch {
	case message.ContentType != cms.OIDTSTInfo || message.Detached():
		return nil, wrong("the content is no TSTInfo")
	case len(message.SignerInfos) != 1:
		return nil, wrong("%d signers", len(message.SignerInfos))
	}
	t := &Token{Raw: raw, CRLs: message.CRLs}
	if err := t.readInfo(message.Content); err != nil {
		return nil, err
	}
	si := &message.SignerInfos[0]
	hash, err := si.Digest()
	if err != nil || !hash.Available() {
		return nil, wrong("a digest that is not known")
	}
	t.Digest = hash
	h := hash.New()
	h.Write(message.Content)
	var more [][]byte
	for _, c := range extra {
		more = append(more, c.Raw)
	}
	v, err := message.Verify(si, h.Sum(nil), more...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrToken, err)
	}
	if !v.Bound || v.Misnamed {
		return nil, wrong("it does not name its certificate")
	}
	t.Certificate = v.Certificate
	for _, c := range message.Certificates {
		if parsed, err := x509.ParseCertificate(c); err == nil {
			t.Certificates = append(t.Certificates, parsed)
		}
	}
	return t, t.checkCertificate()
}

// Inspect reads what a token says without believing it: signature and certificate
// are not looked at. It tells what is in a document, not whether that is good.
func Inspect(raw []byte) (*Token, error) {
	message, err := cms.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrToken, err)
	}
	if message.ContentType != cms.OIDTSTInfo || message.Detached() {
		return nil, wrong("the content is no TSTInfo")
	}
	t := &Token{Raw: raw, CRLs: message.CRLs}
	return t, t.readInfo(message.Content)
}

func weak(h crypto.Hash) bool { return h == crypto.SHA1 || h == crypto.SHA224 }

// checkCertificate demands the extended key usage of RFC 3161 2.3: present,
// critical, and time-stamping alone.
func (t *Token) checkCertificate() error {
	c := t.Certificate
	if len(c.ExtKeyUsage) != 1 || c.ExtKeyUsage[0] != x509.ExtKeyUsageTimeStamping || len(c.UnknownExtKeyUsage) > 0 {
		return wrong("its certificate is not for time-stamping alone")
	}
	for _, e := range c.Extensions {
		if e.Id.String() == "2.5.29.37" && !e.Critical {
			return wrong("the extended key usage of its certificate is not critical")
		}
	}
	if c.KeyUsage != 0 && c.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) == 0 {
		return wrong("its certificate is not for signatures")
	}
	if t.Time.Before(c.NotBefore) || t.Time.After(c.NotAfter) {
		return wrong("its time lies outside the validity of its certificate")
	}
	return nil
}

// Verify tells whether the token stamps data with the given digest.
func (t *Token) Verify(digest []byte) error {
	if string(t.Imprint) != string(digest) {
		return ErrImprint
	}
	return nil
}

// readInfo reads TSTInfo (RFC 3161 2.4.2).
func (t *Token) readInfo(der []byte) error {
	in := cryptobyte.String(der)
	var info, imprint, digest cryptobyte.String
	var version int64
	t.Serial = new(big.Int)
	if !in.ReadASN1(&info, asn1.SEQUENCE) || !in.Empty() || !info.ReadASN1Integer(&version) || version != 1 ||
		!cms.ReadOID(&info, &t.Policy) || !info.ReadASN1(&imprint, asn1.SEQUENCE) {
		return wrong("TSTInfo")
	}
	algorithm, ok := cms.ReadAlgorithm(&imprint)
	if !ok || !imprint.ReadASN1(&digest, asn1.OCTET_STRING) || !imprint.Empty() || !info.ReadASN1Integer(t.Serial) {
		return wrong("messageImprint")
	}
	var err error
	if t.Hash, err = algorithm.Digest(); err != nil {
		return wrong("%v", err)
	}
	if t.Imprint = digest; len(digest) != t.Hash.Size() {
		return wrong("messageImprint of %d bytes", len(digest))
	}
	if t.Time, ok = readTime(&info); !ok {
		return wrong("genTime")
	}
	if !t.readOptional(&info) {
		return wrong("TSTInfo")
	}
	return nil
}

// readOptional reads what follows genTime: accuracy, ordering, nonce, tsa and
// extensions.
func (t *Token) readOptional(info *cryptobyte.String) bool {
	if info.PeekASN1Tag(asn1.SEQUENCE) {
		var accuracy cryptobyte.String
		var seconds, millis, micros int
		if !info.ReadASN1(&accuracy, asn1.SEQUENCE) {
			return false
		}
		if accuracy.PeekASN1Tag(asn1.INTEGER) && !accuracy.ReadASN1Integer(&seconds) ||
			!readImplicit(&accuracy, 0, &millis) || !readImplicit(&accuracy, 1, &micros) || !accuracy.Empty() ||
			seconds < 0 || seconds > maxAccuracy || millis < 0 || millis > 999 || micros < 0 || micros > 999 {
			return false
		}
		t.Accuracy = time.Duration(seconds)*time.Second + time.Duration(millis)*time.Millisecond + time.Duration(micros)*time.Microsecond
	}
	var ordering bool
	if info.PeekASN1Tag(asn1.BOOLEAN) && !info.ReadASN1Boolean(&ordering) {
		return false
	}
	if info.PeekASN1Tag(asn1.INTEGER) {
		t.Nonce = new(big.Int)
		if !info.ReadASN1Integer(t.Nonce) {
			return false
		}
	}
	if !info.SkipOptionalASN1(asn1.Tag(0).Constructed().ContextSpecific()) {
		return false
	}
	return t.readExtensions(info)
}

// readImplicit reads an optional integer of up to two bytes with an implicit
// tag.
func readImplicit(s *cryptobyte.String, tag uint8, out *int) bool {
	var content cryptobyte.String
	var has bool
	if !s.ReadOptionalASN1(&content, &has, asn1.Tag(tag).ContextSpecific()) || !has {
		return !has
	}
	if len(content) < 1 || len(content) > 2 {
		return false
	}
	for _, c := range content {
		*out = *out<<8 | int(c)
	}
	return true
}

// readExtensions refuses critical extensions, of which none is known here.
func (t *Token) readExtensions(info *cryptobyte.String) bool {
	var list cryptobyte.String
	var has bool
	if !info.ReadOptionalASN1(&list, &has, asn1.Tag(1).Constructed().ContextSpecific()) || !info.Empty() {
		return false
	}
	for !list.Empty() {
		var extension cryptobyte.String
		var oid cms.OID
		var critical bool
		if !list.ReadASN1(&extension, asn1.SEQUENCE) || !cms.ReadOID(&extension, &oid) ||
			extension.PeekASN1Tag(asn1.BOOLEAN) && !extension.ReadASN1Boolean(&critical) || critical {
			return false
		}
	}
	return true
}

// readTime reads a GeneralizedTime in UTC with an optional fraction, which
// encoding/asn1 and cryptobyte do not take (RFC 3161 2.4.2).
func readTime(s *cryptobyte.String) (time.Time, bool) {
	var text cryptobyte.String
	if !s.ReadASN1(&text, asn1.GeneralizedTime) || len(text) < len("20060102150405Z") || len(text) > 32 || text[len(text)-1] != 'Z' {
		return time.Time{}, false
	}
	layout := "20060102150405Z"
	if text[14] == '.' {
		if last := text[len(text)-2]; last == '0' || last == '.' {
			return time.Time{}, false // DER has no trailing zeros
		}
		layout = "20060102150405.999999999Z"
	}
	at, err := time.Parse(layout, string(text))
	return at, err == nil
}
