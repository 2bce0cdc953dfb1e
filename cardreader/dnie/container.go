package dnie

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/eidbridge/eidbridge/cardreader/iso7816"
)

// containerHeader is two little-endian lengths, unpacked and packed.
const containerHeader = 8

// unpack takes a certificate file apart and returns the DER certificate: either
// packed (two lengths, then a zlib stream of RFC 1950) or as it is. Zeros may
// fill the file up, nothing else may. The error is ErrContent; a stream that gives
// another length than announced, or needs a dictionary, is one.
func unpack(file []byte) ([]byte, error) {
	if len(file) > maxCertificate {
		return nil, fmt.Errorf("%w: certificate file of %d bytes", iso7816.ErrContent, len(file))
	}
	if len(file) >= 2 && file[0] == 0x30 && file[1] == 0x82 {
		return plain(file)
	}
	if len(file) < containerHeader {
		return nil, fmt.Errorf("%w: certificate file of %d bytes", iso7816.ErrContent, len(file))
	}
	unpacked, packed := binary.LittleEndian.Uint32(file), binary.LittleEndian.Uint32(file[4:])
	stream := file[containerHeader:]
	if unpacked == 0 || unpacked > maxCertificate || uint64(packed) > uint64(len(stream)) {
		return nil, fmt.Errorf("%w: container of %d bytes announces %d and %d", iso7816.ErrContent, len(file), unpacked, packed)
	}
	stream, rest := stream[:packed], stream[packed:]
	if !zeros(rest) {
		return nil, fmt.Errorf("%w: something follows the packed certificate", iso7816.ErrContent)
	}
	source := bytes.NewReader(stream)
	reader, err := zlib.NewReader(source)
	if err != nil {
		return nil, fmt.Errorf("%w: packed certificate: %w", iso7816.ErrContent, err)
	}
	defer func() { _ = reader.Close() }()
	// One byte more than announced tells a stream that goes on.
	der, err := io.ReadAll(io.LimitReader(reader, int64(unpacked)+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: packed certificate: %w", iso7816.ErrContent, err)
	case len(der) != int(unpacked):
		return nil, fmt.Errorf("%w: packed certificate has another length than announced", iso7816.ErrContent)
	case source.Len() > 0:
		return nil, fmt.Errorf("%w: something follows the packed stream", iso7816.ErrContent)
	}
	return der, nil
}

// plain cuts a DER object with a length of two bytes out of a file.
func plain(file []byte) ([]byte, error) {
	const header = 4
	if len(file) < header {
		return nil, fmt.Errorf("%w: certificate file of %d bytes", iso7816.ErrContent, len(file))
	}
	size := header + int(binary.BigEndian.Uint16(file[2:]))
	if size > len(file) || !zeros(file[size:]) {
		return nil, fmt.Errorf("%w: certificate of %d bytes in a file of %d", iso7816.ErrContent, size, len(file))
	}
	return file[:size], nil
}

func zeros(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}
