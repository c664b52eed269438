package github

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strconv"
	"time"
)

// A Workflow is a file below .github/workflows that can be dispatched. Its runs
// wait for an approval when it deploys to environments.
type Workflow struct {
	Path         string // ".github/workflows/release.yml"
	Environments []string
}

// A run is one run of a workflow. Nothing is executed: it waits for its
// environments and is complete when all are approved.
type run struct {
	id, number int64
	workflow   int
	branch     string
	sha        string
	inputs     map[string]json.RawMessage
	pending    []environment
	rejected   bool
	at         time.Time
}

type environment struct {
	id   int64
	name string
}

func (c *call) dispatch() reply {
	index := slices.IndexFunc(c.repo.Workflows, func(w Workflow) bool {
		return c.r.PathValue("workflow") == path.Base(w.Path)
	})
	if n, err := strconv.Atoi(c.r.PathValue("workflow")); err == nil && n >= 1 && n <= len(c.repo.Workflows) {
		index = n - 1 // ids of workflows count from 1 here
	}
	if index < 0 {
		return c.notFound()
	}
	var q struct {
		Ref    *string                    `json:"ref"`
		Inputs map[string]json.RawMessage `json:"inputs"`
		Return bool                       `json:"return_run_details"`
	}
	if bad := c.parse(&q); bad != nil {
		return *bad
	}
	if q.Ref == nil {
		return c.failureWith("Invalid request.\n\n\"ref\" wasn't supplied.")
	}
	sha, err := resolve(c.ctx(), c.repo.Refs, *q.Ref)
	if err != nil {
		return c.failureWith("No ref found for: " + *q.Ref)
	}
	if len(q.Inputs) > 25 {
		return c.failureWith("You may only define up to 25 inputs for a workflow dispatch event")
	}
	n := &run{
		id: c.nextID(), number: int64(len(c.repo.runs) + 1), workflow: index, branch: *q.Ref, sha: sha, inputs: q.Inputs, at: c.now(),
	}
	for _, e := range c.repo.Workflows[index].Environments {
		n.pending = append(n.pending, environment{c.nextID(), e})
	}
	c.repo.runs = append(c.repo.runs, n)
	if !q.Return {
		return reply{status: http.StatusNoContent}
	}
	return reply{http.StatusOK, map[string]any{
		"workflow_run_id": n.id, "run_url": c.api(c.repo, fmt.Sprintf("/actions/runs/%d", n.id)),
		"html_url": c.web(c.repo, fmt.Sprintf("/actions/runs/%d", n.id)),
	}, nil}
}

func (c *call) run() *run {
	for _, n := range c.repo.runs {
		if n.id == c.number("id") {
			return n
		}
	}
	return nil
}

func (c *call) listRuns() reply {
	all := slices.Clone(c.repo.runs)
	slices.Reverse(all)
	some, header := page(c, all)
	list := []map[string]any{}
	for _, n := range some {
		list = append(list, c.runJSON(n))
	}
	return reply{http.StatusOK, map[string]any{"total_count": len(all), "workflow_runs": list}, header}
}

func (c *call) getRun() reply {
	n := c.run()
	if n == nil {
		return c.notFound()
	}
	return reply{http.StatusOK, c.runJSON(n), nil}
}

func (c *call) runJSON(n *run) map[string]any {
	status, conclusion := "completed", any("success")
	switch {
	case n.rejected:
		conclusion = "failure"
	case len(n.pending) > 0:
		status, conclusion = "waiting", nil
	}
	base := c.api(c.repo, fmt.Sprintf("/actions/runs/%d", n.id))
	var head map[string]any
	if k, err := c.repo.Refs.Commit(c.ctx(), n.sha); err == nil {
		head = map[string]any{
			"id": k.SHA, "tree_id": k.Tree, "message": k.Message, "timestamp": stamp(k.Committer.When),
			"author":    map[string]any{"name": k.Author.Name, "email": k.Author.Email},
			"committer": map[string]any{"name": k.Committer.Name, "email": k.Committer.Email},
		}
	}
	w := c.repo.Workflows[n.workflow]
	return map[string]any{
		"id": n.id, "node_id": nodeID("WFR", n.id), "name": path.Base(w.Path), "head_branch": n.branch, "head_sha": n.sha, "path": w.Path,
		"run_number": n.number, "run_attempt": 1, "event": "workflow_dispatch", "status": status, "conclusion": conclusion,
		"workflow_id": n.workflow + 1, "url": base, "html_url": c.web(c.repo, fmt.Sprintf("/actions/runs/%d", n.id)),
		"pull_requests": []any{}, "created_at": stamp(n.at), "updated_at": stamp(n.at), "jobs_url": base + "/jobs",
		"logs_url": base + "/logs", "check_suite_url": c.api(c.repo, fmt.Sprintf("/check-suites/%d", n.id)),
		"artifacts_url": base + "/artifacts", "cancel_url": base + "/cancel", "rerun_url": base + "/rerun",
		"workflow_url": c.api(c.repo, fmt.Sprintf("/actions/workflows/%d", n.workflow+1)), "display_title": path.Base(w.Path),
		"head_commit": head, "repository": c.minimal(c.repo), "head_repository": c.minimal(c.repo),
	}
}

func (c *call) listPending() reply {
	n := c.run()
	if n == nil {
		return c.notFound()
	}
	list := []map[string]any{}
	for _, e := range n.pending {
		list = append(list, map[string]any{
			"environment": map[string]any{
				"id": e.id, "node_id": nodeID("EN", e.id), "name": e.name,
				"url": c.api(c.repo, "/environments/"+escape(e.name)), "html_url": c.web(c.repo, "/deployments"),
			},
			"wait_timer": 0, "wait_timer_started_at": nil, "reviewers": []any{},
			"current_user_can_approve": c.token.may(c.repo, Deployments, Write) && c.token != nil,
		})
	}
	return reply{http.StatusOK, list, nil}
}

func (c *call) reviewPending() reply {
	n := c.run()
	if n == nil {
		return c.notFound()
	}
	var q struct {
		IDs     []int64 `json:"environment_ids"`
		State   string  `json:"state"`
		Comment *string `json:"comment"`
	}
	if bad := c.parse(&q); bad != nil {
		return *bad
	}
	if q.Comment == nil || len(q.IDs) == 0 || (q.State != "approved" && q.State != "rejected") {
		return c.failureWith("Invalid request.\n\n\"environment_ids\", \"state\", \"comment\" must be supplied.")
	}
	for _, id := range q.IDs {
		if !slices.ContainsFunc(n.pending, func(e environment) bool { return e.id == id }) {
			return c.failureWith(fmt.Sprintf("No pending deployment requests to approve or reject for environment %d", id)) // text unconfirmed
		}
	}
	list := []map[string]any{}
	for _, id := range q.IDs {
		i := slices.IndexFunc(n.pending, func(e environment) bool { return e.id == id })
		if i < 0 {
			continue // named twice
		}
		e := n.pending[i]
		n.pending = slices.Delete(n.pending, i, i+1)
		base := c.api(c.repo, fmt.Sprintf("/deployments/%d", e.id))
		list = append(list, map[string]any{
			"url": base, "id": e.id, "node_id": nodeID("DE", e.id), "sha": n.sha, "ref": n.branch, "task": "deploy",
			"payload": map[string]any{}, "original_environment": e.name, "environment": e.name, "description": nil,
			"creator": c.user(c.token.Login), "created_at": stamp(n.at), "updated_at": stamp(c.now()),
			"statuses_url": base + "/statuses", "repository_url": c.api(c.repo, ""),
		})
	}
	n.rejected = n.rejected || q.State == "rejected"
	return reply{http.StatusOK, list, nil}
}
