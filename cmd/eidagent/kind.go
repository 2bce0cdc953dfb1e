package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/asic"
	"github.com/eidbridge/eidbridge/signing/facturae"
)

// kind is what a file is, as its bytes say. A name decides only where bytes do not.
type kind string

const (
	kindPDF       kind = "pdf"
	kindXML       kind = "xml"
	kindInvoice   kind = "invoice" // FacturaE
	kindContainer kind = "container"
	kindMessage   kind = "message" // CMS
	// kindZIP is a ZIP file that does not begin as a container: it may still hold
	// signatures, but is signed as any other file.
	kindZIP   kind = "zip"
	kindOther kind = "other"
)

// kindOf looks at the beginning of a file.
func kindOf(name string) (kind, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	head := make([]byte, 2048)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return "", err
	}
	head = head[:n]
	text := bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xEF\xBB\xBF")), " \t\r\n")
	extension := strings.ToLower(filepath.Ext(name))
	switch {
	case bytes.Contains(head[:min(n, 1024)], []byte("%PDF-")), extension == ".pdf":
		return kindPDF, nil
	case asic.IsContainer(strings.ToLower(name)), bytes.HasPrefix(head, []byte("PK\x03\x04")) && isContainer(f):
		return kindContainer, nil
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return kindZIP, nil
	case bytes.HasPrefix(text, []byte("-----BEGIN PKCS")), bytes.HasPrefix(text, []byte("-----BEGIN CMS")), isMessage(head):
		return kindMessage, nil
	case bytes.HasPrefix(text, []byte("<")), bytes.HasPrefix(head, []byte("\xFE\xFF\x00<")), bytes.HasPrefix(head, []byte("\xFF\xFE<\x00")):
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return "", err
		}
		if facturae.Recognise(f) {
			return kindInvoice, nil
		}
		return kindXML, nil
	}
	return kindOther, nil
}

// isContainer tells whether the first thing in a ZIP file is the type of a
// container (EN 319 162-1 A.1).
func isContainer(f *os.File) bool {
	const at, name = 30, "mimetypeapplication/vnd.etsi.asic-"
	buf := make([]byte, len(name))
	_, err := f.ReadAt(buf, at)
	return err == nil && string(buf) == name
}

// isMessage tells whether bytes begin a ContentInfo with SignedData.
func isMessage(head []byte) bool {
	signedData := []byte{0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x02}
	i := bytes.Index(head[:min(len(head), 32)], signedData)
	return i >= 2 && i <= 12 && head[0] == 0x30
}

// format is the format that a file is signed in unless the user chooses another.
func (k kind) format() signing.Format {
	switch k {
	case kindPDF:
		return signing.PAdES
	case kindXML:
		return signing.XAdES
	case kindInvoice:
		return signing.FacturaE
	case kindMessage:
		return signing.CAdES
	default:
		return signing.ASiCE
	}
}
