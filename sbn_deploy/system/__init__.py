"""What this operating system offers: `host`, a module for each.

All else in sbn_deploy asks it, and nothing that only some systems have is used elsewhere.

| name | what it is |
|---|---|
| `AWAY_FROM_CTRL_C` | arguments of Popen for a program that Ctrl-C in our terminal does not reach |
| `ENDING_SIGNALS` | signals that ask a program to end, beside Ctrl-C |
| `INSTALL` | how to get the programs ssh and adb |
| `KERNEL_FILES` | whether /sys and /proc describe the machine |
| `LACKS` | what measurements cannot have here, a sentence each |
| `SHARES_SSH` | whether several ssh can share a connection (ControlMaster) |
| `SHORT_FOLDER` | for temporary folders with sockets; None for the usual one |
| `usable_cores()` | numbers of the cores that this thread may run on |
| `keep_to(cores)` | keeps this thread, and those it starts, on these cores where the system can |
| `core_times()` | what the cores, by number, have done since the system started |
| `load_average()` | processes that wanted to run, mean over the last minute; None if unknown |
| `cpu_name()` | model of the CPU, with the board of an ARM machine; None if unknown |
| `cpu_features()` | extensions of the instruction set, by Linux's names |
| `sme_bits()` | length of a vector of SME; None without, or if unknown |
| `machine_id()` | a text that no other installation has; empty if unknown |
| `memory_bytes()` | memory of this machine |
| `memory_limit()` | what this process may have of it, as far as the system tells |
| `return_memory()` | lets this process return larger blocks at once, as else it may grow for long |
| `resident_bytes()`, `peak_bytes()` | of this process, now and at most; None if unknown |
| `forget_peak()` | lets the peak begin anew, where the system can |
| `hold(process)`, `release(process)` | stops a process, and lets it go on |
| `start_bound(command, …)` | Popen of a process that ends with this one, even while it is held |
| `starting_deaf()` | what is started in this context is deaf to Ctrl-C, where the system can |
| `bind_to_parent()` | is called in that process, for systems where it takes its own help |
| `lock(file)` | for this process, until it closes the file; BlockingIOError if another has it |
| `forbid_core_file()` | a crash of this process leaves no file behind |
| `expanded(words)` | a command line with files in place of patterns such as `*.png` |
| `use_console()` | makes the terminal understand colours and cursor movements |
| `is_closed_pipe(error)` | whether it says that the reader of a pipe has gone |
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from . import windows as host
elif sys.platform == "darwin":
    from . import macos as host
else:
    from . import linux as host

__all__ = ["host"]
