package github

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
)

// Export writes what the server holds to a folder, for a person to look at:
//
//	OWNER/REPO/releases.json          as the API lists them to the owner
//	OWNER/REPO/releases/TAG/NAME      assets of published releases
//	OWNER/REPO/drafts/ID/NAME         assets of drafts
//
// A tag is escaped as in a URL, so that a slash makes no folder. Starters have
// no bytes and are not written. The folder may exist; files in it are not
// overwritten but an error.
func (s *Server) Export(dir string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.repos {
		s.settle(r)
		if err := s.exportRepository(r, filepath.Join(dir, r.Owner, r.Name)); err != nil {
			return fmt.Errorf("cannot export %s/%s: %w", r.Owner, r.Name, err)
		}
	}
	return nil
}

func (s *Server) exportRepository(r *repository, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	c := &call{Server: s, repo: r}
	list := []releaseJSON{}
	for _, rel := range r.releases {
		list = append(list, c.releaseJSON(rel))
		sub := filepath.Join(dir, "releases", url.PathEscape(rel.tag))
		if rel.draft {
			sub = filepath.Join(dir, "drafts", strconv.FormatInt(rel.id, 10))
		}
		if err := os.MkdirAll(sub, 0o755); err != nil {
			return err
		}
		for _, a := range rel.assets {
			if a.state != uploaded {
				continue
			}
			if err := copyNew(filepath.Join(sub, a.name), s.file(a)); err != nil {
				return err
			}
		}
	}
	data, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, "releases.json"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

func copyNew(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if e := out.Close(); err == nil {
		err = e
	}
	return err
}
