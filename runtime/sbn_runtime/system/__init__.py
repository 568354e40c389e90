"""What the runtime asks the operating system: its cores, each system in a module of its own.

`default_threads()` is how many threads onnxruntime should start: 0, which is one for each core, on
most CPUs. Where there are fast and slow cores, it is one for each fast core: a call is done when
its slowest thread is. Where this process may use some of the cores only, it is one for each of
those, as threads that wait for a core hold up the rest.

`core_count()` is how many cores there are; two threads of one count once.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from .windows import core_count, default_threads
elif sys.platform in ("darwin", "ios"):
    from .apple import core_count, default_threads
else:
    from .linux import core_count, default_threads

__all__ = ["core_count", "default_threads"]
