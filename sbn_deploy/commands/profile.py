"""`sbn profile`: where the time of a model goes, layer by layer."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .common import at_least, new_parser, say, show_json, writable
from .remote_options import (
    add_remote_options,
    check_remote,
    is_phone,
    phone_kernels,
    remote_phone,
    remote_site,
)
from .show_times import show_profile

if TYPE_CHECKING:
    from sbn_deploy.records.profile import Profile

    from .common import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb's options."""
    parser = new_parser(
        subparsers,
        "profile",
        description="Times each layer of a model: operator, shapes, multiply-accumulates (MACs),"
        " time and share, MACs per cycle, percentage of this machine's peak on a binary"
        " convolution, bytes moved. Names the bottleneck.",
        example="sbn profile digits.onnx\n  sbn profile digits.onnx -o profile.json"
        " && sbn report profile.json -o report.html\n"
        "  sbn profile digits.onnx --remote ssh://pi@raspberrypi.local",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="ONNX file of `sbn export`")
    numbers = (
        ("--threads", 1, "threads that share a call"),
        ("--batch", 1, "samples in a call"),
        ("--runs", 200, "timed calls"),
    )
    for name, default, text in numbers:
        parser.add_argument(
            name,
            type=at_least(1),
            default=default,
            metavar="N",
            help=f"{text} (default: {default})",
        )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="measurement to write, for `sbn report`"
    )
    add_remote_options(parser)


def run(options: argparse.Namespace) -> int:
    """Profiles one model."""
    from sbn_deploy.records.files import save

    check_remote(options)
    if options.output is not None:
        writable(options.output)
    if is_phone(options):
        with phone_kernels(options) as isa:
            record = _profile_phone(options, isa)
    else:
        record = _profile_here(options) if options.remote is None else _profile_there(options)
    if options.output is not None:
        save(options.output, record)
        say(f"written: {options.output}")
    if options.json:
        show_json(record)
    else:
        show_profile(record)
    return 0


def _profile_here(options: argparse.Namespace) -> Profile:
    from sbn_deploy.engines.table import SBN
    from sbn_deploy.machine.describe import describe
    from sbn_deploy.profile.profile import profile_model
    from sbn_deploy.records.measurement import describe_model, head
    from sbn_deploy.records.profile import Profile
    from sbn_runtime import Session

    # Says what is wrong with a file better than onnxruntime.
    metadata = Session(options.model, engine=SBN, threads=options.threads).metadata
    say(f"{options.runs} calls of {options.model.name}")
    return Profile(
        **head(describe()),
        model=describe_model(options.model, metadata),
        **profile_model(
            options.model, threads=options.threads, batch=options.batch, runs=options.runs
        ),
    )


def _profile_there(options: argparse.Namespace) -> Profile:
    from sbn_deploy.engines.table import SBN
    from sbn_deploy.profile.profile import figures, known_layers
    from sbn_deploy.records.measurement import describe_model, head
    from sbn_deploy.records.profile import Profile
    from sbn_deploy.remote.device import ProfileJob
    from sbn_deploy.remote.steps import profile_remotely
    from sbn_runtime import Session

    site = remote_site(options)
    metadata = Session(options.model, engine=SBN, threads=1).metadata
    layers = known_layers(options.model)
    job = ProfileJob(threads=options.threads, batch=options.batch, runs=options.runs)
    answer, remote = profile_remotely(site, options.model, job, say)
    return Profile(
        **head(answer.machine),
        model=describe_model(options.model, metadata),
        **figures(answer.times, layers),
        remote=remote,
    )


def _profile_phone(options: argparse.Namespace, isa: str) -> Profile:
    from sbn_deploy.engines.table import NATIVE
    from sbn_deploy.profile.profile import figures, known_layers
    from sbn_deploy.records.measurement import describe_model, head
    from sbn_deploy.records.profile import Profile
    from sbn_deploy.remote.phone import profile_on_phone
    from sbn_runtime import Session

    phone = remote_phone(options)
    metadata = Session(options.model, threads=1).metadata
    layers = known_layers(options.model)
    times, machine, remote = profile_on_phone(
        phone,
        options.model,
        threads=options.threads,
        batch=options.batch,
        runs=options.runs,
        isa=isa,
        say=say,
    )
    return Profile(
        **head(machine),
        model=describe_model(options.model, metadata),
        engine=NATIVE,
        **figures(times, layers),
        remote=remote,
    )
