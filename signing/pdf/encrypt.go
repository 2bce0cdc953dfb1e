package pdf

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5" //nolint:gosec // ISO 32000-1 7.6: what old documents are encrypted with
	"crypto/rc4" //nolint:gosec // as above
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
)

// method is how a string or a stream is encrypted (table 25).
type method uint8

const (
	methodIdentity method = iota
	methodRC4
	methodAES128
	methodAES256
)

// encryption is an opened standard security handler (7.6.4).
type encryption struct {
	key             []byte
	strings         method
	streams         method
	encryptMetadata bool
	dictionary      uint32 // number of the encryption dictionary, 0 when direct
	permissions     int32
	owner           bool // opened with the owner's password
}

// handler is the encryption dictionary as read.
type handler struct {
	version, revision  int64
	length             int // of the file key, in bytes
	o, u, oe, ue       []byte
	permissions        int32
	id                 []byte
	encryptMetadata    bool
	stringsBy, streams method
}

// unlock opens the encryption of the document with a password, the user's or the
// owner's. A handler that is unknown or malformed, and a wrong password, leave
// the document locked.
func (d *Document) unlock(password []byte) error {
	entry := d.Trailer().Get("Encrypt")
	if entry.IsNull() {
		return nil
	}
	dict, err := d.Resolve(entry)
	if err != nil {
		return nil //nolint:nilerr // locked; whoever needs what is inside is told
	}
	h, ok := d.readHandler(dict)
	if !ok {
		return nil
	}
	key, owner := h.anyFileKey(password)
	if key == nil {
		return nil
	}
	d.crypt = &encryption{
		key: key, strings: h.stringsBy, streams: h.streams, encryptMetadata: h.encryptMetadata, permissions: h.permissions, owner: owner,
	}
	if ref, ok := entry.Ref(); ok {
		d.crypt.dictionary = ref.Number
	}
	d.streams = new(streamCache)
	return d.src.ctx.Err()
}

// Locked tells whether the document is encrypted and was not opened.
func (d *Document) Locked() bool { return d.Encrypted() && d.crypt == nil }

// Permission is a right that an encrypted document grants to its users (table
// 22). It is a wish of the owner, which no program is forced to heed.
type Permission int32

// Rights that matter for signing.
const (
	PermitModify   Permission = 1 << 3
	PermitAnnotate Permission = 1 << 5
	PermitFill     Permission = 1 << 8
)

// Permits tells whether the document grants any of the rights. A document that
// is not encrypted, or was opened by its owner, grants all.
func (d *Document) Permits(p Permission) bool {
	return d.crypt == nil || d.crypt.owner || d.crypt.permissions&int32(p) != 0
}

// readHandler reads the encryption dictionary of the standard handler, versions
// 1, 2, 4 and 5, revisions 2 to 6 (tables 20 and 21).
func (d *Document) readHandler(dict Object) (*handler, bool) {
	value := func(key string) Object {
		v, err := d.Value(dict, key)
		if err != nil {
			return Object{}
		}
		return v
	}
	h := &handler{length: 5, encryptMetadata: true}
	h.version, _ = value("V").Int()
	h.revision, _ = value("R").Int()
	h.o, _ = value("O").Source()
	h.u, _ = value("U").Source()
	p, ok := value("P").Int()
	if value("Filter").Name() != "Standard" || !ok {
		return nil, false
	}
	h.permissions = int32(uint32(uint64(p)))
	if b, ok := value("EncryptMetadata").Bool(); ok {
		h.encryptMetadata = b
	}
	if ids, err := d.Resolve(d.Trailer().Get("ID")); err == nil && len(ids.Items()) > 0 {
		h.id, _ = ids.Items()[0].Source()
	}
	switch h.version {
	case 1, 2:
		h.stringsBy, h.streams = methodRC4, methodRC4
		if bits, ok := value("Length").Int(); ok && h.version == 2 {
			if bits < 40 || bits > 128 || bits%8 != 0 {
				return nil, false
			}
			h.length = int(bits / 8)
		}
	case 4, 5:
		h.length = 16
		if h.version == 5 {
			h.length = 32
		}
		filters := value("CF")
		if h.stringsBy, ok = d.cryptFilter(filters, value("StrF"), h.version); !ok {
			return nil, false
		}
		if h.streams, ok = d.cryptFilter(filters, value("StmF"), h.version); !ok {
			return nil, false
		}
	default:
		return nil, false
	}
	return h, h.wellFormed(value)
}

func (h *handler) wellFormed(value func(string) Object) bool {
	if h.version == 5 {
		h.oe, _ = value("OE").Source()
		h.ue, _ = value("UE").Source()
		return (h.revision == 5 || h.revision == 6) && len(h.o) >= 48 && len(h.u) >= 48 && len(h.oe) == 32 && len(h.ue) == 32
	}
	return h.revision >= 2 && h.revision <= 4 && len(h.o) == 32 && len(h.u) == 32
}

// cryptFilter returns the method that a crypt filter names (7.6.6).
func (d *Document) cryptFilter(filters, name Object, version int64) (method, bool) {
	if name.IsNull() || name.Name() == "Identity" {
		return methodIdentity, true
	}
	filter, err := d.Value(filters, name.Name())
	if err != nil {
		return 0, false
	}
	switch how := filter.Get("CFM").Name(); {
	case how == "None":
		return methodIdentity, true
	case how == "V2" && version == 4:
		return methodRC4, true
	case how == "AESV2" && version == 4:
		return methodAES128, true
	case how == "AESV3" && version == 5:
		return methodAES256, true
	}
	return 0, false
}

// padding fills passwords up to 32 bytes (7.6.4.3.2 a).
const padding = "\x28\xBF\x4E\x5E\x4E\x75\x8A\x41\x64\x00\x4E\x56\xFF\xFA\x01\x08\x2E\x2E\x00\xB6\xD0\x68\x3E\x80\x2F\x0C\xA9\xFE\x64\x53\x69\x7A"

// anyFileKey is fileKey with the spelling of the password that opens.
func (h *handler) anyFileKey(password []byte) (key []byte, owner bool) {
	for i, p := range h.spellings(password) {
		if key == nil {
			key, owner = h.fileKey(p)
		}
		if i > 0 { // ours
			clear(p)
		}
	}
	return key, owner
}

// fileKey returns the key of the file, nil when the password is neither the
// user's nor the owner's.
func (h *handler) fileKey(password []byte) (key []byte, owner bool) {
	if h.revision >= 5 {
		return h.fileKey256(password[:min(127, len(password))])
	}
	if key := h.userKey(password); key != nil {
		return key, false
	}
	return h.userKey(h.userPassword(password)), true
}

// userKey is algorithm 2 with the check of algorithms 4 to 6.
func (h *handler) userKey(password []byte) []byte {
	m := md5.New() //nolint:gosec // as above
	m.Write(append(bytes.Clone(password), padding...)[:32])
	m.Write(h.o)
	m.Write(binary.LittleEndian.AppendUint32(nil, uint32(h.permissions)))
	m.Write(h.id)
	if h.revision >= 4 && !h.encryptMetadata {
		m.Write([]byte{0xFF, 0xFF, 0xFF, 0xFF})
	}
	key := h.strengthen(m.Sum(nil))
	var want []byte
	if h.revision == 2 {
		want = rc4Once(key, []byte(padding))
		if bytes.Equal(want, h.u) {
			return key
		}
		return nil
	}
	m = md5.New() //nolint:gosec // as above
	m.Write([]byte(padding))
	m.Write(h.id)
	want = m.Sum(nil)
	for i := range 20 {
		want = rc4Once(mixed(key, byte(i)), want)
	}
	if bytes.Equal(want, h.u[:16]) {
		return key
	}
	return nil
}

// strengthen hashes fifty times more from revision 3 on.
func (h *handler) strengthen(key []byte) []byte {
	if h.revision >= 3 {
		for range 50 {
			sum := md5.Sum(key[:h.length]) //nolint:gosec // as above
			key = sum[:]
		}
	}
	return key[:h.length]
}

// userPassword is algorithm 7: what the owner's password opens.
func (h *handler) userPassword(owner []byte) []byte {
	sum := md5.Sum(append(bytes.Clone(owner), padding...)[:32]) //nolint:gosec // as above
	key := h.strengthen(sum[:])
	out := h.o
	if h.revision == 2 {
		return rc4Once(key, out)
	}
	for i := 19; i >= 0; i-- {
		out = rc4Once(mixed(key, byte(i)), out)
	}
	return out
}

func mixed(key []byte, with byte) []byte {
	out := bytes.Clone(key)
	for i := range out {
		out[i] ^= with
	}
	return out
}

func rc4Once(key, data []byte) []byte {
	c, err := rc4.NewCipher(key) //nolint:gosec // as above
	if err != nil {
		return nil
	}
	out := make([]byte, len(data))
	c.XORKeyStream(out, data)
	return out
}

// fileKey256 is algorithm 2.A.
func (h *handler) fileKey256(password []byte) (key []byte, owner bool) {
	o, u := h.o[:48], h.u[:48]
	if bytes.Equal(h.hash(password, o[32:40], u), o[:32]) {
		return unwrapKey(h.hash(password, o[40:48], u), h.oe), true
	}
	if bytes.Equal(h.hash(password, u[32:40], nil), u[:32]) {
		return unwrapKey(h.hash(password, u[40:48], nil), h.ue), false
	}
	return nil, false
}

func unwrapKey(key, wrapped []byte) []byte {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil
	}
	out := make([]byte, len(wrapped))
	cipher.NewCBCDecrypter(block, make([]byte, aes.BlockSize)).CryptBlocks(out, wrapped)
	return out
}

// hash is algorithm 2.B; revision 5 has a single SHA-256.
func (h *handler) hash(password, salt, user []byte) []byte {
	first := sha256.Sum256(bytes.Join([][]byte{password, salt, user}, nil))
	k := first[:]
	if h.revision == 5 {
		return k
	}
	for round := 1; ; round++ {
		e := bytes.Repeat(bytes.Join([][]byte{password, k, user}, nil), 64)
		block, err := aes.NewCipher(k[:16])
		if err != nil {
			return nil
		}
		cipher.NewCBCEncrypter(block, k[16:32]).CryptBlocks(e, e)
		sum := 0
		for _, b := range e[:16] {
			sum += int(b) // 256 is 1 modulo 3
		}
		switch sum % 3 {
		case 0:
			s := sha256.Sum256(e)
			k = s[:]
		case 1:
			s := sha512.Sum384(e)
			k = s[:]
		default:
			s := sha512.Sum512(e)
			k = s[:]
		}
		if round >= 64 && int(e[len(e)-1]) <= round-32 {
			return k[:32]
		}
	}
}
