package github

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

func (c *call) refJSON(name string, o Object) map[string]any {
	return map[string]any{
		"ref": name, "node_id": "REF_" + objectName("blob", c.repo.Owner+"/"+c.repo.Name+" "+name)[:24],
		"url":    c.api(c.repo, "/git/"+escape(name)),
		"object": c.objectJSON(o),
	}
}

func (c *call) objectJSON(o Object) map[string]any {
	return map[string]any{"sha": o.SHA, "type": o.Type, "url": c.api(c.repo, "/git/"+o.Type+"s/"+o.SHA)}
}

// empty answers for a repository without any ref: 409.
func (c *call) empty() *reply {
	if refs, err := c.repo.Refs.List(c.ctx(), "refs/"); err != nil || len(refs) > 0 {
		return nil // an error shows again where the refs are used
	}
	r := c.failure(http.StatusConflict, "Git Repository is empty.")
	return &r
}

// getRef finds one ref by its whole name; a part of a name is 404.
func (c *call) getRef() reply {
	name := "refs/" + c.r.PathValue("ref")
	if bad := c.empty(); bad != nil {
		return *bad
	}
	o, err := c.repo.Refs.Get(c.ctx(), name)
	if errors.Is(err, ErrNotFound) || !wellFormed(name) {
		return c.notFound()
	} else if err != nil {
		return c.broken(err)
	}
	return reply{http.StatusOK, c.refJSON(name, o), nil}
}

// listRefs gives all refs whose name begins so; none is an empty list.
func (c *call) listRefs() reply {
	refs, err := c.repo.Refs.List(c.ctx(), "refs/"+c.r.PathValue("ref"))
	if err != nil {
		return c.broken(err)
	}
	some, header := page(c, refs)
	list := make([]map[string]any, 0, len(some))
	for _, r := range some {
		list = append(list, c.refJSON(r.Name, r.Object))
	}
	return reply{http.StatusOK, list, header}
}

func (c *call) createRef() reply {
	var q struct {
		Ref *string `json:"ref"`
		SHA *string `json:"sha"`
	}
	if bad := c.parse(&q); bad != nil {
		return *bad
	}
	if bad := c.empty(); bad != nil {
		return *bad
	}
	if q.Ref == nil || q.SHA == nil {
		return c.failureWith("Invalid request.\n\n\"ref\", \"sha\" weren't supplied.")
	}
	if !wellFormed(*q.Ref) {
		return c.failureWith("Reference name must start with 'refs/' and contain at least three components.") // text unconfirmed
	}
	err := c.repo.Refs.Create(c.ctx(), *q.Ref, *q.SHA)
	switch {
	case errors.Is(err, ErrExists):
		return c.failureWith("Reference already exists")
	case errors.Is(err, ErrNotFound):
		return c.failureWith("Object does not exist")
	case err != nil:
		return c.broken(err)
	}
	r := c.refReply(http.StatusCreated, *q.Ref)
	r.header = http.Header{"Location": {c.api(c.repo, "/git/"+escape(*q.Ref))}}
	c.record(c.repo, c.cause())
	return r
}

func (c *call) refReply(status int, name string) reply {
	o, err := c.repo.Refs.Get(c.ctx(), name)
	if err != nil {
		return c.broken(err)
	}
	return reply{status, c.refJSON(name, o), nil}
}

func (c *call) updateRef() reply {
	name := "refs/" + c.r.PathValue("ref")
	var q struct {
		SHA   *string `json:"sha"`
		Force bool    `json:"force"`
	}
	if bad := c.parse(&q); bad != nil {
		return *bad
	}
	if q.SHA == nil {
		return c.failureWith("Invalid request.\n\n\"sha\" wasn't supplied.")
	}
	if c.lockedRef(name) {
		return c.failureWith("Cannot update a tag of an immutable release") // text unconfirmed
	}
	if _, err := c.repo.Refs.Get(c.ctx(), name); errors.Is(err, ErrNotFound) {
		return c.failureWith("Reference does not exist")
	}
	err := c.repo.Refs.Update(c.ctx(), name, *q.SHA, q.Force)
	switch {
	case errors.Is(err, ErrNotFastForward):
		return c.failureWith("Update is not a fast forward")
	case errors.Is(err, ErrNotFound):
		return c.failureWith("Object does not exist")
	case err != nil:
		return c.broken(err)
	}
	c.record(c.repo, c.cause())
	return c.refReply(http.StatusOK, name)
}

func (c *call) deleteRef() reply {
	name := "refs/" + c.r.PathValue("ref")
	if c.lockedRef(name) {
		return c.failureWith("Cannot delete a tag of an immutable release") // text unconfirmed
	}
	err := c.repo.Refs.Delete(c.ctx(), name)
	if errors.Is(err, ErrNotFound) {
		return c.failureWith("Reference does not exist")
	} else if err != nil {
		return c.broken(err)
	}
	c.record(c.repo, c.cause())
	c.settle(c.repo)
	return reply{status: http.StatusNoContent}
}

func (c *call) lockedRef(name string) bool {
	tag, ok := strings.CutPrefix(name, "refs/tags/")
	return ok && c.repo.tagLocked(tag)
}

// createTag makes a tag object. Nothing points at it until a ref is made.
func (c *call) createTag() reply {
	var q struct {
		Tag     *string `json:"tag"`
		Message *string `json:"message"`
		Object  *string `json:"object"`
		Type    *string `json:"type"`
		Tagger  *struct {
			Name, Email string
			Date        time.Time
		} `json:"tagger"`
	}
	if bad := c.parse(&q); bad != nil {
		return *bad
	}
	if bad := c.empty(); bad != nil {
		return *bad
	}
	if q.Tag == nil || q.Message == nil || q.Object == nil || q.Type == nil {
		return c.failureWith("Invalid request.\n\n\"tag\", \"message\", \"object\", \"type\" must be supplied.")
	}
	if !wellFormed("refs/tags/" + *q.Tag) {
		return c.failureWith("Tag name is not well-formed") // text unconfirmed
	}
	t := Tag{
		Name: *q.Tag, Message: *q.Message, Target: Object{SHA: *q.Object, Type: *q.Type},
		Tagger: Signature{Name: c.token.Login, Email: c.token.Login + "@users.noreply.example.invalid", When: c.now()},
	}
	if q.Tagger != nil {
		t.Tagger.Name, t.Tagger.Email = q.Tagger.Name, q.Tagger.Email
		if !q.Tagger.Date.IsZero() {
			t.Tagger.When = q.Tagger.Date
		}
		if strings.ContainsAny(t.Tagger.Name+t.Tagger.Email, "<>\n\x00") {
			return c.failureWith("Invalid tagger")
		}
	}
	t, err := c.repo.Refs.CreateTagObject(c.ctx(), t)
	if errors.Is(err, ErrNotFound) {
		return c.failureWith("Object does not exist") // text unconfirmed
	} else if err != nil {
		return c.broken(err)
	}
	return reply{http.StatusCreated, c.tagJSON(t), http.Header{"Location": {c.api(c.repo, "/git/tags/"+t.SHA)}}}
}

func (c *call) getTag() reply {
	t, err := c.repo.Refs.TagObject(c.ctx(), c.r.PathValue("sha"))
	if errors.Is(err, ErrNotFound) {
		return c.notFound()
	} else if err != nil {
		return c.broken(err)
	}
	return reply{http.StatusOK, c.tagJSON(t), nil}
}

func (c *call) tagJSON(t Tag) map[string]any {
	return map[string]any{
		"node_id": "TA_" + t.SHA[:24], "tag": t.Name, "sha": t.SHA, "url": c.api(c.repo, "/git/tags/"+t.SHA),
		"message": t.Message, "tagger": signatureJSON(t.Tagger), "object": c.objectJSON(t.Target),
		"verification": verificationJSON(t.PGPSignature),
	}
}

func signatureJSON(s Signature) map[string]any {
	return map[string]any{"name": s.Name, "email": s.Email, "date": stamp(s.When)}
}

// verificationJSON never says verified: the twin knows nobody's keys.
func verificationJSON(signature string) map[string]any {
	v := map[string]any{"verified": false, "reason": "unsigned", "signature": nil, "payload": nil, "verified_at": nil}
	if signature != "" {
		v["reason"], v["signature"] = "unknown_key", signature
	}
	return v
}

func (c *call) getCommit() reply {
	k, err := c.repo.Refs.Commit(c.ctx(), c.r.PathValue("sha"))
	if errors.Is(err, ErrNotFound) {
		return c.notFound()
	} else if err != nil {
		return c.broken(err)
	}
	parents := []map[string]any{}
	for _, p := range k.Parents {
		parents = append(parents, map[string]any{"sha": p, "url": c.api(c.repo, "/git/commits/"+p), "html_url": c.web(c.repo, "/commit/"+p)})
	}
	return reply{http.StatusOK, map[string]any{
		"sha": k.SHA, "node_id": "C_" + k.SHA[:24], "url": c.api(c.repo, "/git/commits/"+k.SHA),
		"html_url": c.web(c.repo, "/commit/"+k.SHA), "author": signatureJSON(k.Author),
		"committer": signatureJSON(k.Committer), "message": k.Message,
		"tree":    map[string]any{"sha": k.Tree, "url": c.api(c.repo, "/git/trees/"+k.Tree)},
		"parents": parents, "verification": verificationJSON(""),
	}, nil}
}

// compare is GET /compare/{base}...{head}; commits are paged, files are on the
// first page.
func (c *call) compare() reply {
	base, head, ok := strings.Cut(c.r.PathValue("basehead"), "...")
	if !ok || base == "" || head == "" {
		return c.notFound()
	}
	from, err := resolve(c.ctx(), c.repo.Refs, base)
	if err != nil {
		return c.notFound()
	}
	to, err := resolve(c.ctx(), c.repo.Refs, head)
	if err != nil {
		return c.notFound()
	}
	diff, err := c.repo.Refs.Compare(c.ctx(), from, to)
	if errors.Is(err, ErrNoCommonAncestor) {
		return c.failure(http.StatusNotFound, fmt.Sprintf("No common ancestor between %s and %s.", base, head))
	} else if err != nil {
		return c.broken(err)
	}
	status := "identical"
	switch {
	case len(diff.Ahead) > 0 && diff.Behind > 0:
		status = "diverged"
	case len(diff.Ahead) > 0:
		status = "ahead"
	case diff.Behind > 0:
		status = "behind"
	}
	some, header := page(c, diff.Ahead)
	commits := []map[string]any{}
	for _, k := range some {
		commits = append(commits, c.commitJSON(k))
	}
	var ends []map[string]any
	for _, sha := range []string{from, diff.MergeBase} {
		k, err := c.repo.Refs.Commit(c.ctx(), sha)
		if err != nil {
			return c.broken(err)
		}
		ends = append(ends, c.commitJSON(k))
	}
	files := []map[string]any{}
	for _, f := range diff.Files {
		files = append(files, map[string]any{
			"sha": f.SHA, "filename": f.Name, "status": f.Status, "additions": f.Additions, "deletions": f.Deletions,
			"changes": f.Additions + f.Deletions, "blob_url": c.web(c.repo, "/blob/"+to+"/"+escape(f.Name)),
			"raw_url": c.web(c.repo, "/raw/"+to+"/"+escape(f.Name)), "contents_url": c.api(c.repo, "/contents/"+escape(f.Name)+"?ref="+to),
		})
	}
	path := "/compare/" + escape(base) + "..." + escape(head)
	return reply{http.StatusOK, map[string]any{
		"url": c.api(c.repo, path), "html_url": c.web(c.repo, path), "permalink_url": c.web(c.repo, "/compare/"+from[:7]+"..."+to[:7]),
		"diff_url": c.web(c.repo, path+".diff"), "patch_url": c.web(c.repo, path+".patch"),
		"base_commit": ends[0], "merge_base_commit": ends[1], "status": status, "ahead_by": len(diff.Ahead),
		"behind_by": diff.Behind, "total_commits": len(diff.Ahead), "commits": commits, "files": files,
	}, header}
}

func (c *call) commitJSON(k Commit) map[string]any {
	url := c.api(c.repo, "/commits/"+k.SHA)
	parents := []map[string]any{}
	for _, p := range k.Parents {
		parents = append(parents, map[string]any{"sha": p, "url": c.api(c.repo, "/commits/"+p), "html_url": c.web(c.repo, "/commit/"+p)})
	}
	return map[string]any{
		"url": url, "sha": k.SHA, "node_id": "C_" + k.SHA[:24], "html_url": c.web(c.repo, "/commit/"+k.SHA), "comments_url": url + "/comments",
		"commit": map[string]any{
			"url": c.api(c.repo, "/git/commits/"+k.SHA), "author": signatureJSON(k.Author), "committer": signatureJSON(k.Committer),
			"message": k.Message, "comment_count": 0, "tree": map[string]any{"sha": k.Tree, "url": c.api(c.repo, "/git/trees/"+k.Tree)},
			"verification": verificationJSON(""),
		},
		"author": nil, "committer": nil, "parents": parents,
	}
}
