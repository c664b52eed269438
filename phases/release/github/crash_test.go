package github

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/hub"
	twin "github.com/imrightguy/slipway/phases/internal/twins/github"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/journal"
	"github.com/imrightguy/slipway/pipeline/pipelinetest"
)

// jobVariable holds what a process of its own is to do; see job.
const jobVariable = "SLIPWAY_TEST_JOB"

// job is a run in a process of its own, which can be killed.
type job struct {
	Script    script
	Listeners map[string]string
	Dir       string
	// Record is the journal's record at which the process kills itself, before or after it is durable; 0: none.
	Record int
	Before bool
	// Upload is a file to bring to a draft instead, with its digest; see memory_test.go.
	Upload  *hub.File
	Release int64
}

func TestMain(m *testing.M) {
	text := os.Getenv(jobVariable)
	if text == "" {
		os.Exit(m.Run())
	}
	var j job
	err := json.Unmarshal([]byte(text), &j)
	if err == nil && j.Upload != nil {
		err = j.upload()
	} else if err == nil {
		err = j.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		if errors.Is(err, pipeline.ErrConflict) {
			os.Exit(5)
		}
		os.Exit(1)
	}
	os.Exit(0)
}

func (j job) endpoints() *endpoint.Endpoints {
	return &endpoint.Endpoints{
		HTTP: twin.Transport(j.Listeners), Pace: -1, Patience: time.Second,
		Token: func() (hub.Token, error) { return hub.NewToken(secret, "GITHUB_TOKEN") },
	}
}

func (j job) run() error {
	file, err := journal.Open(j.Dir)
	if err != nil {
		return err
	}
	defer file.Close()
	p, err := j.Script.plan(context.Background())
	if err != nil {
		return err
	}
	return p.Run(context.Background(), pipeline.Options{
		Journal: &deadly{Journal: file, at: j.Record, before: j.Before}, Endpoints: j.endpoints(),
		Dirs: pipeline.Dirs{Dist: filepath.Join(j.Dir, "dist"), Work: filepath.Join(j.Dir, "work")},
	})
}

// deadly is a journal whose process is killed at a record.
type deadly struct {
	*journal.Journal
	at, n  int
	before bool
}

func (d *deadly) Append(r pipeline.Record) error {
	d.n++
	die := func() {
		if p, err := os.FindProcess(os.Getpid()); err == nil {
			_ = p.Kill() // nothing runs after it
		}
		select {}
	}
	if d.n == d.at && d.before {
		die()
	}
	err := d.Journal.Append(r)
	if d.n == d.at {
		die()
	}
	return err
}

// start begins a job in a process of its own.
func (s *stage) start(j job) (*exec.Cmd, *bytes.Buffer) {
	s.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	j.Script, j.Listeners = s.script, s.twin.Listeners()
	text, err := json.Marshal(j)
	if err != nil {
		s.t.Fatal(err)
	}
	c := exec.CommandContext(s.t.Context(), exe)
	c.Env = append(os.Environ(), jobVariable+"="+string(text))
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	return c, &out
}

// finish runs the release to its end, whatever is there.
func (s *stage) finish(dir string) {
	s.t.Helper()
	c, out := s.start(job{Dir: dir})
	if err := c.Wait(); err != nil {
		s.t.Fatalf("the next run: %v: %s", err, out)
	}
	s.ended()
}

// killed tells that a process was ended by a signal and not by itself.
func killed(c *exec.Cmd) bool { return c.ProcessState.ExitCode() == -1 }

// some picks cases evenly, or all of them.
func some(n, most int) (list []int) {
	if long() {
		most = n
	}
	list = rand.New(rand.NewPCG(3, 4)).Perm(n)[:min(n, most)]
	slices.Sort(list)
	return list
}

// realtime is for other processes, which have the computer's clock.
func realtime(o *twin.Options) { o.Clock = nil }

// TestKilledAtEachRecord kills the process with SIGKILL before and after each record of the journal; the next run ends
// right, and there is one release with one of each asset.
func TestKilledAtEachRecord(t *testing.T) {
	s := newStage(t, realtime)
	dir := t.TempDir()
	s.finish(dir)
	records := 0
	for _, err := range journal.Read(dir).Records() {
		if err != nil {
			t.Fatal(err)
		}
		records++
	}
	for _, k := range some(2*records, 6) {
		t.Run(fmt.Sprintf("record %d before %v", k/2+1, k%2 == 0), func(t *testing.T) {
			t.Parallel()
			s := newStage(t, realtime)
			dir := t.TempDir()
			c, out := s.start(job{Dir: dir, Record: k/2 + 1, Before: k%2 == 0})
			if err := c.Wait(); !killed(c) {
				t.Fatalf("not killed: %v %s", err, out)
			}
			s.finish(dir)
		})
	}
}

// TestKilledAtEachRequest kills the process when a request has arrived and nothing was done, and when all was done and
// the answer has not left.
func TestKilledAtEachRequest(t *testing.T) {
	s := newStage(t, realtime)
	s.finish(t.TempDir())
	requests := len(s.twin.Requests())
	for _, k := range some(2*requests, 10) {
		t.Run(fmt.Sprintf("request %d handled %v", k/2+1, k%2 == 0), func(t *testing.T) {
			t.Parallel()
			var once sync.Once
			var ready sync.WaitGroup
			ready.Add(1)
			var c *exec.Cmd
			hook := func(r twin.Request) {
				if r.Seq == k/2+1 {
					once.Do(func() {
						ready.Wait()
						_ = c.Process.Kill()
						deadline := time.Now().Add(10 * time.Second)
						for time.Now().Before(deadline) && alive(c.Process.Pid) {
							time.Sleep(time.Millisecond)
						}
					})
				}
			}
			s := newStage(t, realtime, func(o *twin.Options) {
				if k%2 == 0 {
					o.Handled = hook
				} else {
					o.Arrived = hook
				}
			})
			dir := t.TempDir()
			var out *bytes.Buffer
			c, out = s.start(job{Dir: dir})
			ready.Done()
			if err := c.Wait(); !killed(c) {
				t.Fatalf("not killed: %v %s", err, out)
			}
			s.finish(dir)
		})
	}
}

// alive tells whether a process still runs: one that has ended, and is not waited for yet, does not.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, after, ok := strings.Cut(string(b), ") ")
	return ok && !strings.HasPrefix(after, "Z") && !strings.HasPrefix(after, "X")
}

// memoryJournal forgets: for a process that runs once.
type memoryJournal = pipelinetest.Memory
