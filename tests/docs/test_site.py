"""The site builds without warnings, loads nothing from elsewhere, and says all there is."""

from __future__ import annotations

import argparse
import importlib
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from sbn_deploy import cli

from ..once import once
from .pages import ROOT

# Building it takes ten seconds; `make docs` does so too.
pytestmark = pytest.mark.long
# What a page loads, as against what it links to.
LOADED = {
    "audio": "src",
    "embed": "src",
    "iframe": "src",
    "img": "src",
    "link": "href",
    "object": "data",
    "script": "src",
    "source": "src",
    "video": "src",
}
PACKAGES = {
    "sbn_runtime": "sbn_runtime",
    "sbn_deploy.nn": "nn",
    "sbn_deploy.nn.models": "nn",
    "sbn_deploy.train.optim": "train",
    "sbn_deploy.data": "train",
    "sbn_deploy.estimators": "train",
    "sbn_deploy.experiments": "train",
    "sbn_deploy.materialize": "export",
    "sbn_deploy.export": "export",
    "sbn_deploy.validate": "export",
}


class Page(HTMLParser):
    """What an HTML file loads, links to, and has as anchors."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {key: value for key, value in attrs if value}
        if values.get("rel") in ("canonical", "prev", "next"):
            return
        if address := values.get(LOADED.get(tag, "")):
            self.loaded.append(address)
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if "id" in values:
            self.anchors.add(values["id"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="the extra `docs` is not installed")
    return once(tmp_path_factory, "site", build)


def build(folder: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(
        [*command, "--config-file", str(ROOT / "docs/site/mkdocs.yml")],
        env={
            **os.environ,
            "NO_MKDOCS_2_WARNING": "1",
            "PYTHONPATH": os.pathsep.join(map(str, filter(None, sys.path))),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html")}


def _local(address: str) -> bool:
    return not urlsplit(address).scheme and not address.startswith("//")


def test_pages_load_nothing_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        assert page.loaded
        for address in page.loaded:
            if address.startswith("data:"):
                continue
            assert _local(address), f"{path}: {address}"
            # The page for missing pages is served at any address.
            if path.name != "404.html":
                assert (path.parent / unquote(urlsplit(address).path)).is_file(), address
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert not re.search(r"@import|url\(\s*[\"']?(https?:)?//", text), style


def test_links_lead_somewhere(pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        if path.name == "404.html":
            continue
        for link in filter(_local, page.links):
            parts = urlsplit(link)
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.is_file(), f"{path.name}: {link}"
            if parts.fragment and target in pages:
                known = pages[target].anchors | {"__comments"}
                assert unquote(parts.fragment) in known, f"{path.name}: {link}"


def test_notes_for_tests_are_not_on_the_pages(site: Path) -> None:
    for path in site.rglob("*.html"):
        assert "<!-- not run" not in path.read_text(encoding="utf-8")


def test_every_option_is_in_the_reference(site: Path) -> None:
    text = (site / "command-line.html").read_text(encoding="utf-8")
    verbs = argparse.ArgumentParser(prog="sbn").add_subparsers()
    for verb in cli.VERBS:
        cli.command(verb).add_parser(verbs)
        section = text.partition(f'<h2 id="sbn-{verb}">')[2].partition("<h2 ")[0]
        assert section, verb
        options = {
            option for action in verbs.choices[verb]._actions for option in action.option_strings
        }
        for option in options - {"-h", "--help"}:
            assert option in section, f"sbn {verb} {option}"


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_in_the_reference(
    package: str, site: Path, pages: dict[Path, Page]
) -> None:
    page = pages[site / "api" / f"{PACKAGES[package]}.html"]
    for name in importlib.import_module(package).__all__:
        value = getattr(importlib.import_module(package), name)
        if getattr(value, "__doc__", None) and hasattr(value, "__module__"):
            # Under the name it is imported by, or where it is defined.
            known = {f"{package}.{name}", f"{value.__module__}.{name}"}
            assert known & page.anchors, f"{package}.{name} is on no page of docs/api"
