"""The op library under AddressSanitizer and UndefinedBehaviorSanitizer, for Python to load.

`python -m tests.soak.sanitized COMMAND...` builds it and runs the command with it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "sanitized"
LIBRARY = BUILD / "libsbn.so"
# Names the library that the tests' models are to be run with.
VARIABLE = "SBN_SANITIZED_LIBRARY"


def build() -> None:
    """Builds build/sanitized/libsbn.so, or what of it is out of date.

    Raises:
        subprocess.CalledProcessError: there is no compiler, or it failed.
    """
    cmake = Path(sys.executable).with_name("cmake")
    options = ["-DSBN_SANITIZE=address,undefined", "-DCMAKE_BUILD_TYPE=RelWithDebInfo"]
    subprocess.run([cmake, "-S", ROOT / "runtime", "-B", BUILD, *options], check=True)
    jobs = str(os.cpu_count() or 1)
    subprocess.run([cmake, "--build", BUILD, "--target", "sbn", "--parallel", jobs], check=True)


def environment() -> dict[str, str]:
    """What to run a Python with that loads the library; `build` must have run.

    The sanitizers' runtime must be in the process first. Python and onnxruntime were not built
    with it, so that it sees only what the library does, and leaks are not looked for. An
    allocation that is too large fails, as without it.
    """
    runtimes = [_runtime("libasan.so"), _runtime("libubsan.so"), _runtime("libstdc++.so.6")]
    return {
        **os.environ,
        "LD_PRELOAD": " ".join(runtimes),
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:handle_abort=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",
        VARIABLE: str(LIBRARY),
    }


def _runtime(name: str) -> str:
    """Where the compiler has a library of its own."""
    compiler = os.environ.get("CXX", "c++")
    command = [compiler, f"-print-file-name={name}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    build()
    sys.exit(subprocess.run(sys.argv[1:], env=environment(), check=False).returncode)
