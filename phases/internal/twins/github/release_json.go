package github

import "fmt"

// releaseJSON has the keys of schema release, and assetJSON those of
// release-asset.
type releaseJSON struct {
	URL         string         `json:"url"`
	AssetsURL   string         `json:"assets_url"`
	UploadURL   string         `json:"upload_url"`
	HTMLURL     string         `json:"html_url"`
	ID          int64          `json:"id"`
	Author      map[string]any `json:"author"`
	NodeID      string         `json:"node_id"`
	TagName     string         `json:"tag_name"`
	Target      string         `json:"target_commitish"`
	Name        *string        `json:"name"`
	Draft       bool           `json:"draft"`
	Immutable   bool           `json:"immutable"`
	Prerelease  bool           `json:"prerelease"`
	CreatedAt   string         `json:"created_at"`
	PublishedAt *string        `json:"published_at"`
	Assets      []assetJSON    `json:"assets"`
	TarballURL  *string        `json:"tarball_url"`
	ZipballURL  *string        `json:"zipball_url"`
	Body        *string        `json:"body"`
}

type assetJSON struct {
	URL           string         `json:"url"`
	ID            int64          `json:"id"`
	NodeID        string         `json:"node_id"`
	Name          string         `json:"name"`
	Label         *string        `json:"label"`
	Uploader      map[string]any `json:"uploader"`
	ContentType   string         `json:"content_type"`
	State         string         `json:"state"`
	Size          int64          `json:"size"`
	Digest        *string        `json:"digest"`
	DownloadCount int            `json:"download_count"`
	CreatedAt     string         `json:"created_at"`
	UpdatedAt     string         `json:"updated_at"`
	BrowserURL    string         `json:"browser_download_url"`
}

func (c *call) releaseJSON(rel *release) releaseJSON {
	r := c.repo
	base := c.api(r, fmt.Sprintf("/releases/%d", rel.id))
	j := releaseJSON{
		URL: base, AssetsURL: base + "/assets",
		UploadURL: fmt.Sprintf("%srepos/%s/%s/releases/%d/assets{?name,label}", c.shown(hostUploads), r.Owner, r.Name, rel.id),
		HTMLURL:   c.web(r, "/releases/tag/"+escape(rel.page())),
		ID:        rel.id, Author: c.user(rel.author), NodeID: nodeID("RE", rel.id),
		TagName: rel.tag, Target: rel.target, Name: rel.name, Body: rel.body,
		Draft: rel.draft, Immutable: rel.immutable, Prerelease: rel.prerelease,
		CreatedAt: stamp(rel.created), Assets: []assetJSON{},
	}
	if !rel.draft {
		at, tar, zip := stamp(rel.published), c.api(r, "/tarball/"+escape(rel.tag)), c.api(r, "/zipball/"+escape(rel.tag))
		j.PublishedAt, j.TarballURL, j.ZipballURL = &at, &tar, &zip
	}
	now := c.clock.Now()
	for _, a := range rel.assets {
		// Left-over starters are missing here while the release's own listing
		// of assets shows them: read in public threads.
		if a.state == uploaded && !a.stale.hides(now) {
			j.Assets = append(j.Assets, c.assetJSON(rel, a))
		}
	}
	return j
}

// page is the last part of the release's html_url and of its downloads' URLs:
// the tag, for a draft a name that nobody knows.
func (r *release) page() string {
	if r.draft {
		return r.untagged()
	}
	return r.tag
}

func (c *call) assetJSON(rel *release, a *asset) assetJSON {
	j := assetJSON{
		URL: c.api(c.repo, fmt.Sprintf("/releases/assets/%d", a.id)), ID: a.id, NodeID: nodeID("RA", a.id),
		Name: a.name, Label: a.label, Uploader: c.user(a.uploader), ContentType: a.contentType, State: a.state,
		Size: a.size, DownloadCount: a.downloads, CreatedAt: stamp(a.created), UpdatedAt: stamp(a.updated),
		BrowserURL: c.web(c.repo, "/releases/download/"+escape(rel.page())+"/"+escape(a.name)),
	}
	if a.state == uploaded && !a.undigested.hides(c.clock.Now()) {
		d := "sha256:" + a.sha256
		j.Digest = &d
	}
	return j
}
