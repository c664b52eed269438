package hub

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/imrightguy/slipway/pipeline"
)

// What can be asked of an error with [errors.Is].
var (
	// ErrUnknown says that a write was sent and its answer is lost: it may have had its effect. Look before trying again.
	ErrUnknown = errors.New("it is unknown whether this had an effect")
	// ErrUnavailable says that a read was tried as often as allowed.
	ErrUnavailable = errors.New("the server cannot be reached or keeps failing")
	// ErrLimited says that a limit of requests ends too late to wait for; [Error].Until tells when. Nothing was done.
	ErrLimited = errors.New("the limit of requests is reached")
	// ErrUnauthorized is 401.
	ErrUnauthorized = errors.New("the token is not valid, or no longer: give a new one")
	// ErrForbidden is a 403 that is no limit.
	ErrForbidden = errors.New("the token lacks a right: it needs to write the repository's contents")
	// ErrNotFound is 404. GitHub also answers so where a right is missing.
	ErrNotFound = errors.New("there is no such thing, or the token may not see it")
	// ErrExists is a 422 that says already_exists: the name of an asset or the tag of a release is taken.
	ErrExists = errors.New("the name is taken")
	// ErrImmutable says that a release is published and immutable.
	ErrImmutable = errors.New("the release is immutable")
	// ErrBurned says that an immutable release had this tag: it cannot be used again, ever.
	ErrBurned = errors.New("an immutable release had this tag, it can never be used again: release another version")
	// ErrRenamed says that GitHub stored an asset under another name.
	ErrRenamed = errors.New("the asset was stored under another name")
	// ErrChanged says that a file is not what it was planned to be.
	ErrChanged = errors.New("the file is not the planned one any more")
	// ErrMismatch says that downloaded bytes are not those wanted.
	ErrMismatch = errors.New("the bytes are not the planned ones")
	// errStalled ends a try whose deadline passed, or that moved no byte for too long.
	errStalled = errors.New("no answer in time")
)

// An Error is a request that failed.
type Error struct {
	// Op is the method and the URL without its query.
	Op string
	// Status is 0 when there was no answer.
	Status int
	// Message is the server's, on one line and without control characters; "" when the answer was no JSON.
	Message string
	// Codes are the codes of the answer's errors, such as already_exists.
	Codes []string
	// RequestID is X-GitHub-Request-Id, which GitHub's support asks for.
	RequestID string
	// Tries is how often the request was sent.
	Tries int
	// Until is when a limit ends, of ErrLimited.
	Until time.Time

	kind, cause error
}

// Error describes the failure on one line, with the request's id where there was one.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Status != 0 {
		fmt.Fprintf(&b, ": status %d", e.Status)
		if t := http.StatusText(e.Status); t != "" {
			b.WriteString(" " + t)
		}
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if len(e.Codes) > 0 {
		b.WriteString(" (" + strings.Join(e.Codes, ", ") + ")")
	}
	if e.cause != nil {
		b.WriteString(": " + e.cause.Error())
	}
	if e.kind != nil {
		b.WriteString(": " + e.kind.Error())
	}
	if !e.Until.IsZero() {
		b.WriteString(", until " + e.Until.UTC().Format(time.RFC3339))
	}
	var notes []string
	if e.RequestID != "" {
		notes = append(notes, "request "+e.RequestID)
	}
	if e.Tries > 1 {
		notes = append(notes, strconv.Itoa(e.Tries)+" tries")
	}
	if len(notes) > 0 {
		b.WriteString(" [" + strings.Join(notes, ", ") + "]")
	}
	return b.String()
}

// Unwrap gives what [errors.Is] looks at.
func (e *Error) Unwrap() []error {
	var list []error
	if e.kind != nil {
		list = append(list, e.kind)
	}
	if e.cause != nil {
		list = append(list, e.cause)
	}
	return list
}

// A ConflictError says that something else stands where something of ours should: a person must look. It is
// [pipeline.ErrConflict].
type ConflictError struct {
	// What is in the way, in words.
	What string
	// IDs are those of the releases or assets in the way.
	IDs []int64
}

// Error names what is in the way, with ids.
func (e *ConflictError) Error() string {
	ids := make([]string, len(e.IDs))
	for i, id := range e.IDs {
		ids[i] = strconv.FormatInt(id, 10)
	}
	return e.What + " (id " + strings.Join(ids, ", ") + ")"
}

// Is makes the error a [pipeline.ErrConflict].
func (e *ConflictError) Is(target error) bool { return target == pipeline.ErrConflict }

func operation(r *http.Request) string {
	return r.Method + " " + r.URL.Scheme + "://" + r.URL.Host + r.URL.EscapedPath()
}

// clean makes a server's text fit for one line of a message: no control characters, no token, not too long.
func clean(text string, token Token) string {
	if secret := token.value(); secret != "" {
		text = strings.ReplaceAll(text, secret, "[hidden]")
	}
	text = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)), " ")
	if list := []rune(text); len(list) > 300 {
		text = string(list[:300]) + "..."
	}
	return text
}
