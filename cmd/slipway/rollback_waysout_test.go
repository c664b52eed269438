package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases"
	"github.com/imrightguy/slipway/pipeline/journal"
)

// follow runs the command that a hint names behind some words, as a shell reads it, with --yes.
func (x *trial) follow(ctx context.Context, said, words string) (code int, out string) {
	x.t.Helper()
	_, command, found := strings.Cut(said, words)
	if !found {
		x.t.Fatalf("want %q in\n%s", words, said)
	}
	command, _, _ = strings.Cut(command, "\n")
	program, err := crashtest()
	if err != nil {
		x.t.Fatal(err)
	}
	bin := x.t.TempDir()
	if err := os.Symlink(program, filepath.Join(bin, "slipway")); err != nil {
		x.t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", command+" --yes")
	cmd.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + filepath.Dir(x.dir), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull, "TERM=dumb", "NO_COLOR=1", "SLIPWAY_TWINS=" + x.twins}
	b, err := cmd.CombinedOutput()
	if exit, is := errors.AsType[*exec.ExitError](err); err != nil && !is {
		x.t.Fatal(err)
	} else if is {
		return exit.ExitCode(), command + "\n" + string(b)
	}
	return 0, command + "\n" + string(b)
}

// TestRollback_WaysOut: a refusal names the whole command with which one gets on, whatever the options hold; whoever follows
// it literally gets there.
func TestRollback_WaysOut(t *testing.T) {
	needTools(t, "git")
	x := newRollbackTemplate(t, false)
	const reason = `it's $(slow); "x" --yes`
	t.Run("immutable", func(t *testing.T) {
		s, r := x.out(t, func(o *phases.RehearsalOptions) { o.Twins.Immutable = true })
		code, said := r.back("--delete", "--delete-tag", "--to", "0.0.9", "--level", "github,git,hold", "--reason", reason)
		if code != 3 || strings.Contains(said, "and commit") {
			t.Fatalf("%d\n%s", code, said)
		}
		if code, said = r.back(); code != 3 { // it goes on as it was begun, and stops there again
			t.Fatalf("%d\n%s", code, said)
		}
		if code, said = r.follow(t.Context(), said, "without deleting anything: "); code != 0 || !strings.Contains(said, "--to 0.0.9 --level github,git,hold --reason ") {
			t.Fatalf("%d\n%s", code, said)
		}
		for _, rel := range s.World().GitHub.History(owner, project).Last().Releases {
			if rel.Tag == tagName && (rel.Draft || !strings.Contains(rel.Body, "has been withdrawn: use 0.0.9. it's $(slow); \"x\" --yes\n")) {
				t.Errorf("draft %v, %q", rel.Draft, rel.Body)
			}
		}
		if text := s.origin("show", "main:.slipway/holds/"+released+".json"); !strings.Contains(text, `it's $(slow); \"x\" --yes`) {
			t.Error(text)
		}
		// To the same version for another reason: it says so already.
		if code, said := r.back("--level", "github", "--reason", "another one"); code != 0 {
			t.Errorf("%d\n%s", code, said)
		}
		for _, rel := range s.World().GitHub.History(owner, project).Last().Releases {
			if rel.Tag == tagName && strings.Count(rel.Body, "[!CAUTION]") != 1 {
				t.Errorf("%q", rel.Body)
			}
		}
	})
	t.Run("plain", func(t *testing.T) {
		s, r := x.out(t)
		for _, c := range []struct{ args, says string }{
			{"--level=", "--level is empty: name some of aur, github, git, hold"},
			{"--to=", "--to is empty"},
			{"--epoch", "--epoch belongs to level aur"},
			{"--level aur,hold", "the release never reached the AUR; what can be taken: --level github,git,hold"},
			{"--level git --delete-tag", "add level github"},
			{"--level github --delete-tag", "--delete-tag belongs to level git"},
			{"--level git --delete", "add level github"},
			{"--to 0.1.0", "to bring users something newer, release it"},
			{"--level moon", "want some of aur, github, git, hold"},
		} {
			if code, said := r.back(strings.Fields(c.args)...); code != 2 || !strings.Contains(said, c.says) {
				t.Errorf("%s: %d, want %q in\n%s", c.args, code, c.says, said)
			}
		}
		// A release under way goes on reaching users.
		lock, err := journal.Open(r.journalDir())
		if err != nil {
			t.Fatal(err)
		}
		if code, said := r.back(); code != 6 {
			t.Errorf("beside a run: %d\n%s", code, said)
		}
		lock.Close()
		// People have added a file and edited the notes.
		id := r.receipt("release/draft")["id"]
		s.call(http.MethodPost, fmt.Sprintf("https://uploads.github.com/%s/%s/assets?name=installer.exe", releasesURL, id), "people's", nil)
		s.call(http.MethodPatch, "https://api.github.com/"+releasesURL+"/"+id, `{"body": "by hand"}`, nil)
		code, said := r.back("--delete", "--reason", reason)
		if code != 3 || !strings.Contains(said, "installer.exe, which the release did not upload and which would be lost: save it") || strings.Contains(said, "SHA256SUMS, which") {
			t.Fatalf("%d\n%s", code, said)
		}
		// The version that users would be brought back to was taken from them as well.
		if code, said := r.slipway("hold", "0.0.9", "--reason", "it eats files", "--yes"); code != 0 {
			t.Fatalf("%d\n%s", code, said)
		}
		code, said = r.follow(t.Context(), said, "without deleting anything: ")
		if code != 3 || !strings.Contains(said, "0.0.9 is held since") || !strings.Contains(said, "it eats files; name another version with --to, or lift that hold") {
			t.Fatalf("%d\n%s", code, said)
		}
		if code, said := r.slipway("hold", "0.0.9", "--lift", "--reason", "it does not", "--yes"); code != 0 {
			t.Fatalf("%d\n%s", code, said)
		}
		if code, said = r.back(); code != 0 || !strings.Contains(said, "people have added installer.exe") || !strings.Contains(said, "its notes have been edited") {
			t.Fatalf("%d\n%s", code, said)
		}
		if !s.isDraft() {
			t.Error("the release is public")
		}
	})
}
