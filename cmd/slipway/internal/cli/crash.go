//go:build crashtest

package cli

import "github.com/imrightguy/slipway/cmd/slipway/internal/crash"

func init() { wrapJournal = crash.Journal }
