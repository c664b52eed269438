package aur

import (
	"fmt"
	"strings"

	"github.com/imrightguy/slipway/phases/build/tarball"
	"github.com/imrightguy/slipway/pipeline"
)

// License is the 0BSD licence of the packaging files, which the AUR asks for.
func License(env *pipeline.Env, holder string) string {
	name, _, _ := strings.Cut(holder, " <")
	return fmt.Sprintf(zeroBSD, tarball.Time(env).Year(), name)
}

// zeroBSD is the text that SPDX has under 0BSD.
const zeroBSD = `Copyright (C) %d by %s

Permission to use, copy, modify, and/or distribute this software for any
purpose with or without fee is hereby granted.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH
REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF MERCHANTABILITY
AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT,
INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM
LOSS OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR
OTHER TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR
PERFORMANCE OF THIS SOFTWARE.
`
