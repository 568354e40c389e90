"""What a program learns of another operating system."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sbn_deploy.system import host

from .other import SYSTEMS, run

ASK = """
import json, os, signal, subprocess, sys, tempfile, time
from sbn_deploy.system import host
from sbn_runtime.system import core_count, default_threads
from sbn_deploy.machine.cores import pinned

with pinned(1):
    pass
found = dict(
    module=host.__name__,
    cores=core_count(),
    threads=default_threads(),
    cpu=host.cpu_name(),
    features=sorted(host.cpu_features()),
    sme_bits=host.sme_bits(),
    identified=isinstance(host.machine_id(), str),
    usable=len(host.usable_cores()),
    busy=sum(time.busy for time in host.core_times().values()),
    memory=host.memory_bytes(),
    limited=0 < host.memory_limit() <= host.memory_bytes(),
    grew=host.peak_bytes() >= host.resident_bytes() // 2 > 1 << 20,
    lacks=host.LACKS,
)
with tempfile.TemporaryFile() as errors:
    process = host.start_bound(
        [sys.executable, "-S", "-c", "import sys; print('here', flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
    )
    process.stdout.readline()
    host.hold(process)
    state = lambda: open(f"/proc/{process.pid}/stat").read().rpartition(")")[2].split()[0]
    while state() != "T":
        time.sleep(0.01)
    host.release(process)
    process.stdin.close()
    found["ended"] = process.wait()
    process.stdout.close()
    host.hold(process)
    host.release(process)
with open("lock", "a+b", 0) as first, open("lock", "a+b", 0) as second:
    host.lock(first)
    try:
        host.lock(second)
    except BlockingIOError:
        found["locked"] = True
host.return_memory()
with host.starting_deaf():
    pass
host.use_console()
found["pid"] = process.pid
"""


def asked(system: str, folder: Path, then: str = "") -> dict[str, object]:
    found = json.loads(run(system, f"{ASK}\n{then}\nprint(json.dumps(found))", folder))
    assert found.pop("ended") == 0
    assert found.pop("locked")
    assert found.pop("identified")
    assert found.pop("grew")
    assert found.pop("busy") > 0
    assert found.pop("usable") >= 1
    assert found.pop("memory") > 1 << 30
    assert found.pop("limited")
    return found


def test_a_mac(tmp_path: Path) -> None:
    found = asked("darwin", tmp_path)
    assert found["module"] == "sbn_deploy.system.macos"
    assert (found["cores"], found["threads"]) == (8, 4)
    assert found["cpu"] == "Apple M4"
    assert found["features"] == ["asimddp", "i8mm", "sme2"]
    assert found["sme_bits"] == 512
    assert "threads are not pinned: macOS lets no program choose its cores" in found["lacks"]


def test_a_windows_machine(tmp_path: Path) -> None:
    more = """
import ctypes
library = ctypes.CDLL(json.loads(os.environ["SBN_OTHER_SYSTEM"])["library"])
found["bound"], found["console"] = library.test_bound(), library.test_console_mode()
# As the Python of a virtual environment there: a process that only starts another one.
inner = "print(flush=True); input()"
outer = f"import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', {inner!r}])"
with tempfile.TemporaryFile() as errors:
    process = host.start_bound(
        [sys.executable, "-S", "-c", outer],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
    )
    process.stdout.readline()
    (child,) = open(f"/proc/{process.pid}/task/{process.pid}/children").read().split()
    for action, wanted in ((host.hold, "T"), (host.release, "S")):
        action(process)
        for pid in (process.pid, child):
            while open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] != wanted:
                time.sleep(0.01)
    process.communicate(b"\\n")
for name, mask in (("fast", 0x0f), ("slow", 0x31), ("few", 0x01)):
    library.test_set_affinity(ctypes.c_uint64(mask))
    found[name] = default_threads()
"""
    found = asked("win32", tmp_path, more)
    assert found["module"] == "sbn_deploy.system.windows"
    assert (found["cores"], found["threads"]) == (4, 2)
    assert (found["fast"], found["slow"], found["few"]) == (2, 1, 1)
    assert found["cpu"] == "AMD Ryzen 7 5800X 8-Core Processor"
    assert found["features"] == ["avx2"]
    assert found["sme_bits"] is None
    assert found["bound"] == found["pid"]
    assert found["console"] == 3 | 4


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_other_system_lacks_what_it_should(system: str, tmp_path: Path) -> None:
    """The test of our code is worth what this stand-in hides."""
    code = """
import json, os
from sbn_runtime import shutdown

here = shutdown.os
found = dict(
    fork=hasattr(here, "register_at_fork"), affinity=hasattr(here, "sched_getaffinity"),
    real=hasattr(os, "sched_getaffinity"),
)
print(json.dumps(found))
"""
    found = json.loads(run(system, code, tmp_path))
    assert found == {"fork": system == "darwin", "affinity": False, "real": True}


def test_ctrl_c_that_comes_while_a_process_starts_is_kept() -> None:
    """And the process does not hear it, from its first moment on."""
    ask = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    said = []

    def start() -> None:
        with host.starting_deaf():
            signal.raise_signal(signal.SIGINT)
            said.append(subprocess.check_output([sys.executable, "-c", ask], text=True))

    with pytest.raises(KeyboardInterrupt):
        start()
    assert said == ["True\n"]
