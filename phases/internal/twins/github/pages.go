package github

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// page cuts one page out of a listing and sets the Link header. Pages are
// offsets into what is there at the moment of each request, as at GitHub: a
// listing that changes between two pages shows an entry twice or not at all.
func page[T any](c *call, all []T) ([]T, http.Header) {
	perPage := atLeastOne(c.r.URL.Query().Get("per_page"), 30)
	number := atLeastOne(c.r.URL.Query().Get("page"), 1)
	perPage = min(perPage, 100)
	last := max(1, (len(all)+perPage-1)/perPage)
	h := http.Header{}
	var links []string
	link := func(n int, rel string) {
		q := c.r.URL.Query()
		q.Set("per_page", strconv.Itoa(perPage))
		q.Set("page", strconv.Itoa(n))
		u := url.URL{Path: strings.TrimPrefix(c.r.URL.Path, "/"), RawPath: strings.TrimPrefix(c.r.URL.EscapedPath(), "/"), RawQuery: q.Encode()}
		links = append(links, fmt.Sprintf("<%s%s>; rel=%q", c.shown(hostAPI), u.String(), rel))
	}
	if number > 1 {
		link(min(number-1, last), "prev")
	}
	if number < last {
		link(number+1, "next")
		link(last, "last")
	}
	if number > 1 {
		link(1, "first")
	}
	if len(links) > 0 {
		h.Set("Link", strings.Join(links, ", "))
	}
	if number > last {
		return all[:0], h
	}
	from := (number - 1) * perPage
	return all[from:min(from+perPage, len(all))], h
}

// atLeastOne reads a number of a query; what is no positive number is ignored.
func atLeastOne(s string, otherwise int) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return otherwise
	}
	return n
}
