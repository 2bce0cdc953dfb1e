// Package asic makes, changes, signs and verifies associated signature containers
// (EN 319 162-1): ASiC-E with XAdES, as Estonia and its neighbours use it (.asice,
// .bdoc), ASiC-E with CAdES, and ASiC-S with XAdES, CAdES or a time-stamp token.
//
// A container is read with package archive, so that one that programs could read
// in two ways is refused. Open finds what is in it; Create, Add and Remove write
// it anew; Sign adds a signature. Files are streams: memory does not grow with
// them, and those of an existing container are copied without inflating them.
//
// A signature covers all data files of an ASiC-E container at the time of signing.
// Files that signatures cover cannot be changed or removed, and Add says that
// signatures would not cover the new file.
//
// Verify judges every signature with packages xades and cades, tells which files
// each of them covers and which files none of them does, and judges archive
// manifests (EN 319 162-1 A.7). A time-stamp token alone is no signature.
//
// Left out: evidence records, signatures of OpenDocument files, and DDOC, which
// is no ZIP file.
package asic

import "errors"

// Errors that a caller decides on. Those of package archive are wrapped.
var (
	// ErrNotContainer: a ZIP file that says it is something else than a container,
	// or nothing at all.
	ErrNotContainer = errors.New("not a signature container")
	// ErrFormat: a container that breaks a rule of EN 319 162-1 so that it cannot be
	// told what is signed.
	ErrFormat = errors.New("malformed signature container")
	// ErrSigned: a file cannot be changed because signatures cover it.
	ErrSigned = errors.New("file is signed")
	// ErrNoFile: the container has no file of that name.
	ErrNoFile = errors.New("no such file in the container")
)

// Media types of containers (EN 319 162-1 A.1).
const (
	mediaTypeE = "application/vnd.etsi.asic-e+zip"
	mediaTypeS = "application/vnd.etsi.asic-s+zip"
)

// Names of a container.
const (
	nameMimetype        = "mimetype"
	metaFolder          = "META-INF/"
	nameManifest        = metaFolder + "manifest.xml"
	nameSignatureS      = metaFolder + "signature.p7s"
	nameSignaturesS     = metaFolder + "signatures.xml"
	nameTimestampS      = metaFolder + "timestamp.tst"
	nameArchiveManifest = metaFolder + "ASiCArchiveManifest.xml"
)

// Media types of what stands in META-INF (EN 319 162-1 4.4).
const (
	mediaTypeCAdES = "application/pkcs7-signature"
	mediaTypeToken = "application/vnd.etsi.timestamp-token"
)

const (
	// maxMeta bounds one file of META-INF, maxMetaTotal all of them, in bytes.
	maxMeta      = 16 << 20
	maxMetaTotal = 64 << 20
	// maxSignatures bounds the signature files of a container.
	maxSignatures = 256
	// maxReferences bounds the entries of a manifest.
	maxReferences = 10_000
)
