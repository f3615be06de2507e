# make            build/headgate          make demo    the whole thing, live, on this machine
# make test       every test              make help    all targets
MODE    ?= release
PREFIX  ?= /usr/local
DESTDIR ?=
JOBS    ?= 10000
SECONDS ?= 120
B       := build/$(MODE)

ifeq ($(origin CC),default)
CC      := gcc
endif
LIBS    := libevent libevent_openssl hiredis libcurl libcrypto libssl libcjson zlib
ARCH    := $(shell uname -m)
WARN    := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes \
           -Wmissing-prototypes -Wwrite-strings -Wcast-qual -Wformat=2 -Wundef -Wvla -Wswitch-enum \
           -Wnull-dereference -Wno-overlength-strings
ifneq (,$(findstring gcc,$(shell $(CC) --version 2>/dev/null | head -n 1) $(CC)))
WARN    += -Wduplicated-cond -Wlogical-op
HARDEN   = -ftrivial-auto-var-init=zero
endif
HARDEN  += -fstack-protector-strong -fstack-clash-protection -fPIE -fno-common \
           $(if $(filter x86_64,$(ARCH)),-fcf-protection)
FLAGS_release := -O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
# These two have the stop points of common/stop_point.h.
FLAGS_debug   := -O1 -DHEADGATE_STOP_POINTS
FLAGS_asan    := -O1 -DHEADGATE_STOP_POINTS -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
LINK_asan     := -fsanitize=address,undefined
FLAGS_fuzz    := $(FLAGS_asan) -fsanitize=fuzzer-no-link
LINK_fuzz     := -fsanitize=fuzzer,address,undefined
WERROR  := $(if $(CI),-Werror)

# Asked at build time, not when make starts: `make deps` may install pkg-config itself.
PKG_CFLAGS = $(shell pkg-config --cflags $(LIBS) | sed 's/-I/-isystem /g')
PKG_LIBS   = $(shell pkg-config --libs $(LIBS)) -lm
ALL_CFLAGS = -std=gnu17 -D_GNU_SOURCE -g -I. -I$B -MMD -MP $(WARN) $(WERROR) $(HARDEN) \
             $(FLAGS_$(MODE)) $(PKG_CFLAGS) $(CFLAGS)
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now,-z,noexecstack $(LINK_$(MODE)) $(LDFLAGS)

SOURCES := $(wildcard common/*.c common/*/*.c worker/*.c worker/*/*.c)
LUA     := $(filter-out %/prelude.lua %/tenant.lua %/ends.lua,$(wildcard worker/*/lua/*.lua))
SIM     := $(wildcard tests/sim/*.c)
UNITS   := $(wildcard tests/unit/test_*.c)
FUZZ    := $(wildcard tests/fuzz/fuzz_*.c)
SUPPORT := $(wildcard tests/support/*.c)

OBJECTS := $(SOURCES:%.c=$B/%.o)
ROOMS   := $(filter-out $B/worker/main.o,$(OBJECTS))
UNIT_BINARIES := $(UNITS:tests/unit/%.c=$B/tests/unit/%)
FUZZ_BINARIES := $(FUZZ:%.c=$B/%)

.PHONY: all deps build-deps demo test test-celery test-redis torture chaos chaos-celery model soak bench-cpu bench-policy check asan valgrind install clean help units fuzzers fuzz debug analyze build/headgate build/sim test-clients
all: build/headgate ## build/headgate (what plain `make` does)

build/headgate: $B/headgate
	@ln -sf $(MODE)/headgate $@
build/sim: $B/sim
	@ln -sf $(MODE)/sim $@

$B/headgate: $B/worker/main.o $B/rooms.a
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)
$B/sim: $(SIM:%.c=$B/%.o) $B/rooms.a
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)
$B/rooms.a: $(ROOMS)
	@rm -f $@ && ar Dcrs $@ $^
$B/tests/unit/%: $B/tests/unit/%.o $(SUPPORT:%.c=$B/%.o) $B/rooms.a
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) -lcmocka
$B/tests/unit/test_sim_quota: $B/tests/sim/quota.o
# libFuzzer has its own main(); else the kept inputs are replayed.
$B/tests/fuzz/%: $B/tests/fuzz/%.o $(if $(filter fuzz,$(MODE)),,$B/tests/fuzz/replay.o) $B/rooms.a
	$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $B/rooms.a $(PKG_LIBS)
$(addprefix $B/tests/fuzz/fuzz_,control pace resp): $B/tests/fuzz/redis_stand_in.o
$B/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

# A script becomes a C string: its folder's prelude (shared functions) in front of it, and what
# it needs beyond.
$(OBJECTS): | $(LUA:%=$B/%.h)
$B/worker/queue/lua/claim.lua.h: PARTS := worker/queue/lua/tenant.lua
$B/worker/queue/lua/claim.lua.h: worker/queue/lua/tenant.lua
ENDS := $(patsubst %,$B/worker/celery/lua/%.lua.h,settle dead beat)
$(ENDS): PARTS := worker/celery/lua/ends.lua
$(ENDS): worker/celery/lua/ends.lua
$B/%.lua.h: %.lua $(wildcard worker/*/lua/prelude.lua)
	@mkdir -p $(@D)
	@cat $(wildcard $(dir $<)prelude.lua) $(PARTS) $< | sed 's/\\/\\\\/g; s/"/\\"/g; s/.*/"&\\n"/' > $@

-include $(shell find $B -name '*.d' 2>/dev/null)

# Some tests stop a worker at a named point, which the release build does not have.
units: $(UNIT_BINARIES) $(if $(filter release,$(MODE)),debug)
fuzzers: $(FUZZ_BINARIES)
debug:
	@$(MAKE) --no-print-directory -s MODE=debug build/debug/headgate

# What a fresh Debian 12 or Ubuntu 24.04 lacks. Silent when all is there.
BUILD_PACKAGES := gcc libc6-dev pkg-config libevent-dev libhiredis-dev libcurl4-openssl-dev libssl-dev \
            libcjson-dev zlib1g-dev uthash-dev
PACKAGES := $(BUILD_PACKAGES) libcmocka-dev redis-server curl ca-certificates python3 python3-pytest \
            python3-pytest-xdist python3-venv python3-redis python3-yaml python3-jsonschema jq faketime iproute2 nftables strace
# gcc 12 does not follow uthash, nor a FILE that may be stdin: its leak checks are left to ASan.
ANALYZER := -O1 -fanalyzer -Wno-analyzer-malloc-leak -Wno-analyzer-file-leak
CHECKERS := clang-format-14 cppcheck clang-14
SUDO    := $(if $(filter 0,$(shell id -u)),,sudo)
# $(call install,packages): those that dpkg does not know as installed.
install_packages = @missing=; for p in $(1); do \
	    dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then echo "installing:$$missing"; $(SUDO) apt-get update -qq && \
	    $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; fi

deps: ## install what is missing, with apt-get
	$(call install_packages,$(PACKAGES))
build-deps: # what the container image is built with
	$(call install_packages,$(BUILD_PACKAGES))

demo: deps ## the whole thing, live: KEEP=1 leaves it running, REAL=1 uses your AWS account
	@$(MAKE) --no-print-directory -s -j$(shell nproc) build/headgate build/sim
	@/usr/bin/python3 tests/demo/demo.py

# Celery's own client and worker, and Flower, for the tests that talk to us with them.
CELERY_5.7.0 := 'celery[redis]==5.7.0'
CELERY_5.2.7 := 'celery[redis]==5.2.7' 'kombu==5.2.4' 'redis==4.6.0' 'setuptools<81'
CELERY_bench := 'celery[redis]==5.7.0' hiredis boto3 gevent
CELERY_flower := 'celery[redis]==5.7.0' flower==2.2.0
build/celery/%/ready:
	@/usr/bin/python3 -m venv $(@D) && $(@D)/bin/pip install -q --disable-pip-version-check $(CELERY_$*) && touch $@

test-celery: deps build/celery/5.7.0/ready build/celery/5.2.7/ready build/celery/flower/ready ## Celery's clients and workers of two versions against us
	@$(MAKE) --no-print-directory -s -j$(shell nproc) build/headgate build/sim
	@HEADGATE_BUILD=$B /usr/bin/python3 -m pytest -q -n 3 -p no:cacheprovider $(wildcard tests/e2e/test_celery*.py)

test: deps ## every test, on the release build
	@$(MAKE) --no-print-directory -s build/celery/5.7.0/ready build/celery/flower/ready || \
	    echo 'celery or flower could not be installed: their tests are skipped'
	@$(MAKE) --no-print-directory -s -j$(shell nproc) build/headgate build/sim units
	@$(MAKE) --no-print-directory -s -j$(shell nproc) MODE=asan fuzzers
	@tests/run $B

asan: deps ## every test, on a build with AddressSanitizer and UBSan
	@$(MAKE) --no-print-directory -s -j$(shell nproc) MODE=asan build/headgate build/sim units fuzzers
	@tests/run build/asan

# Where libFuzzer keeps what it finds: build/fuzz; corpora to start from: tests/fuzz/corpus.
TARGET  ?= $(FUZZ:tests/fuzz/fuzz_%.c=%)
SECONDS ?= 600
fuzz: deps ## looks for inputs that break a parser: TARGET=json SECONDS=600
	$(call install_packages,clang-14 libclang-rt-14-dev)
	@$(MAKE) --no-print-directory -s -j$(shell nproc) MODE=fuzz CC=clang-14 fuzzers
	@for t in $(TARGET); do echo "fuzz_$$t" && mkdir -p build/fuzz/found/$$t && build/fuzz/tests/fuzz/fuzz_$$t \
	    -max_total_time=$(SECONDS) -rss_limit_mb=1024 -timeout=10 -max_len=4096 -verbosity=0 -print_final_stats=1 \
	    -artifact_prefix=build/fuzz/$$t- build/fuzz/found/$$t tests/fuzz/corpus/$$t || exit 1; done

SERVER_TESTS := acl cli cluster cluster_reach delivery fault_redis fault_steps jobs pacing pacing_script selection sentinel
test-redis: deps ## the tests that stand on Redis, on another one: SERVER=/path/to/redis-server
	@$(MAKE) --no-print-directory -s -j$(shell nproc) build/headgate build/sim debug $(addprefix $B/tests/unit/test_,beat queue)
	@$(SERVER) --version
	@export HEADGATE_TEST_REDIS=$(SERVER) HEADGATE_BUILD=$B; $B/tests/unit/test_beat && $B/tests/unit/test_queue && \
	    /usr/bin/python3 -m pytest -q -n 2 -p no:cacheprovider $(SERVER_TESTS:%=tests/e2e/test_%.py) tests/model

# Toolchains that are there already stay; one that is too old is named, and its examples are skipped.
without = $(if $(shell command -v $(1)),,$(2))
CLIENT_PACKAGES = ruby ruby-redis php-cli php-redis python3-venv $(call without,npm,nodejs npm) $(call without,mvn,maven) \
            $(call without,javac,default-jdk-headless) $(call without,go,golang-go) $(call without,cargo,cargo)
test-clients: deps ## the examples of docs/clients, with the real client libraries from their registries
	$(call install_packages,$(CLIENT_PACKAGES))
	@$(MAKE) --no-print-directory -s -j$(shell nproc) build/headgate build/sim
	@HEADGATE_BUILD=$B HEADGATE_CLIENTS=all /usr/bin/python3 -m pytest -q -n 3 --dist loadfile -rs -p no:cacheprovider tests/clients

VALGRIND := valgrind -q --error-exitcode=99 --leak-check=full --show-leak-kinds=definite \
            --errors-for-leak-kinds=definite
valgrind: deps ## many of the end-to-end tests, every worker under valgrind
	$(call install_packages,valgrind)
	@$(MAKE) --no-print-directory -s -j$(shell nproc) build/headgate build/sim
	@HEADGATE_BUILD=$B HEADGATE_PATIENCE=10 HEADGATE_UNDER='$(VALGRIND)' /usr/bin/python3 -m pytest -q -n 2 \
	    -p no:cacheprovider tests/e2e/test_jobs.py tests/e2e/test_bad_jobs.py tests/e2e/test_fault_model.py \
	    -k 'not megabytes and not clock'

# Too slow for `make test`: some hundred workers.
torture: deps ## a worker whose n-th library allocation fails, or system call, n = 1, 2, ...: KIND=memory FROM=1 STEP=1
	@$(MAKE) --no-print-directory -s -j$(shell nproc) MODE=asan build/headgate build/sim build/asan/torture.so
	@HEADGATE_BUILD=build/asan /usr/bin/python3 tests/torture/torture.py
$B/torture.so: tests/torture/shim.c
	$(CC) -std=gnu17 -D_GNU_SOURCE -O1 $(WARN) -Wno-pedantic -shared -fPIC -o $@ $<

chaos: deps ## jobs and faults for a while, judged from outside: JOBS=10000 SECONDS=120 SEED=... TOPOLOGY=single, sentinel, cluster
	@$(MAKE) --no-print-directory -s -j$(shell nproc) build/headgate build/sim
	@JOBS=$(JOBS) SECONDS=$(SECONDS) SEED=$(SEED) /usr/bin/python3 tests/chaos/chaos.py

chaos-celery: deps build/celery/5.7.0/ready ## Celery's workers and ours on one queue, both killed with kill -9: SECONDS=120 SEED=...
	@$(MAKE) --no-print-directory -s -j$(shell nproc) build/headgate build/sim
	@HEADGATE_CELERY_CHAOS_SECONDS=$(SECONDS) SEED=$(SEED) HEADGATE_BUILD=$B /usr/bin/python3 -m pytest -q -p no:cacheprovider \
	    tests/e2e/test_celery_chaos.py

model: deps ## the queue's scripts in random orders of steps, under random faults: SEEDS=1000 SEED=...
	@SEEDS=$(SEEDS) SEED=$(SEED) /usr/bin/python3 tests/model/model.py

soak: deps ## memory and descriptors stay flat under a mix of everything: SECONDS=1800 RATE=40
	@$(MAKE) --no-print-directory -s -j$(shell nproc) build/headgate build/sim
	@SECONDS=$(if $(filter command line environment,$(origin SECONDS)),$(SECONDS),1800) /usr/bin/python3 tests/soak/soak.py

bench-cpu: deps $(if $(filter prefork gevent,$(WORKERS)),build/celery/bench/ready) ## what one job costs worker and Redis: WORKERS="native celery prefork gevent" JOBS=3000 LATENCY=2000 TENANTS=1000 REPEATS=5
	@$(MAKE) --no-print-directory -s -j$(shell nproc) build/headgate build/sim
	@WORKERS='$(WORKERS)' JOBS=$(JOBS) /usr/bin/python3 tests/bench/cpu.py
bench-policy: deps ## v1, v2 and paced side by side: ONLY=1.2x POLICIES=v2,paced QUICK=1 OUT=file.md
	@$(MAKE) --no-print-directory -s -j$(shell nproc) build/headgate build/sim
	@/usr/bin/python3 tests/bench/policy.py

check: $(LUA:%=$B/%.h) ## format, cppcheck, gcc -fanalyzer, clang's warnings
	$(call install_packages,$(CHECKERS))
	@echo 'clang-format' && clang-format-14 --dry-run -Werror $(SOURCES) $(SIM) $(UNITS) $(wildcard tests/fuzz/*.c) $(SUPPORT) \
	    $(wildcard common/*.h common/*/*.h worker/*.h worker/*/*.h tests/*/*.h)
	@echo 'cppcheck' && cppcheck --quiet --error-exitcode=1 --inline-suppr --enable=warning,performance,portability \
	    --suppress=missingIncludeSystem --suppress=unknownEvaluationOrder \
	    --library=.cppcheck.cfg -I. -I$B --std=c11 \
	    $(SOURCES) $(SIM)
	@echo 'gcc -fanalyzer' && $(MAKE) --no-print-directory -s -j$(shell nproc) CI=1 MODE=analyze FLAGS_analyze='$(ANALYZER)' analyze
	@echo 'clang-14 -Werror' && $(MAKE) --no-print-directory -s -j$(shell nproc) CI=1 MODE=clang CC=clang-14 FLAGS_clang='-O1' analyze
analyze: $(OBJECTS)

install: build/headgate ## DESTDIR and PREFIX are honoured
	install -D -m 755 $B/headgate $(DESTDIR)$(PREFIX)/bin/headgate

clean: ## remove build/
	rm -rf build

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14
