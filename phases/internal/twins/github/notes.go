package github

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// generateNotes is POST /releases/generate-notes: text alone, nothing changes.
// The text has the frame of GitHub's; what GitHub takes from pull requests is
// taken from commits here.
func (c *call) generateNotes() reply {
	var q struct {
		Tag      *string `json:"tag_name"`
		Target   *string `json:"target_commitish"`
		Previous *string `json:"previous_tag_name"`
	}
	if bad := c.parse(&q); bad != nil {
		return *bad
	}
	if q.Tag == nil || *q.Tag == "" {
		return c.failureWith("Invalid request.\n\n\"tag_name\" wasn't supplied.")
	}
	if _, err := c.repo.Refs.Get(c.ctx(), "refs/tags/"+*q.Tag); errors.Is(err, ErrNotFound) && q.Target != nil {
		if _, err := resolve(c.ctx(), c.repo.Refs, *q.Target); err != nil {
			return c.invalid(fieldError{Resource: "Release", Code: "invalid", Field: "target_commitish"})
		}
	}
	previous := c.previousTag(*q.Tag)
	if q.Previous != nil && *q.Previous != "" {
		previous = *q.Previous
		if _, err := c.repo.Refs.Get(c.ctx(), "refs/tags/"+previous); err != nil {
			return c.invalid(fieldError{Resource: "Release", Code: "invalid", Field: "previous_tag_name"})
		}
	}
	return reply{http.StatusOK, map[string]any{"name": *q.Tag, "body": c.notesText(*q.Tag, previous)}, nil}
}

// previousTag is that of the latest release other than this tag's.
func (c *call) previousTag(tag string) string {
	if rel := c.repo.latestRelease(); rel != nil && rel.tag != tag {
		return rel.tag
	}
	return ""
}

func (c *call) notesText(tag, previous string) string {
	if previous == "" {
		return "**Full Changelog**: " + c.web(c.repo, "/commits/"+escape(tag))
	}
	var b strings.Builder
	from, err := resolve(c.ctx(), c.repo.Refs, previous)
	to, errTo := resolve(c.ctx(), c.repo.Refs, tag)
	if err == nil && errTo == nil {
		if diff, err := c.repo.Refs.Compare(c.ctx(), from, to); err == nil && len(diff.Ahead) > 0 {
			b.WriteString("## What's Changed\n")
			for _, k := range diff.Ahead {
				title, _, _ := strings.Cut(k.Message, "\n")
				fmt.Fprintf(&b, "* %s by @%s\n", title, k.Author.Name)
			}
			b.WriteString("\n\n")
		}
	}
	b.WriteString("**Full Changelog**: " + c.web(c.repo, "/compare/"+escape(previous)+"..."+escape(tag)))
	return b.String()
}
