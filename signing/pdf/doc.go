// Package pdf reads the structure of PDF files and writes incremental updates,
// following ISO 32000-2:2020 (and 32000-1 where files are older).
//
// It reads through an io.ReaderAt and never holds the file: cross-reference
// entries are kept in a compact form, objects are parsed on demand, streams are
// inflated only when they carry structure. Whatever is read is bounded by
// Limits before it is allocated or descended into, because neither a stack
// overflow nor exhausted memory can be recovered from.
//
// Objects keep their source bytes. A changed dictionary is therefore the old
// text with one value replaced, and references stay references: validators that
// compare revisions see the one change that was made.
//
// A file is a list of revisions (7.5.6). At gives the document as it was at the
// end of one of them, so that what a signature covers can be compared with what
// came later.
//
// Documents encrypted with a password are opened (standard security handler,
// revisions 2 to 6); strings are decrypted when asked for and keep their source
// bytes, and what an update adds is encrypted alike.
//
// Open repairs nothing. The few tolerances that common producers force on a
// reader are recorded as deviations, so that a caller who judges signatures can
// refuse them. Rebuild opens a file whose cross-reference chain is broken, for
// signing only, where nothing has to be guessed and nothing was signed.
//
// Left out: encryption for certificates, ISO/TS 32003 and 32004.
package pdf
