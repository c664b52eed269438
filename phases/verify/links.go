package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// maxLinks bounds how many links of the notes are followed.
const maxLinks = 50

// address finds links in Markdown and in plain text. What follows a sentence, or closes a bracket, is no part of one.
var address = regexp.MustCompile(`https?://[^\s<>"'` + "`" + `\\^{}|]+`)

// Links lists the addresses in a text, in order, each once.
func Links(text string) (links []string) {
	for {
		at := address.FindStringIndex(text)
		if at == nil {
			return links
		}
		link := trim(text[at[0]:at[1]])
		if !slices.Contains(links, link) {
			links = append(links, link)
		}
		text = text[at[0]+len(link):]
	}
}

// trim cuts off an address what belongs to the text around it.
func trim(link string) string {
	if i := strings.Index(link, "]("); i >= 0 { // [https://a](https://b)
		link = link[:i]
	}
	for {
		cut := strings.TrimRight(link, ".,;:!?*_~")
		for _, pair := range []string{"()", "[]"} {
			if strings.HasSuffix(cut, pair[1:]) && strings.Count(cut, pair[1:]) > strings.Count(cut, pair[:1]) {
				cut = cut[:len(cut)-1]
			}
		}
		if cut == link {
			return link
		}
		link = cut
	}
}

// links follows those of the notes. A bad one is a finding of its own, good ones are one together.
func (l *looker) links(ctx context.Context) {
	if l.published.ID == 0 {
		return
	}
	links := Links(l.published.Body)
	if len(links) > maxLinks {
		l.unknown("links of the notes", fmt.Errorf("there are %d, the first %d are followed", len(links), maxLinks))
		links = links[:maxLinks]
	}
	good := 0
	for _, link := range links {
		l.say(shown(link))
		before := len(l.out)
		l.link(ctx, "link", link)
		if f := l.out[before]; f.OK() {
			l.out, good = l.out[:before], good+1
		}
	}
	if good > 0 {
		l.pass("links of the notes", "%d lead somewhere", good)
	}
}

// link follows one.
func (l *looker) link(ctx context.Context, what, link string) {
	u, err := url.Parse(link)
	if err != nil {
		l.fail(what, "%s: it is no address", shown(link))
		return
	}
	page, err := url.Parse(l.Page)
	if err == nil && strings.EqualFold(u.Host, page.Host) {
		if done := l.own(what, u); done {
			return
		}
	}
	if strings.HasSuffix(u.Path, ".git") && u.RawQuery == "" { // a repository to be cloned: there is no page
		u.Path, u.RawQuery = u.Path+"/info/refs", "service=git-upload-pack"
		_, err = l.fetch.get(ctx, http.MethodGet, u.String(), io.Discard)
	} else {
		err = l.fetch.there(ctx, link)
	}
	switch {
	case errors.Is(err, errAbsent):
		l.fail(what, "%s: %v", shown(link), err)
	case err != nil:
		l.unknown(what, fmt.Errorf("%s: %w", shown(link), err))
	default:
		l.pass(what, "%s is there", shown(link))
	}
}

// own judges links to the repository itself by what is known of it: a misspelt name may be redirected today, to somebody
// else's repository tomorrow. done is false where it has to be followed.
func (l *looker) own(what string, u *url.URL) (done bool) {
	parts := strings.Split(strings.Trim(u.EscapedPath(), "/"), "/")
	name := l.names.FullName
	if len(parts) < 2 || name == "" {
		return false
	}
	owner, repo, _ := strings.Cut(name, "/")
	if is := parts[0] + "/" + strings.TrimSuffix(parts[1], ".git"); strings.EqualFold(is, name) && is != name {
		l.fail(what, "%s: the repository is spelt %s", shown(u.String()), name)
		return true
	}
	if parts[0] != owner || strings.TrimSuffix(parts[1], ".git") != repo {
		return false
	}
	if len(parts) == 2 {
		l.pass(what, "%s is the repository", shown(u.String()))
		return true
	}
	asset, err := url.PathUnescape(parts[len(parts)-1])
	if len(parts) == 6 && parts[2] == "releases" && parts[3] == "download" && parts[4] == url.PathEscape(l.Tag) && err == nil && l.assets != nil {
		if _, there := l.assets[asset]; !there {
			l.fail(what, "%s: the release has no asset %s", shown(u.String()), asset)
		} else {
			l.pass(what, "%s is an asset", shown(u.String()))
		}
		return true
	}
	return false
}
