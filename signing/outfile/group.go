package outfile

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
)

// Group makes many files durable together: the disk is waited for once in a while
// instead of with every file. The zero value is ready for use, by several goroutines
// as well. Whoever hands files to a group calls Sync before telling anybody of them,
// and Discard in the end.
type Group struct {
	mu     sync.Mutex
	files  []*File
	memory Memory
}

// Memory is what the files of a group are written with, nil without a group.
func (g *Group) Memory() *Memory {
	if g == nil {
		return nil
	}
	return &g.memory
}

// PlaceIn hands a finished file over to a group, which puts it in place with its next
// Sync. Without a group it is Place.
func (f *File) PlaceIn(ctx context.Context, g *Group) error {
	if g == nil {
		return f.Place(ctx)
	}
	if err := f.Chmod(f.mode); err != nil {
		return outputError(err)
	}
	f.left = true
	g.mu.Lock()
	defer g.mu.Unlock()
	g.files = append(g.files, f)
	return nil
}

// Len is how many files wait for Sync. Each is an open one.
func (g *Group) Len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.files)
}

// Sync gives all files their names that were handed over since it was called last,
// and makes them durable. It returns what went wrong by the name of the output; the
// other files are in place. Once ctx is done, files without a name get none.
func (g *Group) Sync(ctx context.Context) map[string]error {
	return g.syncAfter(ctx, func(map[string]error) error { return nil })
}

// syncAfter is Sync. Of files that are durable but have no names yet, before is told
// which failed so far; its error fails the others.
func (g *Group) syncAfter(ctx context.Context, before func(map[string]error) error) map[string]error {
	failed := make(map[string]error)
	fail := func(f *File, err error) {
		failed[f.out] = err
		f.left = false
		f.Discard()
	}
	var files []*File // that are on the disk
	all := g.take()
	for i, err := range syncAll(all) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			fail(all[i], outputUnlessDone(ctx, err))
			continue
		}
		files = append(files, all[i])
	}
	refused := before(failed)
	var named []*File
	for _, f := range files {
		err := refused
		if err == nil {
			if err = ctx.Err(); err == nil {
				err = f.name(true)
			}
			err = outputUnlessDone(ctx, err)
		}
		if err != nil {
			fail(f, err)
			continue
		}
		named = append(named, f)
	}
	placeAll(named, failed)
	return failed
}

// placeAll makes the names of files durable.
func placeAll(files []*File, failed map[string]error) {
	folders := make(map[string][]*File)
	var again []*File
	for _, f := range files {
		folder := filepath.Dir(f.out)
		folders[folder] = append(folders[folder], f)
		if f.temp == "" && !ordered(f.File) {
			again = append(again, f) // the disk must learn that it is named
		}
	}
	unnamed := make(map[*File]error)
	for i, err := range syncAll(again) {
		unnamed[again[i]] = err
	}
	for folder, files := range folders {
		err := SyncFolder(folder)
		for _, f := range files {
			if err := f.placed(errors.Join(err, unnamed[f])); err != nil {
				failed[f.out] = err
			}
		}
	}
}

// Discard removes what was handed over and never got a name.
func (g *Group) Discard() {
	for _, f := range g.take() {
		f.left = false
		f.Discard()
	}
}

func (g *Group) take() []*File {
	g.mu.Lock()
	defer g.mu.Unlock()
	files := g.files
	g.files = nil
	return files
}

// waiting is how many files are synced side by side, so that they share commits.
const waiting = 16

// syncAll syncs files and returns what became of each.
func syncAll(files []*File) []error {
	errs := make([]error, len(files))
	turns := make(chan struct{}, waiting)
	var all sync.WaitGroup
	for i, f := range files {
		turns <- struct{}{}
		all.Go(func() {
			errs[i] = f.Sync()
			<-turns
		})
	}
	all.Wait()
	return errs
}

func outputUnlessDone(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return outputError(err)
}
