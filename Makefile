# eidbridge. `make demo` and `make test` are all a newcomer needs: each installs
# the Debian packages it misses, builds and runs. Everything else is for
# contributors; the README says when.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# An older installed Go fetches the one that go.mod names.
export GOTOOLCHAIN := auto
# Nothing changes go.mod and go.sum on the way.
export GOFLAGS := -mod=readonly
GO ?= go

# Pinned tools. They run outside the module, so their dependencies never enter
# go.mod; the toolchain is named because `go run pkg@version` ignores ours.
GO_VERSION := $(shell sed -n 's/^go //p' go.mod)
GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# The key management service that brokers/envelope/kms is tested with.
MOTO := moto[server]==5.2.5
# Strangers that judge the broker or run beside it, built into .cache/bin.
OAUTH2_PROXY := github.com/oauth2-proxy/oauth2-proxy/v7@v7.15.2
DEX_NAME := 2.45.1
DEX := v0.0.0-20260303133905-11d2eeb52b42

# What each target needs, as command or file = Debian package. A command that is
# there already, from wherever, is not installed again.
# Without a list of authorities Go fetches neither modules nor a newer Go, and a
# minimal Debian has none.
FETCH_NEEDS := /etc/ssl/certs/ca-certificates.crt|/etc/pki/tls/certs/ca-bundle.crt=ca-certificates
BUILD_NEEDS := $(FETCH_NEEDS) gcc=gcc pkg-config=pkg-config /usr/include/PCSC/winscard.h=libpcsclite-dev /usr/include/stdlib.h=libc6-dev
CARD_NEEDS := pcscd=pcscd /usr/lib/pcsc/drivers/serial/libifdvpcd.so=vsmartcard-vpcd
# The demo asks a person through any pinentry there is.
DEMO_NEEDS := $(BUILD_NEEDS) $(CARD_NEEDS) \
	pinentry|pinentry-gnome3|pinentry-qt|pinentry-gtk-2|pinentry-curses|pinentry-tty=pinentry-curses
TEST_NEEDS := $(BUILD_NEEDS) $(CARD_NEEDS) git=git opensc-tool=opensc \
	/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so|/usr/lib/aarch64-linux-gnu/opensc-pkcs11.so=opensc-pkcs11 \
	openssl=openssl ip=iproute2 nginx=nginx-light xmlsec1=xmlsec1 xmllint=libxml2-utils qpdf=qpdf pdfsig=poppler-utils \
	pinentry-tty=pinentry-tty /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf=fonts-dejavu-core /usr/lib/softhsm/libsofthsm2.so=softhsm2 /usr/lib/postgresql=postgresql
INTEROP_NEEDS := $(TEST_NEEDS) unzip=unzip mvn=maven javac=default-jdk-headless chromium=chromium node=nodejs npm=npm python3=python3 \
	/usr/lib/apache2/modules/mod_auth_openidc.so=libapache2-mod-auth-openidc apache2=apache2-bin haproxy=haproxy caddy=caddy sslscan=sslscan \
	php=php-cli /usr/share/simplesamlphp/www=simplesamlphp /var/lib/dpkg/info/php-sqlite3.list=php-sqlite3 \
	/var/lib/dpkg/info/php-xml.list=php-xml /var/lib/dpkg/info/php-soap.list=php-soap /var/lib/dpkg/info/php-mbstring.list=php-mbstring \
	/usr/lib/apache2/modules/mod_shib.so=libapache2-mod-shib \
	firefox-esr=firefox-esr certutil=libnss3-tools Xvfb=xvfb xdotool=xdotool curl=curl zbarimg=zbar-tools strace=strace \
	/usr/lib/x86_64-linux-gnu/engines-3/pkcs11.so|/usr/lib/aarch64-linux-gnu/engines-3/pkcs11.so=libengine-pkcs11-openssl \
	$(shell python3 -c 'import ensurepip; print(ensurepip.__path__[0])' 2>/dev/null)=python3-venv

BENCH_NEEDS := $(TEST_NEEDS) python3=python3 \
	$(shell python3 -c 'import ensurepip; print(ensurepip.__path__[0])' 2>/dev/null)=python3-venv

# What knows of weaknesses of Go modules, and the tool that looks whether we call them.
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0
VULNDB := golang.org/x/vulndb@v0.0.0-20261105234957-e22db6528018

FUZZTIME ?= 20s
BENCHTIME ?= 1s
# go test packages run side by side; each that needs a card has a pcscd of its own.
TESTFLAGS ?= -count=1 -timeout 25m

# $(call install,NEEDS) says which Debian packages are missing and installs them,
# as root or by asking sudo for it. A fresh machine may be about to install updates of
# its own: they are waited for.
define install
@missing=(); \
for need in $(foreach n,$(1),'$(n)'); do \
	package="$${need##*=}"; found=; \
	IFS='|' read -r -a places <<<"$${need%=*}"; \
	for place in "$${places[@]}"; do \
		case "$$place" in \
			/*) if [ -e "$$place" ]; then found=1; fi ;; \
			'') ;; \
			*) if PATH="$$PATH:/usr/sbin:/sbin" command -v "$$place" >/dev/null; then found=1; fi ;; \
		esac; \
	done; \
	if [ -z "$$found" ]; then missing+=("$$package"); fi; \
done; \
if [ "$${#missing[@]}" -gt 0 ]; then \
	if ! command -v apt-get >/dev/null; then \
		echo "This system has no apt-get. Please install what these Debian packages hold: $${missing[*]}" >&2; exit 1; \
	fi; \
	root=; \
	if [ "$$(id -u)" -ne 0 ]; then \
		if ! command -v sudo >/dev/null; then \
			echo "Missing Debian packages. Run as root: apt-get install $${missing[*]}" >&2; exit 1; \
		fi; \
		root=sudo; \
	fi; \
	echo "Installing Debian packages: $${missing[*]}$${root:+ (sudo may ask for your password)}"; \
	$$root apt-get update -qq; \
	$$root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -y -qq --no-install-recommends "$${missing[@]}" >/dev/null; \
fi
endef

.PHONY: help
help:
	@echo 'make demo     a citizen logs in and signs, on this machine, then try it by hand'
	@echo 'make test     all tests, with a real pcscd and the emulated card'
	@echo 'make build    the three programs in bin/, and eidhsm, which holds PKCS #11 modules for eidbroker'
	@echo 'make cross    the programs compile for macOS and Windows'
	@echo 'make lint     golangci-lint: style, safety, import directions'
	@echo 'make interop  third-party judges: OpenSC, jmulticard, poppler, qpdf, pyHanko, DSS, digidoc4j, openid-client, Apache, oauth2-proxy, Chromium'
	@echo 'make fuzz     every fuzz target for FUZZTIME ($(FUZZTIME)) each'
	@echo 'make bench    benchmarks, with a peer in the same run'
	@echo 'make vuln     known weaknesses of dependencies that our programs can reach'
	@echo 'make release  VERSION=1.2.3 [KEY=file.pem]: programs, bills of materials and signed manifest in dist/'
	@echo 'make verify-release KEYS=trusted.pem SEEN=file DIST=dir: refuse a release that two people did not sign, or an old one'

.PHONY: build
build: setup-build
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/eidbroker ./cmd/eidbroker
	$(GO) build -trimpath -o bin/ ./cmd/eidagent ./cmd/eidlab ./cmd/eidhsm

# Nothing runs there before it was built there; that it compiles can be seen here.
.PHONY: cross
cross:
	@for os in darwin windows; do \
		for program in eidagent eidbroker eidlab; do \
			echo "$$program for $$os"; \
			GOOS=$$os CGO_ENABLED=0 $(GO) build -o /dev/null "./cmd/$$program"; \
		done; \
	done

.PHONY: demo
demo: setup-demo build
	bin/eidlab demo $(DEMOFLAGS)

.PHONY: test
# A test may be skipped for want of a tool, but not here, where each is installed;
# only the corpus of foreign documents is not everybody's.
# A test builds the broker without cgo, which compiles nearly all of it again: with
# cold caches that takes minutes, which are no part of any test's time.
test: setup-test
	@CGO_ENABLED=0 $(GO) build -o /dev/null ./cmd/eidbroker
	@mkdir -p .cache; \
	$(GO) test -v $(TESTFLAGS) ./... 2>&1 | tee .cache/test.log | grep -a --line-buffered -E '^(ok|FAIL|panic)' && passed=1 || passed=; \
	if [ -z "$$passed" ]; then .ci/failures .cache/test.log; exit 1; fi; \
	if skipped=$$(grep -aE '^ *--- SKIP' .cache/test.log | grep -av Corpus); then \
		echo "Skipped, although all tools should be here:"; echo "$$skipped"; exit 1; \
	fi

.PHONY: lint
lint: setup-build
	GOTOOLCHAIN=go$(GO_VERSION) $(GO) run $(GOLANGCI) run ./...
	GOTOOLCHAIN=go$(GO_VERSION) $(GO) run $(GOLANGCI) run --build-tags interop ./...

.PHONY: interop
# Nothing is skipped here either, but what needs documents that are not everybody's,
# and a policy of Chromium, which only root can set.
interop: setup-interop build
	@mkdir -p .cache; \
	$(GO) test -v -count=1 -timeout 40m -tags interop -run Interop ./... 2>&1 | tee .cache/interop.log | grep -a --line-buffered -E '^(ok|FAIL|panic)' && passed=1 || passed=; \
	if [ -z "$$passed" ]; then .ci/failures .cache/interop.log; exit 1; fi; \
	if skipped=$$(grep -aE '^ *--- SKIP' .cache/interop.log | grep -avE 'ForeignDocuments|ConformanceIsKept|ChromiumLogsInToAPortalWithTheCard'); then \
		echo "Skipped, although all tools should be here:"; echo "$$skipped"; exit 1; \
	fi

.PHONY: fuzz
fuzz: setup-build
	@for package in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' "$$package" | grep '^Fuzz' || true); do \
			echo "$$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 5x "$$package"; \
		done; \
	done

.PHONY: bench
bench: setup-bench
	$(GO) test -timeout 40m -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./...

# The database is itself a Go module, so nothing but the module proxy is asked.
.PHONY: vuln
vuln: setup-build
	@dir=$$(GOFLAGS= $(GO) mod download -json $(VULNDB) | sed -n 's/^\t"Dir": "\(.*\)",$$/\1/p'); \
	$(GO) run $(GOVULNCHECK) -db "file://$$dir/data/osv" ./cmd/...

# Whoever builds the same commit with the same Go and the same C compiler gets the
# same bytes. The second person builds alike, compares MANIFEST, and signs it too:
#   go run ./fixtures/release/eidrelease sign --key FILE dist
.PHONY: release
release: setup-build
	@if [ -z "$(VERSION)" ]; then echo 'make release VERSION=1.2.3' >&2; exit 2; fi
	@if [ -n "$$(git status --porcelain)" ]; then echo 'A release is made of what is committed.' >&2; exit 1; fi
	rm -rf dist; mkdir dist
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -o dist/ ./cmd/eidbroker
	$(GO) build -trimpath -buildvcs=false -o dist/ ./cmd/eidagent ./cmd/eidlab ./cmd/eidhsm
	$(GO) run ./fixtures/release/eidrelease sbom --version "$(VERSION)" --time "$$(git log -1 --format=%ct)" dist/eidbroker dist/eidagent dist/eidlab dist/eidhsm
	$(GO) run ./fixtures/release/eidrelease manifest --version "$(VERSION)" dist
	@if [ -n "$(KEY)" ]; then $(GO) run ./fixtures/release/eidrelease sign --key "$(KEY)" dist; else echo 'Not signed: no KEY.'; fi

.PHONY: verify-release
verify-release:
	@if [ -z "$(KEYS)" ] || [ -z "$(SEEN)" ]; then echo 'make verify-release KEYS=trusted.pem SEEN=file [DIST=dir]' >&2; exit 2; fi
	@$(GO) run ./fixtures/release/eidrelease verify --keys "$(KEYS)" --seen "$(SEEN)" "$(or $(DIST),dist)"

.PHONY: setup-go setup-build setup-demo setup-test setup-interop setup-bench
# Asked before anything is installed. Go before 1.21, which Debian 12 still packages,
# neither reads our go.mod nor fetches the Go that it names.
setup-go:
	@have=$$(GOTOOLCHAIN=local $(GO) version 2>/dev/null | sed -nE 's/^go version .*go1\.([0-9]+).*/\1/p') || true; \
	if [ "$${have:-0}" -lt 21 ]; then \
		echo "Please install Go first (https://go.dev/dl/): 1.21 or later, which fetches $(GO_VERSION) by itself." >&2; exit 1; \
	fi
setup-build: setup-go
	$(call install,$(BUILD_NEEDS))
setup-demo: setup-go
	$(call install,$(DEMO_NEEDS))
setup-test: setup-go
	$(call install,$(TEST_NEEDS))
setup-interop: setup-go
	$(call install,$(INTEROP_NEEDS))
	@if [ ! -x .cache/bin/oauth2-proxy ]; then \
		GOBIN="$(CURDIR)/.cache/bin" $(GO) install $(OAUTH2_PROXY); \
	fi
	@if [ ! -x .cache/moto/bin/moto_server ]; then \
		python3 -m venv .cache/moto; \
		.cache/moto/bin/python -m pip install --quiet --disable-pip-version-check '$(MOTO)'; \
	fi
# pyHanko is a peer of the benchmarks and a judge of make interop. Dex $(DEX_NAME)
# has no version of its module path's rules, so a module of its own names the
# commit.
setup-bench: setup-go
	$(call install,$(BENCH_NEEDS))
	@if [ ! -x .cache/bin/dex ]; then \
		echo "Building Dex $(DEX_NAME)"; mkdir -p .cache/dex; \
		printf 'module dex\n\ngo %s\n\nrequire github.com/dexidp/dex %s\n' "$(GO_VERSION)" "$(DEX)" >.cache/dex/go.mod; \
		printf 'package main\n\nimport _ "github.com/dexidp/dex/cmd/dex"\n' >.cache/dex/tools.go; \
		cd .cache/dex && CGO_ENABLED=1 $(GO) build -mod=mod -o ../bin/dex github.com/dexidp/dex/cmd/dex; \
	fi
	@if ! .cache/python/bin/python -c 'import pyhanko' 2>/dev/null; then \
		python3 -m venv .cache/python; \
		.cache/python/bin/python -m pip install --quiet --disable-pip-version-check --requirement fixtures/interop/testdata/requirements.txt; \
	fi

.PHONY: clean
clean:
	rm -rf bin dist demo-out .cache
