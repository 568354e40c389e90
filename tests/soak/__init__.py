"""Fuzzers of what is read: one module for each format.

Each module offers

    check(seed: int, folder: Path) -> str

which makes one file of the format in the empty `folder`, mutated as `seed` says, and gives it
to every reader of the format. The answer is "accepted" or "refused"; anything else that comes
out of a reader than success or an `SbnError` of one line is raised. A case takes about a
millisecond, so that a runner can count 100,000 of them:

    python -m tests.soak npz 100000
"""
