# Everything runs in .venv, made here, with the versions of constraints.txt.
# pip's own settings (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS …) are honoured.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
# Bytecode is written at the first import: of much of what is installed there never is one.
unexport PYTHONDONTWRITEBYTECODE

# The first Python that is new enough; `make PYTHON=…` takes another.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
STAMPS := .venv/stamps
# What the installed library is built from.
NATIVE := $(wildcard runtime/CMakeLists.txt) \
	$(shell find runtime/android runtime/cmake runtime/include runtime/src runtime/tests runtime/bench runtime/web runtime/ios \
		-type f -not -path 'runtime/bench/arm/*' 2>/dev/null)
WHEEL_BUILD := build/wheel-$(shell uname -m)
CMAKE_BUILD := build/native
ARM_BUILD := build/arm64
# Whether the runtime for browsers can be built, each time it is asked for.
WEB = $(shell command -v clang++-19 >/dev/null && command -v wasm-ld-19 >/dev/null && echo ON || echo OFF)
# And for iOS, once it was asked for: its three libraries take minutes.
IOS = $(if $(wildcard build/ios),ON,OFF)
# And for Android.
ANDROID = $(shell [[ $(WEB) == ON ]] && command -v javac >/dev/null && echo ON || echo OFF)
# What is compiled stays, for the next time and for the tests of wheels. The file names pip's
# environment for builds, which is another each time, for which all would be compiled again.
EDITABLE = rm -f build/wheel-*/.skbuild-info.json && $(PIP) install --no-compile -c constraints.txt \
	--config-settings=build-dir=$(WHEEL_BUILD) \
	--config-settings=cmake.define.SBN_AARCH64=OFF \
	--config-settings=cmake.define.SBN_WEB=$(WEB) \
	--config-settings=cmake.define.SBN_WEB_DIR=$(CURDIR)/build/web \
	--config-settings=cmake.define.SBN_IOS=$(IOS) \
	--config-settings=cmake.define.SBN_IOS_DIR=$(CURDIR)/build/ios \
	--config-settings=cmake.define.SBN_ANDROID=$(ANDROID) \
	--config-settings=cmake.define.SBN_ANDROID_DIR=$(CURDIR)/build/android \
	--config-settings=cmake.define.SBN_BUILD_TESTS=$(1) -e
# And whether Wine can run programs of ours: `make test` does not fetch it, which takes minutes.
WINE = $(shell command -v wine >/dev/null && command -v x86_64-w64-mingw32-gcc >/dev/null && echo ON || echo OFF)
JOBS := $(shell nproc 2>/dev/null || echo 2)
# A process of tests for each core; more threads in each would only wait for each other.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

.PHONY: help demo test lint native-test prepared python-test test-long test-lce test-engines sweep soak soak-sanitized sanitize fuzz web test-web test-platforms \
	android ios wheels release test-arm test-sme2 arm-cycles arm-models arm-tools ssh-tools web-tools android-tools platform-tools wine-tools bench bench-repeat models bench-train published docs clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

demo: $(STAMPS)/demo  ## train, export, validate and compare on handwritten digits (about 4 minutes)
	$(BIN)/sbn demo

test: $(STAMPS)/dev  ## everything that must pass: lint, native tests, Python tests
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target lint prepared
	@$(MAKE) --no-print-directory python-test

lint: $(STAMPS)/dev  ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	for system in win32 darwin; do $(BIN)/mypy --platform $$system --cache-dir .mypy_cache/$$system \
		--follow-imports skip -p sbn_deploy.system -p sbn_runtime.system || exit; done
	$(BIN)/lint-imports

native-test: $(STAMPS)/dev  ## tests of the C++ kernels, as they are in the installed library, and of the native runtime
	$(BIN)/ctest --test-dir $(WHEEL_BUILD) --output-on-failure

sanitize: $(STAMPS)/dev  ## the same under AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer
	for sanitizers in address,undefined thread; do \
		$(BIN)/cmake -S runtime -B build/$$sanitizers -DSBN_BUILD_TESTS=ON -DSBN_SANITIZE=$$sanitizers; \
		$(BIN)/cmake --build build/$$sanitizers --target kernel_test native_test --parallel $(JOBS); \
		$(BIN)/ctest --test-dir build/$$sanitizers --output-on-failure || exit; \
	done

fuzz: $(STAMPS)/dev  ## a million damaged files of every kind of network in the native runtime, under sanitizers (hours); `make fuzz CASES=100000 FIRST=0`
	$(BIN)/python -m tests.native.files build/fuzz-files
	$(BIN)/cmake -S runtime -B build/address,undefined -DSBN_BUILD_TESTS=ON -DSBN_SANITIZE=address,undefined
	$(BIN)/cmake --build build/address,undefined --target native_test --parallel $(JOBS)
	ASAN_OPTIONS=allocator_may_return_null=1 \
		build/address,undefined/tests/native_test build/fuzz-files $(or $(CASES),1000000) $(or $(FIRST),0)

# What the Python tests look for is installed, and the library for ARM compiled, while the linters run.
prepared: native-test
	@[[ $$(uname -m) != x86_64 ]] || $(MAKE) --silent arm-tools || echo 'The wheel for 64-bit ARM is not tested.' >&2
	@$(MAKE) --silent arm-models || echo 'The estimates of cycles on ARM are not tested.' >&2
	@$(MAKE) --silent ssh-tools || echo 'Measuring over ssh is not tested.' >&2
	@# What there are tools for is built in one go.
	@$(MAKE) --silent --keep-going platform-tools android-tools || true
	@$(MAKE) --silent web || echo 'The runtime for browsers is not tested.' >&2
	@$(MAKE) --silent android || echo 'The runtime for Android is not tested.' >&2
	@[[ -d build/ios ]] || echo 'Without what make ios builds, the runtime for iOS is not tested.' >&2
	@$(MAKE) --silent $(RUN_HERE:%=build/platforms/%/built) || echo 'The code for Windows and macOS is not tested.' >&2
	@[[ $(WINE) == ON ]] || echo 'Without Wine and a compiler for it (make wine-tools) the code for Windows on x86-64 is not tested.' >&2
	$(BIN)/python -m tests.packaging.wheels build/wheels $$(uname -m)

# The page of `sbn report` is tested in Chromium where it is installed: apt-get install chromium.
python-test: $(STAMPS)/dev  ## pytest, all cores; `make python-test ARGS='tests/runtime -k pack'` runs a part
	$(PYTEST) $(ARGS)

test-long: $(STAMPS)/dev arm-tools  ## what `make test` leaves out: Python 3.12 and 3.13, onnxruntime of each, Cortex-A72, and more under emulators (an hour)
	$(PYTEST) -m long $(ARGS)

test-lce: $(STAMPS)/tflite  ## exported .tflite files against the converter of Larq Compute Engine, which brings TensorFlow (2 GB)
	$(BIN)/python -m pytest tests/official tests/cli/test_import.py tests/engines $(ARGS)

test-engines: $(STAMPS)/engines  ## batches of pictures in Ray, one of two nodes killed, and in Spark; sbn tune on a PostgreSQL server (10 minutes)
	build/engines/bin/python -m pytest -rs tests/many tests/tune/test_server.py $(ARGS)

sweep: $(STAMPS)/dev  ## 1,000 random networks in every engine against torch, bit for bit, 300 with stochastic signs, 500 in LCE, 500 in WebAssembly and on emulated ARM, 1,200 with SME2 (four hours)
	$(PYTEST) --hypothesis-profile=thorough tests/converters/test_random_networks.py \
		tests/converters/test_drawn_networks.py tests/converters/tflite/test_random_networks.py \
		tests/web/test_random_networks.py tests/native/test_random_on_arm.py

soak: $(STAMPS)/dev  ## damaged files of every format and interrupted commands, continuing from the last run; `make soak CASES=100000 FORMATS=onnx`
	$(BIN)/python -m tests.soak $(FORMATS) $(if $(CASES),--cases $(CASES))

soak-sanitized: $(STAMPS)/dev  ## 2,000 damaged files of one operator in the library, under sanitizers (10 minutes)
	$(BIN)/python -m tests.soak.sanitized $(BIN)/python -m tests.soak.operators 2000

web: $(STAMPS)/web  ## the runtime for browsers, for `sbn bundle --target web`

test-web: $(STAMPS)/web  ## the kernels' own test as WebAssembly, in Node.js
	$(call debian,node,nodejs)
	$(call debian,/usr/lib/wasm32-wasi,wasi-libc libc++-19-dev-wasm32 libclang-rt-19-dev-wasm32)
	$(BIN)/cmake -S runtime -B build/web-test -DSBN_BUILD_TESTS=ON \
		-DCMAKE_TOOLCHAIN_FILE=$(CURDIR)/runtime/cmake/wasm32.cmake
	$(BIN)/cmake --build build/web-test --target kernel_test --parallel $(JOBS)
	node --no-warnings runtime/tests/wasi.mjs build/web-test/kernel_test.wasm 100

android: $(STAMPS)/android  ## the runtime for Android, for `sbn bundle --target android`

ios: $(STAMPS)/ios  ## the runtime for iOS, for `sbn bundle --target ios`

# As clang calls them.
PLATFORMS := x86_64-pc-windows-msvc aarch64-pc-windows-msvc arm64-apple-macos11.0 x86_64-apple-macos11.0

# What `make test` runs of them.
RUN_HERE = aarch64-pc-windows-msvc x86_64-apple-macos11.0 $(if $(filter ON,$(WINE)),x86_64-pc-windows-msvc)

test-platforms: $(PLATFORMS:%=build/platforms/%/built) ios arm-tools wine-tools  ## the libraries for Windows, macOS and iOS, in Wine, in loaders and under qemu, and built again elsewhere (2 minutes)
	$(PYTEST) -m '' tests/platforms $(ARGS)

wheels: $(STAMPS)/dev arm-tools web-tools android-tools platform-tools ios  ## wheels for Linux, Windows and macOS in dist/, checked for what their tags promise
	$(BIN)/python -m tests.packaging.wheels dist

release: $(STAMPS)/release arm-tools web-tools android-tools platform-tools ios  ## what is published, in dist/: the source and all wheels, listed, checked by twine, and the source installed
	rm -rf dist
	$(BIN)/python -m tests.packaging.release dist

test-arm: $(ARM_BUILD)-sanitized/built  ## kernels, native runtime, wheel, source install and the runtime's tests for 64-bit ARM, as three cores and all that qemu has (half an hour)
	for cpu in cortex-a53 cortex-a72 cortex-a76 max; do \
		for program in 'kernel_test 50' 'native_test tests/golden 1000'; do \
			ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 \
				timeout 900 qemu-aarch64 -cpu $$cpu -L /usr/aarch64-linux-gnu \
				$(ARM_BUILD)-sanitized/tests/$$program || exit; \
		done; \
	done
	$(BIN)/python -m tests.packaging.arm
	$(BIN)/python -m pytest -n auto -rs -m '' tests/packaging/test_source.py tests/packaging/test_arm.py

# The emulator of Debian 12 has no SME2; a newer one is fetched.
sme2 = timeout 1800 $(BIN)/python -m tests.packaging.sme2 $(1)
test-sme2: $(ARM_BUILD)-sanitized/built  ## the kernels of SME2 and the native runtime with them, under qemu with vectors of 128, 256 and 512 bits
	$(BIN)/python -m tests.packaging.sme2
	export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1; \
	for length in 128 256 512; do \
		$(call sme2,$$length) $(ARM_BUILD)-sanitized/tests/kernel_test 300 0 sme2 || exit; \
	done; \
	$(call sme2,512) $(ARM_BUILD)-sanitized/tests/native_test tests/golden 100
	$(BIN)/python -m pytest -rs tests/packaging/test_sme2.py

arm-cycles: $(ARM_BUILD)/built arm-models  ## cycles of kernels and networks on ARM by LLVM's models of the cores: docs/arm-cycles.md (about 10 minutes)
	$(BIN)/python -m tests.packaging.sme2
	$(BIN)/python -m runtime.bench.arm $(ARM_BUILD) -o docs/arm-cycles.md

bench: $(STAMPS)/dev  ## time the C++ kernels and whole networks on this machine, one core
	@test -f /usr/include/benchmark/benchmark.h || { \
		if [[ $$(id -u) == 0 ]] && command -v apt-get >/dev/null; then \
			apt-get update -qq </dev/null; \
			DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends libbenchmark-dev </dev/null; \
		else \
			echo 'missing: libbenchmark-dev. Type: sudo apt-get install libbenchmark-dev' >&2; exit 1; \
		fi; }
	$(BIN)/cmake -S runtime -B $(CMAKE_BUILD) -DSBN_BUILD_TESTS=ON
	$(BIN)/cmake --build $(CMAKE_BUILD) --target kernel_bench --parallel $(JOBS)
	$(CMAKE_BUILD)/bench/kernel_bench
	$(BIN)/python -m tests.tools.networks -o docs/benchmarks.md

models: $(STAMPS)/demo  ## train, measure and describe the models in models/; `make models CIFAR10=PATH SPOKEN=FOLDER` all of them
	$(BIN)/python models/make_models.py $(if $(CIFAR10),--cifar10 '$(CIFAR10)') \
		$(if $(SPOKEN),--spoken '$(SPOKEN)')

bench-repeat: $(STAMPS)/demo  ## whether repeated runs of sbn benchmark lie in the intervals of each other (about 3 minutes)
	mkdir -p runs
	$(BIN)/sbn export models/cifar-vgg-s/checkpoint.safetensors -o runs/repeat.onnx
	$(BIN)/python -m tests.tools.repeatability runs/repeat.onnx

bench-train: $(STAMPS)/demo  ## cost of a training step against the same network in fp32
	$(BIN)/python -m tests.tools.train_benchmark

published: $(STAMPS)/dev  ## export networks of published methods in full size and time them: docs/published.md (25 minutes)
	$(BIN)/python -m tests.tools.published -o docs/published.md

docs: $(STAMPS)/dev  ## the documentation as a site: build/site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --config-file docs/site/mkdocs.yml

clean:  ## delete the build, the environment and runs/
	rm -rf .venv build dist runs .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find sbn_deploy converters runtime tests -name __pycache__ -type d -prune -exec rm -rf {} +

# As root on Debian and Ubuntu, what is missing is installed; otherwise it is named.
$(STAMPS)/venv:
	@test -n "$(PYTHON)" || { echo 'Python 3.11 or newer is needed: apt-get install python3' >&2; exit 1; }
	@missing=(); \
	command -v c++ >/dev/null || missing+=(g++); \
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		missing+=($$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')); \
	if (( $${#missing[@]} )); then \
		if [[ $$(id -u) == 0 ]] && command -v apt-get >/dev/null; then \
			apt-get update -qq </dev/null; \
			DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$${missing[@]}" </dev/null; \
		else \
			echo "missing: $${missing[*]}. Type: sudo apt-get install $${missing[*]}" >&2; exit 1; \
		fi; \
	fi
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	mkdir -p $(STAMPS)
	touch $@

# The default torch for x86-64 Linux brings several GB of CUDA packages, which nothing here uses.
# A CPU build comes from pip where its settings offer one, else through uv, which knows where they are.
$(STAMPS)/torch: constraints.txt | $(STAMPS)/venv
	@want=torch==$$(sed -n 's/^torch==//p' constraints.txt); \
	if $(BIN)/python -c "from importlib.metadata import version; v = version('torch'); \
		raise SystemExit('torch==' + v.split('+')[0] != '$$want')" 2>/dev/null; then \
		echo "$$want is installed"; \
	elif { $(PIP) index versions torch 2>/dev/null || true; } | grep -q "$${want#torch==}+cpu"; then \
		$(PIP) install --no-compile -c constraints.txt "$$want"; \
	else \
		$(PIP) install --no-compile -c constraints.txt uv; \
		$(BIN)/uv pip install --python $(BIN)/python --torch-backend cpu -c constraints.txt "$$want" || { \
			echo 'No CPU build of torch within reach: taking the default one, with CUDA packages.' >&2; \
			$(PIP) install --no-compile -c constraints.txt "$$want"; }; \
	fi
	touch $@

$(STAMPS)/demo: pyproject.toml constraints.txt $(NATIVE) | $(STAMPS)/torch
	$(call EDITABLE,OFF) '.[train,onnx,report]'
	touch $@

$(STAMPS)/dev: pyproject.toml constraints.txt $(NATIVE) | $(STAMPS)/torch
	$(call EDITABLE,ON) '.[train,onnx,report,tune,docs,dev]'
	touch $(STAMPS)/demo $@

# Already there unless clang was installed after the rest.
$(STAMPS)/web: $(STAMPS)/dev | web-tools
	if [[ ! -f build/web/sbn.wasm ]]; then $(call EDITABLE,ON) '.[train,onnx,report,tune,docs,dev]'; fi
	touch $@

$(STAMPS)/ios: IOS := ON
$(STAMPS)/ios: $(STAMPS)/dev | platform-tools
	if [[ ! -d build/ios/sbn_native.xcframework ]]; then $(call EDITABLE,ON) '.[train,onnx,report,tune,docs,dev]'; fi
	touch $@

$(STAMPS)/android: $(STAMPS)/dev | android-tools
	if [[ ! -f build/android/sbn-runtime.zip ]]; then $(call EDITABLE,ON) '.[train,onnx,report,tune,docs,dev]'; fi
	touch $@

$(STAMPS)/tflite: pyproject.toml constraints.txt $(NATIVE) | $(STAMPS)/torch
	$(call EDITABLE,ON) '.[train,onnx,report,tune,docs,dev,tflite]'
	touch $(STAMPS)/demo $(STAMPS)/dev $@

# Ray, Spark and the driver of PostgreSQL in an environment of their own, which sees all that .venv
# has. Without aiohttp, threads of Ray 2.60 fail at an import that each of them tries.
$(STAMPS)/engines: constraints.txt | $(STAMPS)/dev
	$(call debian,java,openjdk-17-jre-headless)
	$(call debian,/usr/lib/postgresql,postgresql)
	test -x build/engines/bin/python || $(BIN)/python -m venv build/engines
	build/engines/bin/python -m pip --disable-pip-version-check install --no-compile \
		-c constraints.txt 'ray[data]' aiohttp pyspark pandas 'psycopg[binary]'
	echo "import site; site.addsitedir('$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')')" \
		> $$(build/engines/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/dev.pth
	touch $@

# Only what publishes needs twine, which brings 20 packages.
$(STAMPS)/release: constraints.txt | $(STAMPS)/dev
	$(PIP) install --no-compile -c constraints.txt twine
	touch $@

# Shell lines that install the Debian packages $(2), as root, where the program or folder $(1) is
# missing.
define debian
@command -v $(1) >/dev/null || test -d $(1) || { \
	if [[ $$(id -u) == 0 ]] && command -v apt-get >/dev/null; then \
		apt-get update -qq </dev/null; \
		DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $(2) </dev/null; \
	else \
		echo 'missing: $(2). Type: sudo apt-get install $(2)' >&2; exit 1; \
	fi; }
endef

arm-tools:
	$(call debian,aarch64-linux-gnu-g++,g++-aarch64-linux-gnu libc6-dev-arm64-cross)
	$(call debian,qemu-aarch64,qemu-user)

ssh-tools:
	$(call debian,/usr/sbin/sshd,openssh-server)

web-tools:
	$(call debian,clang++-19,clang-19)
	$(call debian,wasm-ld-19,lld-19)

android-tools: web-tools
	$(call debian,javac,openjdk-17-jdk-headless)

# For macOS, iOS and Windows.
platform-tools: web-tools
	$(call debian,llvm-lipo-19,llvm-19)

wine-tools:
	$(call debian,wine,wine wine64)
	$(call debian,x86_64-w64-mingw32-gcc,gcc-mingw-w64-x86-64-win32)

build/platforms/%/built: $(NATIVE) | $(STAMPS)/dev platform-tools
	$(BIN)/cmake -S runtime -B $(@D) -DCMAKE_BUILD_TYPE=Release -DSBN_NATIVE=ON -DSBN_TARGET=$* \
		-DCMAKE_TOOLCHAIN_FILE=$(CURDIR)/runtime/cmake/clang-$(if $(findstring windows,$*),windows,apple).cmake
	$(BIN)/cmake --build $(@D) --parallel $(JOBS)
	touch $@

# LLVM's models of ARM cores, in the oldest version that has them all.
LLVM := $(shell sed -n 's/^OLDEST = \([0-9]*\).*/\1/p' runtime/bench/arm/mca.py)
arm-models:
	$(call debian,llvm-mca-$(LLVM),llvm-$(LLVM))

# Without sanitizers for estimates of cycles, with them for tests.
$(ARM_BUILD)-sanitized/built: SANITIZERS := address,undefined
$(ARM_BUILD)/built $(ARM_BUILD)-sanitized/built: $(NATIVE) | $(STAMPS)/dev arm-tools
	$(BIN)/cmake -S runtime -B $(@D) -DCMAKE_BUILD_TYPE=Release -DSBN_BUILD_TESTS=ON \
		-DSBN_SANITIZE=$(SANITIZERS) \
		-DCMAKE_TOOLCHAIN_FILE=$(CURDIR)/runtime/cmake/aarch64-linux-gnu.cmake
	$(BIN)/cmake --build $(@D) --parallel $(JOBS)
	touch $@
