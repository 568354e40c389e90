"""How a device is named."""

from __future__ import annotations

import pytest

from sbn_deploy.remote.target import Phone, Target, parse
from sbn_runtime import InputError


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("ssh://host", Target(None, "host", None, None)),
        ("ssh://pi@raspberrypi.local", Target("pi", "raspberrypi.local", None, None)),
        ("ssh://pi@10.0.0.7:2222/mnt/usb/", Target("pi", "10.0.0.7", 2222, "/mnt/usb")),
        ("ssh://a.b-c@[fe80::1%eth0]:22/a.b/c-d", Target("a.b-c", "fe80::1%eth0", 22, "/a.b/c-d")),
    ],
)
def test_parse(text: str, target: Target) -> None:
    assert parse(text) == target


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "host",
            "pi@host",
            "http://host",
            "ssh://",
            "ssh://@host",
            "ssh://host:",
            "ssh://a b",
        ),
        *("ssh://-oProxyCommand=x", "ssh://-x@host", "ssh://host/$(x)", "ssh://host/a b"),
        *("ssh://host:99999999", "ssh://host/a;b", "ssh://pi:secret@host", "ssh://host\n"),
        *("adb", "adb:-x", "adb:a b", "adb:$(x)", "adb:a/b", "adb:a\n"),
    ],
)
def test_no_device(text: str) -> None:
    with pytest.raises(InputError, match=r"is not a device address; write ssh://\[USER@\]HOST"):
        parse(text)


@pytest.mark.parametrize("port", [0, 65536])
def test_no_port(port: int) -> None:
    with pytest.raises(InputError, match=f"invalid port {port}"):
        parse(f"ssh://host:{port}")


@pytest.mark.parametrize(
    ("text", "serial"),
    [
        ("adb:", None),
        ("adb:0123ABC", "0123ABC"),
        ("adb:192.168.1.5:5555", "192.168.1.5:5555"),
        ("adb:adb-1A2B-xyz._adb-tls-connect._tcp", "adb-1A2B-xyz._adb-tls-connect._tcp"),
    ],
)
def test_phone(text: str, serial: str | None) -> None:
    assert parse(text) == Phone(serial)
