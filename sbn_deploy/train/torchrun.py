"""torchrun, which says in one line what went wrong.

`python -m sbn_deploy.train.torchrun` takes torchrun's options, and starts what they say.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from torch.distributed import run
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.elastic.rendezvous.api import RendezvousError, RendezvousTimeoutError


def main(arguments: Sequence[str]) -> int:
    """The exit status: that of the process that failed first, 128 and more for a signal."""
    options = run.parse_args(list(arguments))
    # Processes that are started again would read in a store that is kept for them where those
    # before them had been.
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    where = options.rdzv_endpoint or "the rendezvous"
    try:
        run.run(options)
    except RendezvousTimeoutError:
        return _fail(
            f"not all {options.nnodes} nodes came to {where} in time; start the same command, with"
            " the same --rdzv-id and --nnodes, on the others, and check that they reach that"
            " address (join_timeout=SECONDS in --rdzv-conf sets how long to wait)"
        )
    except RendezvousError as error:
        return _fail(f"cannot meet the other nodes at {where}: {' '.join(str(error).split())}")
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        code = int(failure.exitcode)
        how = f"was ended by {failure.signal_name()}" if code < 0 else f"failed with status {code}"
        _fail(f"process {rank} {how}; run the same command with --resume to go on")
        return 128 - code if code < 0 else code
    except SignalException as error:
        return 128 + int(error.sigval)
    return 0


def _fail(message: str) -> int:
    print("sbn: error:", message, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
