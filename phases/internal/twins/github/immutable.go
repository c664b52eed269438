package github

import "net/http"

// getImmutable is 404 both when the setting is off and when the bearer may not
// look at settings.
func (c *call) getImmutable() reply {
	on := c.repo.Immutable || c.repo.ImmutableByOwner
	if !on || !c.token.may(c.repo, Administration, Read) {
		return c.notFound()
	}
	return reply{http.StatusOK, map[string]bool{"enabled": true, "enforced_by_owner": c.repo.ImmutableByOwner}, nil}
}

// putImmutable holds for releases published from now on.
func (c *call) putImmutable() reply {
	c.repo.Immutable = true
	return reply{status: http.StatusNoContent}
}

// deleteImmutable leaves releases immutable that are; an organisation's setting
// cannot be undone here (409).
func (c *call) deleteImmutable() reply {
	if c.repo.ImmutableByOwner {
		return c.failure(http.StatusConflict, "Immutable releases are enforced by the owner")
	}
	c.repo.Immutable = false
	return reply{status: http.StatusNoContent}
}
