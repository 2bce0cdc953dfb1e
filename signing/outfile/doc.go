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
// A new name replaces nothing, but what it leads to must be whole as well: somebody who
// finds it after a loss of power takes it for a document. Files are without a name
// until they are durable, and are synced once more with the folder, for it is in them
// how many names they have.
//
// Where the file system keeps one journal in order, one commit will do. What is written
// starts on its way to the disk at once (Writeback). Before the file gets its name,
// Place waits until the disk has its pages (sync_file_range, which commits nothing),
// and then syncs file and folder at once, which wait for one commit:
//
//   - ext4 with data=ordered allocated the blocks when the pages were written, in a
//     transaction that is not later than that of link(2), which changes the folder and
//     the count of links in the inode together. fsync(2) of the file commits the
//     transaction of its inode and so the name. As pages are on the disk before either
//     commits, a name that survives a crash leads to the whole file.
//   - xfs logs the size of a file when its pages are written, and link(2) in one
//     transaction with the inode; fsync(2) forces the log up to that.
//
// Nothing else is taken for one of these: ext4 without a journal (as on many virtual
// machines), with data=writeback or without barriers; btrfs, whose pages are written
// before the tree knows where; network shares.
//
// The tests of fixtures/powerloss and of cmd/eidagent go through what the disk may hold
// at each moment in between.
package outfile
