// Package outfile puts a finished file in place: it is written beside its target,
// checked there, and gets its name only then. A failure at any moment leaves the
// input and an earlier output as they were. When Place returns, or Group.Sync for
// several files, the file survives a loss of power under its name.
//
// # What is waited for, and in which order
//
// A name that is replaced must never lead to less than a whole file. Its new content
// is therefore durable (fsync) before it is renamed, and the folder is synced after
// that: two commits of a journal.
//
// A new name replaces nothing and its source stays where it is, so nothing is lost
// with a file that nobody was told about, and one commit will do. What is written
// starts on its way to the disk at once (Writeback). Before the file gets its name,
// Place waits until the disk has its pages (sync_file_range, which commits nothing),
// and then syncs file and folder at once. Where there is one journal for both, they
// wait for one commit:
//
//   - ext4 allocated the blocks when the pages were written, in a transaction that is
//     not later than that of link(2), which changes the folder and the count of links
//     in the inode together. fsync(2) of the file commits the transaction of its inode
//     and so the name. As pages are on the disk before either commits, a name that
//     survives a crash leads to the whole file in every mode of the journal but
//     writeback's, where that takes until Place returns.
//   - xfs logs the size of a file when its pages are written, and link(2) in one
//     transaction with the inode; fsync(2) forces the log up to that. btrfs logs the
//     names of an inode that got new ones with its fsync(2).
//   - Elsewhere each does what it always did: POSIX promises content after fsync(2) of
//     the file, and a name after that of the folder. Neither is ever left out.
//
// Where a system has no sync_file_range, a new name takes two commits as well.
package outfile
