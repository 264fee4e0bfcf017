# herald: `make` builds ./herald, `make demo` serves bench/site, `make check` runs every test.
# `make help` lists the targets.

-include config.mk

PREFIX ?= /usr/local
BUILD ?= build
SANITIZE ?=
HERALD ?= $(if $(SANITIZE),$(BUILD)/herald,herald)

VERSION := 0.1.0
ROOMS := master/handoff policy worker master master/config master/cmd
SOURCES := $(wildcard $(ROOMS:%=%/*.c))
# The sources that name the places herald was built for or installed at.
WITH_PATHS := $(shell grep -ls 'HERALD_[A-Z]*_DIR\|HERALD_VERSION\|HERALD_PREFIX' $(SOURCES))
OBJECTS := $(SOURCES:%.c=$(BUILD)/%.o)
LLHTTP_OBJECTS := $(patsubst %,$(BUILD)/llhttp/%.o,llhttp api http)
LIBRARY := $(BUILD)/libherald.a
# What every request passes through: optimised as one, in herald itself and where nothing sanitizes.
HOT := $(patsubst %,worker/%.c,access authority body client conn conn_deadline conn_input conn_path content facts \
           frames guard header_list http2 http2_buffers http2_fields http2_memory http2_receive http2_send \
           http_date input ledger \
           outbox outcome page page_ask page_queue page_resolve push respond respond_cache respond_path \
           respond_select ring stream stream_ids stream_remember streams timer tls worker) \
       $(patsubst %,policy/%.c,binding_object binding_push decision figures identity policy_call push_table \
           request tally)

TEST_NAMES := $(patsubst tests/unit/%.c,unit_%,$(wildcard tests/unit/*.c)) \
              $(patsubst tests/model/%.c,model_%,$(wildcard tests/model/*.c)) \
              $(patsubst tests/tools/%.c,%,$(wildcard tests/tools/*.c))
TEST_BINARIES := $(TEST_NAMES:%=$(BUILD)/tests/%)
BENCH_NAMES := $(patsubst bench/%.c,%,$(wildcard bench/*.c)) \
               $(patsubst bench/micro/%.c,micro_%,$(wildcard bench/micro/*.c)) \
               page_link page_visit
BENCH_BINARIES := $(BENCH_NAMES:%=$(BUILD)/bench/%)

STOCK_DIR ?= $(CURDIR)/lua
SITE_DIR ?= $(CURDIR)/bench/site
BUILD_DIR ?= $(CURDIR)/build
# Commands are shown in short; `make V=1` shows them whole.
QUIET = $(if $(V),,@echo '  $(1) $@';)
ALL_CFLAGS = -std=gnu17 -D_GNU_SOURCE -I. $(CFLAGS) $(WARNINGS) -Werror $(HARDENING) $(SANITIZE) \
             $(LIB_CFLAGS) -MMD -MP
WITH_LTO = $(if $(SANITIZE),,$(LTO))
LINK = $(LINK_HARDENING) $(LDFLAGS) $(if $(WITH_LTO),-fno-lto)
ALL_LDFLAGS = $(CFLAGS) $(LINK_HARDENING) $(LDFLAGS) $(SANITIZE) $(WITH_LTO)
PATHS = -DHERALD_VERSION='"$(VERSION)"' -DHERALD_STOCK_DIR='"$(STOCK_DIR)"' \
        -DHERALD_SITE_DIR='"$(SITE_DIR)"' -DHERALD_BUILD_DIR='"$(BUILD_DIR)"' \
        -DHERALD_PREFIX='"$(PREFIX)"' -DHERALD_NGHTTP2_LINKED=$(if $(NGHTTP2_ARCHIVE),true,false)

all: $(HERALD)

help:
	@echo 'make              build ./herald'
	@echo 'make demo         install what is missing, build, and serve bench/site (8443 TLS, 8080 h2c)'
	@echo 'make check        install what the tests need, build, run every test (T=pattern: some)'
	@echo 'make check-fast   the inner loop: under a minute'
	@echo 'make check-hostile  attack it with everything, and measure (T=pattern: some)'
	@echo 'make soak         the long forms of the tests'
	@echo 'make asan         build-asan/herald with AddressSanitizer and UBSan'
	@echo 'make fuzz         the fuzz targets for FUZZ_SECONDS each (see tests/fuzz/README.md)'
	@echo 'make bench        CPU per request beside the other servers that push (see bench/README.md)'
	@echo 'make bench-micro, make bench-instructions   the push table and policies alone; callgrind'
	@echo 'make bench-page   load pages over emulated links, as root (see bench/page/README.md)'
	@echo 'make bench-policies  versions of policies activated under load; what hostile ones cost others'
	@echo 'make lint format  static checks; clang-format'
	@echo 'make install      DESTDIR and PREFIX are honoured'

# What it was given is given again when it has changed itself: new libraries, say.
GIVEN = $(foreach name,CC CFLAGS LDFLAGS PREFIX NGHTTP2,$(if $(filter file,$(origin $(name))),$(name)='$($(name))'))

config.mk: configure
	$(if $(wildcard config.mk),$(GIVEN)) ./configure

ifeq ($(wildcard config.mk),)
# The libraries are probed before anything is compiled.
$(OBJECTS): config.mk
endif

# Linked anew when libnghttp2 was updated.
$(HERALD): $(BUILD)/master/main.o $(LIBRARY) $(NGHTTP2_ARCHIVE)
	$(call QUIET,LD)$(CC) $(ALL_LDFLAGS) -o $@ $(filter-out $(NGHTTP2_ARCHIVE),$^) $(LIB_LIBS)

$(LIBRARY): $(filter-out $(BUILD)/master/main.o,$(OBJECTS)) $(LLHTTP_OBJECTS)
	@rm -f $@
	$(call QUIET,AR)ar rcs $@ $^

$(BUILD)/%.o: %.c Makefile $(wildcard config.mk)
	@mkdir -p $(@D)
	$(call QUIET,CC)$(CC) $(ALL_CFLAGS) $(if $(filter $<,$(WITH_PATHS)),$(PATHS)) $(if $(filter $<,$(HOT)),$(WITH_LTO)) -c -o $@ $<

# What is only in it where a library was found.
$(BUILD)/worker/inflate.o: ALL_CFLAGS += $(if $(BROTLI),-DHERALD_BROTLI)

# The library's own sources: they pass fewer warnings, and parse strictly.
$(BUILD)/llhttp/%.o: $(LLHTTP_SOURCES)/%.c Makefile $(wildcard config.mk)
	@mkdir -p $(@D)
	$(call QUIET,CC)$(CC) -std=gnu17 -DLLHTTP_STRICT_MODE=1 $(CFLAGS) $(HARDENING) $(SANITIZE) $(LIB_CFLAGS) -c -o $@ $<

$(BUILD)/tests/unit_%: tests/unit/%.c $(LIBRARY)
	@mkdir -p $(@D)
	$(call QUIET,LD)$(CC) $(ALL_CFLAGS) $(PATHS) $(LINK) -o $@ $< $(LIBRARY) $(LIB_LIBS) -lcmocka

$(BUILD)/tests/model_%: tests/model/%.c $(LIBRARY)
	@mkdir -p $(@D)
	$(call QUIET,LD)$(CC) $(ALL_CFLAGS) $(PATHS) $(LINK) -o $@ $< $(LIBRARY) $(LIB_LIBS) -lcmocka

$(BUILD)/tests/%: tests/tools/%.c $(LIBRARY)
	@mkdir -p $(@D)
	$(call QUIET,LD)$(CC) $(ALL_CFLAGS) $(PATHS) $(LINK) -o $@ $< $(LIBRARY) $(LIB_LIBS)

$(BUILD)/bench/micro_%: bench/micro/%.c $(LIBRARY)
	@mkdir -p $(@D)
	$(call QUIET,LD)$(CC) $(ALL_CFLAGS) $(PATHS) $(LINK) -o $@ $< $(LIBRARY) $(LIB_LIBS)

$(BUILD)/bench/pushload: bench/pushload.c $(wildcard bench/pushload/*.[ch]) $(LIBRARY)
	@mkdir -p $(@D)
	$(call QUIET,LD)$(CC) $(filter-out -MMD -MP,$(ALL_CFLAGS)) $(LINK) -o $@ $(filter %.c,$^) $(LIBRARY) $(LIB_LIBS)

$(BUILD)/bench/page_link: $(wildcard bench/page/link/*.[ch])
	@mkdir -p $(@D)
	$(call QUIET,LD)$(CC) $(filter-out -MMD -MP,$(ALL_CFLAGS)) $(LINK) -o $@ $(filter %.c,$^)

$(BUILD)/bench/page_visit: $(wildcard bench/page/visit/*.[ch])
	@mkdir -p $(@D)
	$(call QUIET,LD)$(CC) $(filter-out -MMD -MP,$(ALL_CFLAGS)) $(LINK) -o $@ $(filter %.c,$^) -lnghttp2 -lssl -lcrypto

$(BUILD)/bench/instructions_shim.so: bench/instructions/shim.c
	@mkdir -p $(@D)
	$(call QUIET,LD)$(CC) -std=gnu17 -D_GNU_SOURCE -O1 $(WARNINGS) -Werror -fPIC -shared -o $@ $< -ldl

$(BUILD)/bench/%: bench/%.c $(LIBRARY)
	@mkdir -p $(@D)
	$(call QUIET,LD)$(CC) $(ALL_CFLAGS) $(PATHS) $(LINK) -o $@ $< $(LIBRARY) $(LIB_LIBS)

test-binaries: $(HERALD) $(TEST_BINARIES)

bench-binaries: $(BENCH_BINARIES)

deps-build:
	@$(if $(wildcard config.mk),$(GIVEN)) ./configure --install-deps=build

deps-test:
	@$(if $(wildcard config.mk),$(GIVEN)) ./configure --install-deps

# The targets that people call compile on every CPU.
PARALLEL = -j$(shell nproc) --no-print-directory

# A change of config.mk is seen only by a make that starts after it was written.
demo: deps-build
	@$(MAKE) $(PARALLEL) all
	./herald demo

check: deps-test
	@$(MAKE) $(PARALLEL) test-binaries bench-binaries
	@$(MAKE) $(PARALLEL) asan-tests tsan-tests
	@T='$(T)' tests/run

check-fast: all
	@$(MAKE) $(PARALLEL) test-binaries bench-binaries
	@FAST=1 T='$(T)' tests/run

# Minutes: every attack of tests/hostile, measured (T=pattern: some; WRITE=1: the table of the README).
check-hostile: deps-test
	@$(MAKE) $(PARALLEL) all
	@tests/hostile/run $(if $(T),--only '$(T)') $(if $(WRITE),--write)

soak: deps-test
	@$(MAKE) $(PARALLEL) test-binaries bench-binaries
	@$(MAKE) $(PARALLEL) asan-tests tsan-tests
	@SOAK=1 T='$(T)' tests/run

ASAN = BUILD=build-asan SANITIZE='-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer' CFLAGS='-O1 -g'

asan:
	@$(MAKE) $(PARALLEL) $(ASAN) all

asan-tests:
	@$(MAKE) $(ASAN) test-binaries

# Only what threads can share: the workers have one thread each.
TSAN_CC = $(CC) -std=gnu17 -D_GNU_SOURCE -I. -O1 -g $(WARNINGS) -Werror -fsanitize=thread
TSAN_PUSHES = tests/model/push_table_threads.c policy/push_table.c policy/push_upkeep.c
TSAN_NAMES = tests/model/names_threads.c policy/names.c
TSAN_TALLY = tests/model/tally_threads.c policy/tally.c policy/figures.c policy/push_table.c

tsan-tests: $(patsubst %,build-tsan/tests/model_%_threads,push_table names learned tally shared_dict)

build-tsan/tests/model_push_table_threads: $(TSAN_PUSHES) tests/model/race.h $(wildcard policy/push_*.h)
	@mkdir -p $(@D)
	$(TSAN_CC) -o $@ $(TSAN_PUSHES) -lcmocka -lm -lpthread

build-tsan/tests/model_names_threads: $(TSAN_NAMES) policy/names.h
	@mkdir -p $(@D)
	$(TSAN_CC) -o $@ $(TSAN_NAMES) -lcmocka -lxxhash -lpthread

build-tsan/tests/model_learned_threads: tests/model/learned_threads.c policy/learned.c policy/learned.h
	@mkdir -p $(@D)
	$(TSAN_CC) -o $@ $(filter %.c,$^) -lcmocka -lpthread

build-tsan/tests/model_tally_threads: $(TSAN_TALLY) policy/tally.h policy/figures.h
	@mkdir -p $(@D)
	$(TSAN_CC) -o $@ $(TSAN_TALLY) -lcmocka -lm -lpthread

build-tsan/tests/model_shared_dict_threads: tests/model/shared_dict_threads.c policy/shared_dict.c policy/identity.c policy/shared_dict.h
	@mkdir -p $(@D)
	$(TSAN_CC) -o $@ $(filter %.c,$^) -lcmocka -lxxhash -lsodium -lpthread

FUZZ = BUILD=build-fuzz CC=clang CFLAGS='-O1 -g' WARNINGS='-Wall -Wextra' \
       SANITIZE='-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined'

# FUZZ_SECONDS of each target of tests/fuzz, one after another.
fuzz:
	@tests/fuzz/run --check
	@$(MAKE) $(PARALLEL) $(FUZZ) fuzz-binaries
	@FUZZ_SECONDS='$(FUZZ_SECONDS)' T='$(T)' tests/fuzz/run

fuzz-binaries: $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/*.c))

$(BUILD)/fuzz/%: tests/fuzz/%.c $(wildcard tests/fuzz/*.h) $(LIBRARY)
	@mkdir -p $(@D)
	$(call QUIET,LD)$(CC) $(filter-out -MMD -MP,$(ALL_CFLAGS)) $(PATHS) $(LINK) -fsanitize=fuzzer -o $@ $< $(LIBRARY) $(LIB_LIBS)

# The fuzz targets are compiled here too, since only `make fuzz` runs them. The suppressed ones are what cppcheck cannot read: names that C++ reserves, jansson's loops.
lint:
	cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr \
	    --suppress=internalAstError --suppress=unknownMacro --suppress=memleak:master/config/config_value.c \
	    --suppress=arrayIndexOutOfBoundsCond:policy/policy_load.c \
	    --error-exitcode=1 -D_GNU_SOURCE -I. $(SOURCES)
	$(CC) $(filter-out -MMD -MP,$(ALL_CFLAGS)) $(PATHS) -fsyntax-only $(wildcard tests/fuzz/*.c)
	luacheck --quiet lua

format:
	clang-format -i $(shell git ls-files '*.c' '*.h')

# Measures herald beside the other servers that push (bench/peers), in at most 25 minutes (WRITE=1: the
# table of bench/README.md).
bench: all
	@$(MAKE) $(PARALLEL) bench-binaries
	@bench/peers/run CASES='$(CASES)' PEERS='$(PEERS)' ROUNDS='$(ROUNDS)' SECONDS='$(SECONDS)' \
	    WRITE='$(WRITE)'

# The push table and the policies alone (WRITE=1: the tables of bench/micro/README.md); four minutes.
bench-micro: bench-binaries
	@BUILD='$(BUILD)' bench/micro/run BATCHES='$(BATCHES)' WRITE='$(WRITE)'

# Policies edited under load, and hostile ones (WRITE=1: the table of bench/README.md); three minutes.
bench-policies: all $(BUILD)/bench/pushload
	@bench/activations
	@bench/hostile-policies $(if $(WRITE),--write)

# CASES: names, separated by commas; RUNS: visits of each way; OUT: a folder for tables and plots;
# TRACE=1: packets and frames into it as well.
bench-page: all $(BUILD)/bench/page_link $(BUILD)/bench/page_visit
	@python3 bench/page/run.py --cases '$(CASES)' --runs $(or $(RUNS),25) \
	    --out '$(or $(OUT),$(BUILD)/bench-page)' $(if $(TRACE),--trace)

# Instructions per request, compared with bench/instructions/recorded.json (RECORD=1 writes it).
bench-instructions: all $(BUILD)/bench/instructions_shim.so $(BUILD)/bench/pushload
	@bench/instructions/run CASES='$(CASES)' RECORD='$(RECORD)'

clean:
	rm -rf build build-asan build-tsan build-fuzz herald

BINDIR = $(DESTDIR)$(PREFIX)/sbin
SHAREDIR = $(DESTDIR)$(PREFIX)/share/herald
MANDIR = $(DESTDIR)$(PREFIX)/share/man

# The installed binary looks for the stock policies and the demo page below PREFIX.
install:
	@$(MAKE) $(PARALLEL) BUILD=build/install HERALD=build/install/herald \
	    STOCK_DIR='$(PREFIX)/share/herald/lua' SITE_DIR='$(PREFIX)/share/herald/site' \
	    BUILD_DIR=/var/lib/herald all
	install -d $(BINDIR) $(SHAREDIR) $(MANDIR)/man5 $(MANDIR)/man7 $(MANDIR)/man8
	install -m 755 build/install/herald $(BINDIR)/herald
	cp -R lua $(SHAREDIR)/
	cp -R bench/site $(SHAREDIR)/
	install -m 644 master/herald.8 $(MANDIR)/man8/
	install -m 644 master/herald.conf.5 $(MANDIR)/man5/
	install -m 644 lua/herald-policy.7 $(MANDIR)/man7/

.PHONY: all help bench bench-micro bench-instructions bench-page bench-policies test-binaries bench-binaries deps-build \
        deps-test demo check check-fast check-hostile soak \
        asan asan-tests tsan-tests fuzz fuzz-binaries lint format clean install

-include $(OBJECTS:.o=.d) $(TEST_BINARIES:=.d) $(BENCH_BINARIES:=.d)
