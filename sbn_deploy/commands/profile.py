"""`sbn profile`: where the time of a model goes, layer by layer."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .common import at_least, new_parser, printable, say, show_json
from .remote_options import (
    add_remote_options,
    check_complete,
    measure_each,
    outputs,
    phone_kernels,
    remote_devices,
)
from .show_times import show_profile

if TYPE_CHECKING:
    from sbn_deploy.records.profile import Profile
    from sbn_deploy.remote.target import Phone, Target

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
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="measurement to write, for `sbn report`; with several --remote, a folder for a file of"
        " each",
    )
    add_remote_options(parser)


def run(options: argparse.Namespace) -> int:
    """Profiles one model."""
    devices = remote_devices(options)
    files = outputs(options.output, devices)
    with phone_kernels(options) as isa:
        jobs = {name: partial(_profile_there, options, at, isa) for name, at in devices.items()}
        found = measure_each(jobs, files) if devices else {"": _profile_here(options, files)}
    if files:
        say(f"written: {options.output}")
    records = list(found.values())
    if options.json:
        show_json(records if len(devices) > 1 else records[0])
    else:
        for name, record in found.items():
            if len(devices) > 1:
                print(f"\n{name}: {printable(record.machine.cpu)}")
            show_profile(record)
    check_complete(devices, found)
    return 0


def _profile_here(options: argparse.Namespace, files: Mapping[str, Path]) -> Profile:
    from sbn_deploy.engines.table import SBN
    from sbn_deploy.machine.describe import describe
    from sbn_deploy.profile.profile import profile_model
    from sbn_deploy.records.files import save
    from sbn_deploy.records.measurement import describe_model, head
    from sbn_deploy.records.profile import Profile
    from sbn_runtime import Session

    # Says what is wrong with a file better than onnxruntime.
    metadata = Session(options.model, engine=SBN, threads=options.threads).metadata
    say(f"{options.runs} calls of {options.model.name}")
    record = Profile(
        **head(describe()),
        model=describe_model(options.model, metadata),
        **profile_model(
            options.model, threads=options.threads, batch=options.batch, runs=options.runs
        ),
    )
    if files:
        save(files[""], record)
    return record


def _profile_there(options: argparse.Namespace, device: Target | Phone, isa: str) -> Profile:
    from sbn_deploy.remote.target import Target

    if isinstance(device, Target):
        return _profile_board(options, device)
    return _profile_phone(options, device, isa)


def _profile_board(options: argparse.Namespace, target: Target) -> Profile:
    from sbn_deploy.engines.table import SBN
    from sbn_deploy.profile.profile import figures, known_layers
    from sbn_deploy.records.measurement import describe_model, head
    from sbn_deploy.records.profile import Profile
    from sbn_deploy.remote.device import ProfileJob
    from sbn_deploy.remote.steps import Site, profile_remotely
    from sbn_runtime import Session

    site = Site(target, options.remote_python or "", options.wheel)
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


def _profile_phone(options: argparse.Namespace, phone: Phone, isa: str) -> Profile:
    from sbn_deploy.engines.table import NATIVE
    from sbn_deploy.profile.profile import figures, known_layers
    from sbn_deploy.records.measurement import describe_model, head
    from sbn_deploy.records.profile import Profile
    from sbn_deploy.remote.phone import profile_on_phone
    from sbn_runtime import Session

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
