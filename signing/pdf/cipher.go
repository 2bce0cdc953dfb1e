package pdf

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5" //nolint:gosec // ISO 32000-1 7.6.3: part of the key derivation
	"crypto/rand"
	"errors"
	"fmt"
)

// objectKey decrypts the strings and the stream of one object.
type objectKey struct {
	crypt *encryption
	ref   Ref
}

// object returns the key of an object, nil where nothing is encrypted.
func (c *encryption) object(ref Ref) *objectKey {
	if c == nil || ref.Number == c.dictionary {
		return nil
	}
	return &objectKey{crypt: c, ref: ref}
}

// derive is algorithm 1 (7.6.3.1), or 1.A for AES-256.
func (k *objectKey) derive(m method) []byte {
	if m == methodAES256 {
		return k.crypt.key
	}
	n, g := k.ref.Number, k.ref.Generation
	data := append(bytes.Clone(k.crypt.key), byte(n), byte(n>>8), byte(n>>16), byte(g), byte(g>>8))
	if m == methodAES128 {
		data = append(data, "sAlT"...)
	}
	sum := md5.Sum(data) //nolint:gosec // as above
	return sum[:min(16, len(k.crypt.key)+5)]
}

var errCipher = errors.New("encrypted data is damaged")

func (k *objectKey) decrypt(m method, data []byte) ([]byte, error) {
	switch m {
	case methodIdentity:
		return data, nil
	case methodRC4:
		return rc4Once(k.derive(m), data), nil
	}
	if len(data) == 0 {
		return nil, nil // some producers leave empty strings as they are
	}
	block, err := aes.NewCipher(k.derive(m))
	if err != nil || len(data) < 2*aes.BlockSize || len(data)%aes.BlockSize != 0 {
		return nil, errCipher
	}
	out := make([]byte, len(data)-aes.BlockSize)
	cipher.NewCBCDecrypter(block, data[:aes.BlockSize]).CryptBlocks(out, data[aes.BlockSize:])
	pad := int(out[len(out)-1])
	if pad == 0 || pad > aes.BlockSize {
		return nil, errCipher
	}
	return out[:len(out)-pad], nil
}

func (k *objectKey) encrypt(m method, data []byte) ([]byte, error) {
	switch m {
	case methodIdentity:
		return data, nil
	case methodRC4:
		return rc4Once(k.derive(m), data), nil
	}
	block, err := aes.NewCipher(k.derive(m))
	if err != nil {
		return nil, err
	}
	pad := aes.BlockSize - len(data)%aes.BlockSize
	out := make([]byte, aes.BlockSize, aes.BlockSize+len(data)+pad)
	if _, err := rand.Read(out); err != nil {
		return nil, err
	}
	out = append(append(out, data...), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, out[:aes.BlockSize]).CryptBlocks(out[aes.BlockSize:], out[aes.BlockSize:])
	return out, nil
}

// streamMethod returns how the data of a stream is encrypted (7.6.2, 7.6.6).
func (c *encryption) streamMethod(dict Object) method {
	kind := dict.Get("Type").Name()
	if kind == "XRef" || kind == "Metadata" && !c.encryptMetadata {
		return methodIdentity
	}
	first, parms := dict.Get("Filter"), dict.Get("DecodeParms")
	if items := first.Items(); len(items) > 0 {
		first = items[0]
	}
	if items := parms.Items(); len(items) > 0 {
		parms = items[0]
	}
	if first.Name() == "Crypt" && (parms.Get("Name").IsNull() || parms.Get("Name").Name() == "Identity") {
		return methodIdentity
	}
	return c.streams
}

// sealed returns the body of an object with its strings and its stream
// encrypted. The body is plain, as it is for new objects and for those that came
// out of an object stream. /Contents of a signature stays as it is (7.6.2).
func (u *Update) sealed(ref Ref, body []byte) ([]byte, error) {
	k := u.doc.crypt.object(ref)
	l := &lexer{buf: body, base: 0, last: true, limits: &u.doc.limits}
	value, err := l.object(0)
	if err != nil {
		return nil, fmt.Errorf("encrypting object %d: %w", ref.Number, err)
	}
	var out []byte
	from := int(value.start)
	if err := k.sealStrings(value, body, &out, &from); err != nil {
		return nil, err
	}
	out = append(out, body[from:int(value.start)+len(value.raw)]...)
	const begin, end = "\nstream\n", "\nendstream"
	rest := body[int(value.start)+len(value.raw):]
	if !bytes.HasPrefix(rest, []byte(begin)) {
		return append(out, rest...), nil
	}
	data, err := k.encrypt(k.crypt.streamMethod(value), rest[len(begin):len(rest)-len(end)])
	if err != nil {
		return nil, err
	}
	l = &lexer{buf: out, base: 0, last: true, limits: &u.doc.limits}
	if value, err = l.object(0); err != nil {
		return nil, err
	}
	out = NewEdit(value).Set("Length", fmt.Appendf(nil, "%d", len(data))).Bytes()
	return append(append(append(out, begin...), data...), end...), nil
}

// sealStrings copies a body up to the end of a value's last string.
func (k *objectKey) sealStrings(o Object, body []byte, out *[]byte, from *int) error {
	if o.kind == String {
		plain, _ := o.Bytes()
		data, err := k.encrypt(k.crypt.strings, plain)
		if err != nil {
			return err
		}
		*out = AppendHex(append(*out, body[*from:o.start]...), data)
		*from = int(o.start) + len(o.raw)
		return nil
	}
	signature := o.kind == Dictionary && !o.Get("ByteRange").IsNull()
	for i, item := range o.items {
		if signature && i%2 == 1 && o.items[i-1].Name() == "Contents" {
			continue
		}
		if signature && i%2 == 1 && o.items[i-1].Name() == "ByteRange" {
			continue
		}
		if err := k.sealStrings(item, body, out, from); err != nil {
			return err
		}
	}
	return nil
}
