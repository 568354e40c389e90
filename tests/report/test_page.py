"""The page, without a browser."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
from collections import Counter
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import pytest

from sbn_deploy.report import Report, write
from sbn_deploy.report.page import DETAILED

from . import builder
from .conftest import Collected

VOID = {"meta", "link"}
NAMED = re.compile(r"--([\w-]+): (#\w{6})")


class Page(HTMLParser):
    """Fails on tags that do not match, and keeps what tests look at."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), (tag, names)
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(params=["sweep_page", "single_page"])
def page(request: pytest.FixtureRequest) -> Page:
    path: Path = request.getfixturevalue(request.param)
    return Page(path.read_text(encoding="utf-8"))


def test_well_formed_with_each_name_once(page: Page) -> None:
    names = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(names)) == len(names)
    for _, attributes in page.tags:
        for key in ("aria-labelledby", "href"):
            for name in attributes.get(key, "").split():
                assert name.removeprefix("#") in names or name == "data:,"


def test_nothing_is_loaded(page: Page) -> None:
    for tag, attributes in page.tags:
        assert tag not in {"img", "iframe", "object", "embed", "base", "audio", "video", "form"}
        assert "src" not in attributes
        assert attributes.get("href", "#").startswith(("#", "data:,"))
        assert not any(name.startswith("on") or name == "style" for name in attributes)
    for name in ("style.css", "script.js"):
        text = files("sbn_deploy.report").joinpath("templates", name).read_text(encoding="utf-8")
        assert not re.search(r"url\(|@import|https?:|fetch\(|XMLHttp", text)


def test_the_policy_allows_one_script_only(sweep_page: Path) -> None:
    text = sweep_page.read_text(encoding="utf-8")
    (policy,) = (
        tag["content"] for tag in Page(text).of("meta") if tag.get("http-equiv") is not None
    )
    assert policy.startswith("default-src 'none'; ")
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy


def test_charts_can_be_heard(page: Page) -> None:
    pictures = [tag for tag in page.of("svg") if "aria-hidden" not in tag]
    assert pictures
    assert all(tag["role"] == "img" and tag["aria-labelledby"] for tag in pictures)
    assert len(page.of("figure")) == len(page.of("figcaption"))
    assert len(page.of("table")) == len(page.of("caption"))
    assert all(tag["scope"] in {"col", "row"} for tag in page.of("th"))
    headings = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(headings))


def test_json_holds_what_the_page_shows(sweep: Report, sweep_page: Path) -> None:
    written = json.loads(sweep_page.with_suffix(".json").read_text(encoding="utf-8"))
    assert written == json.loads(json.dumps(dataclasses.asdict(sweep)))
    text = " ".join(Page(sweep_page.read_text(encoding="utf-8")).text.split())
    for choice in written["choices"]:
        assert choice["text"] in text
        for figure in choice["figures"]:
            assert all(part in text for part in figure)
    for comparison in written["comparisons"]:
        for point in comparison["points"]:
            assert point["model"] in text
            assert f"{point['timing']['p50_ms']:.3g}" in text
    for source in written["sources"]:
        assert source["command"] in text
        assert source["sha256"][:16] in text


def test_sections_without_figures_are_left_out(collected: Collected, tmp_path: Path) -> None:
    facts = builder.model("alone")
    write(collected(speed=builder.benchmark([builder.Case(facts, 1.0)])), tmp_path / "r.html")
    names = {
        attributes.get("id")
        for attributes in Page((tmp_path / "r.html").read_text(encoding="utf-8")).of("section")
    }
    assert names == {None, "speed", "sources"}


def test_names_cannot_add_markup(collected: Collected, tmp_path: Path) -> None:
    hostile = "</title></svg></script><script>alert('&\")</script>"
    facts = builder.model(hostile, arch=hostile, file=hostile)
    classes = (hostile, "b")
    content = builder.evaluation(facts, *builder.answers(40, 2, 1.0), classes, data=hostile)
    machine = builder.SERVER | {"cpu": hostile}
    layers = builder.profile(facts, [(hostile, "binary", 3)], machine=machine)
    cases = [builder.Case(facts, 1.0), builder.Case(facts, 2.0, hostile)]
    speed = builder.benchmark(cases, machine=machine)
    write(collected(a=content, b=layers, c=speed), tmp_path / "r.html")
    found = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert len(found.of("script")) == 1
    assert hostile in found.text


def test_of_many_models_those_on_the_front_are_drawn(collected: Collected, tmp_path: Path) -> None:
    measured = {}
    for i in range(DETAILED + 1):
        facts = builder.model(f"model {i}")
        # The second is as fast as any, and the most accurate; the others are slower and worse.
        answers = builder.answers(60, 10, 20.0 if i == 1 else 1.0, i)
        measured[f"a{i}"] = builder.evaluation(facts, *answers, builder.CIFAR)
        speed = [builder.Case(facts, 0.1 if i == 1 else 1.0 + i)]
        measured[f"b{i}"] = builder.benchmark(speed, rounds=5, unstable=[f"reason {i}"])
    write(collected(**measured), tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    found = Page(text)
    assert sum("square" in figure.get("class", "") for figure in found.of("figure")) == 1
    assert f"the data of the other {DETAILED}" in found.text
    assert all(f"reason {i}" in found.text for i in range(DETAILED + 1))


@pytest.mark.long
def test_a_thousand_classes_stay_small(collected: Collected, tmp_path: Path) -> None:
    facts = builder.model("large", arch="quicknet")
    classes = [f"class {i}" for i in range(1000)]
    report = collected(a=builder.evaluation(facts, *builder.answers(5000, 1000, 6.0), classes))
    assert report.evaluations[0].evaluation.scores.top5 is not None
    write(report, tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Confusion matrix" not in text
    assert "Most often confused" in text
    assert "top 5" in text


def test_a_model_looks_the_same_on_every_chart(single_page: Path) -> None:
    """In the scatter plot, among the ratios, and in what was evaluated."""
    text = single_page.read_text(encoding="utf-8")
    marks = re.findall(r'<g class="mark[^"]*"><title>(.*?)</title>(.*?)</g>', text, re.DOTALL)
    looks: dict[str, set[tuple[str, str]]] = {}
    counts: Counter[str] = Counter()
    for tip, drawn in marks:
        for said in ("fp32 in", "int8 in", "sbn, 1 thread", "confidence", "asked for", "answered"):
            if said in tip:
                looks.setdefault(said, set()).update(
                    re.findall(r'<(circle|path) [^>]*class="m (c\d)', drawn)
                )
                counts[said] += 1
    assert all(len(look) == 1 for look in looks.values()), looks
    own = [looks[said] for said in ("sbn, 1 thread", "confidence", "asked for", "answered")]
    assert own == [own[0]] * 4
    assert counts["fp32 in"] > 4  # wide and narrow, two batches, and their ratios
    assert len({*looks["fp32 in"], *looks["int8 in"], *own[0]}) == 3


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colours_stand_out(theme: str) -> None:
    """The contrast that WCAG 2.2 asks for: 4.5 for text, 3 for marks."""
    style = files("sbn_deploy.report").joinpath("templates", "style.css").read_text("utf-8")
    blocks = style.split(":root {")[1:3]
    colours = dict(NAMED.findall(blocks[theme == "dark"].split("}")[0]))
    for name in ("ink", "soft", "accent"):
        for ground in ("page", "sheet", "marked", "warn"):
            assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
    for series in range(8):
        assert contrast(colours[f"c{series}"], colours["sheet"]) >= 3, series
    for shade, opacity in re.findall(r"\.h(\d) \{ fill-opacity: ([\d.]+)", style):
        ink = "heat-ink" if int(shade) >= 6 else "ink"
        mixed = mix(colours["heat"], colours["sheet"], float(opacity))
        assert contrast(colours[ink], mixed) >= 4.5, shade


def channels(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def mix(above: str, below: str, opacity: float) -> str:
    pairs = zip(channels(above), channels(below), strict=True)
    return "#" + "".join(f"{round(a * opacity + b * (1 - opacity)):02x}" for a, b in pairs)


def contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        linear = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
            for c in (value / 255 for value in channels(colour))
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)
