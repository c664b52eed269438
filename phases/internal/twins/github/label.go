package github

import (
	"net/http"
	"regexp"
	"strings"
)

// A label is here because GitHub's error bodies are recorded with labels.
type label struct {
	id          int64
	name, color string
	description *string
}

var colour = regexp.MustCompile(`^[0-9A-Fa-f]{6}$`)

func (c *call) createLabel() reply {
	var q struct {
		Name        *string `json:"name"`
		Color       *string `json:"color"`
		Description *string `json:"description"`
	}
	if bad := c.parse(&q); bad != nil {
		return *bad
	}
	l := label{color: "ededed", description: q.Description}
	if q.Name == nil || *q.Name == "" {
		return c.invalid(fieldError{Resource: "Label", Code: "missing_field", Field: "name"})
	}
	l.name = *q.Name
	if q.Color != nil {
		l.color = *q.Color
	}
	if !colour.MatchString(l.color) {
		return c.invalid(fieldError{Resource: "Label", Code: "invalid", Field: "color"})
	}
	for _, other := range c.repo.labels {
		if strings.EqualFold(other.name, l.name) {
			return c.invalid(fieldError{Resource: "Label", Code: "already_exists", Field: "name"})
		}
	}
	l.id = c.nextID()
	c.repo.labels = append(c.repo.labels, l)
	return reply{http.StatusCreated, c.labelJSON(l), nil}
}

func (c *call) listLabels() reply {
	some, header := page(c, c.repo.labels)
	list := []map[string]any{}
	for _, l := range some {
		list = append(list, c.labelJSON(l))
	}
	return reply{http.StatusOK, list, header}
}

func (c *call) labelJSON(l label) map[string]any {
	return map[string]any{
		"id": l.id, "node_id": nodeID("LA", l.id), "url": c.api(c.repo, "/labels/"+escape(l.name)), "name": l.name,
		"description": l.description, "color": l.color, "default": false,
	}
}
