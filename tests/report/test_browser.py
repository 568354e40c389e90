"""The page in headless Chromium: nothing is loaded, everything is there, a phone can show it.

Chromium is not installed by `make`; where it is missing, these tests are skipped.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from itertools import product
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image

from sbn_deploy.report import Report, write

from ..nasty import UNICODE
from ..sampled import few
from . import builder
from .conftest import Collected

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed: apt-get install chromium"
)
PHONE = 390
# Hosts that Chromium itself contacts; the resolver rule keeps it from reaching them.
VENDOR = ("google.com", "googleapis.com", "gvt1.com")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--hide-scrollbars", "--enable-logging=stderr", "--host-resolver-rules=MAP * ~NOTFOUND"),
)
# Puts the page into a frame, and what was found in it into the attributes of the body.
FRAME = """<!doctype html>
<body style="margin:0">
<iframe width="{width}" height="2000" style="border:0" srcdoc="{page}"></iframe>
<script>
addEventListener("load", () => {{
  const inner = document.querySelector("iframe").contentDocument;
  const found = {{}};
  {script}
  document.body.dataset.found = JSON.stringify(found);
}});
</script>
"""


def chromium(page: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    profile = page.parent / "profile"
    try:
        return subprocess.run(
            [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", *flags, page.as_uri()],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    finally:
        shutil.rmtree(profile, ignore_errors=True)


def requests(page: Path, folder: Path) -> tuple[str, set[str]]:
    """The page after its script has run, and the foreign hosts that it asked for."""
    log = folder / "net.json"
    dom = chromium(page, "--dump-dom", f"--log-net-log={log}").stdout
    hosts = {
        urlsplit(url).hostname or ""
        for url in re.findall(r'"url":"(https?:[^"]*)"', log.read_text())
    }
    return dom, {host for host in hosts if not host.endswith(VENDOR)}


def found(page: Path, folder: Path, script: str, width: int = PHONE) -> dict[str, object]:
    """What a script found in the page, shown at a width."""
    text = html.escape(page.read_text(encoding="utf-8"))
    frame = folder / "frame.html"
    frame.write_text(FRAME.format(width=width, page=text, script=script), encoding="utf-8")
    dom = chromium(frame, "--dump-dom", "--window-size=1300,2000").stdout
    attribute = re.search(r'data-found="([^"]*)"', dom)
    assert attribute, dom[-500:]
    values: dict[str, object] = json.loads(html.unescape(attribute[1]))
    return values


def ground(page: Path, folder: Path, *flags: str) -> tuple[float, float]:
    """Lightness of the page's ground and the spread of lightness in the picture, 0 to 255."""
    picture = folder / "page.png"
    chromium(page, f"--screenshot={picture}", "--window-size=1180,1600", *flags)
    with Image.open(picture) as image:
        assert image.size == (1180, 1600)
        grey = image.convert("L")
        low, high = grey.getextrema()
        corner = grey.getpixel((2, 2))
    assert isinstance(corner, int)
    return float(corner), float(high) - float(low)


def test_no_request_leaves(sweep_page: Path, sweep: Report, tmp_path: Path) -> None:
    dom, hosts = requests(sweep_page, tmp_path)
    assert hosts == set()
    text = html.unescape(re.sub(r"<[^>]*>", "", dom))
    for choice in sweep.choices:
        assert choice.text in text
    for warning in sweep.unstable:
        assert warning.text in text
    assert "<button" in dom  # the script was allowed to run


@pytest.mark.long
def test_a_request_would_be_seen(single_page: Path, tmp_path: Path) -> None:
    text = single_page.read_text(encoding="utf-8")
    other = tmp_path / "other.html"
    image = '<img src="http://sbn.invalid/a.png">'
    other.write_text(text.replace("img-src data:", "img-src *").replace("</main>", image))
    assert requests(other, tmp_path)[1] == {"sbn.invalid"}
    # The page's own policy keeps it from asking.
    other.write_text(text.replace("</main>", image))
    assert requests(other, tmp_path)[1] == set()


def test_no_complaint_of_the_browser(single_page: Path) -> None:
    errors = chromium(single_page, "--dump-dom").stderr
    assert "CONSOLE" not in errors, errors


@pytest.mark.parametrize(
    ("width", "name"),
    few(product([320, PHONE, 760], ["sweep_page", "single_page"]), 2),
)
def test_the_page_does_not_scroll_sideways(
    name: str, width: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    page: Path = request.getfixturevalue(name)
    script = """
    for (const details of inner.querySelectorAll("details")) details.open = true;
    found.width = inner.scrollingElement.scrollWidth;
    found.hidden = [...inner.querySelectorAll(".scroll, pre")]
      .filter(e => !e.closest(".square") && e.scrollWidth > e.clientWidth + 1)
      .map(e => e.ariaLabel);
    const shown = [...inner.querySelectorAll(".wide, .narrow")].filter(e => e.offsetWidth);
    found.classes = [...new Set(shown.map(e => e.className))];
    found.smallest = Math.min(...[...inner.querySelectorAll("svg[role=img]")]
      .filter(e => e.getBoundingClientRect().width)
      .map(e => e.getBoundingClientRect().width / e.viewBox.baseVal.width));
    """
    values = found(page, tmp_path, script, width)
    assert values["width"] == width
    if width <= 700:
        assert values["hidden"] == []  # tables are not cut off either
    assert values["classes"] == (["narrow"] if width <= 700 else ["wide"])
    # Text of 11 to 12 pixels may shrink a little.
    assert float(str(values["smallest"])) > (0.6 if width == 320 else 0.75)


def test_text_in_charts_stays_inside_and_apart(sweep_page: Path, tmp_path: Path) -> None:
    script = """
    found.outside = [];
    found.overlapping = [];
    for (const svg of inner.querySelectorAll(".wide svg[role=img]")) {
      const frame = svg.getBoundingClientRect();
      const texts = [...svg.querySelectorAll("text")];
      const boxes = texts.map(text => text.getBoundingClientRect());
      boxes.forEach((a, i) => {
        if (a.left < frame.left - 1 || a.right > frame.right + 1)
          found.outside.push(texts[i].textContent);
        boxes.slice(0, i).forEach((b, j) => {
          const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
          const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
          if (width > 1 && height > 3)
            found.overlapping.push([texts[i].textContent, texts[j].textContent]);
        });
      });
    }
    """
    values = found(sweep_page, tmp_path, script, 1180)
    assert values == {"outside": [], "overlapping": []}


@pytest.mark.long
def test_tables_are_sorted_by_a_click(sweep_page: Path, tmp_path: Path) -> None:
    script = """
    const table = inner.querySelector("#speed table");
    const heads = [...table.tHead.rows[0].cells];
    const index = heads.findIndex(cell => cell.textContent === "accuracy");
    const column = () => [...table.tBodies[0].rows].map(row => row.cells[index].dataset.value);
    heads[index].firstChild.click();
    found.rising = column();
    heads[index].firstChild.click();
    found.falling = column();
    found.sort = heads[index].getAttribute("aria-sort");
    """
    values = found(sweep_page, tmp_path, script)
    rising, falling = values["rising"], values["falling"]
    assert isinstance(rising, list)
    assert isinstance(falling, list)
    numbers = [float(value) for value in rising if value is not None]
    assert numbers == sorted(numbers)
    assert [float(value) for value in falling if value is not None] == numbers[::-1]
    # What is not known comes last, either way.
    assert len(numbers) < len(rising)
    assert rising[: len(numbers)].count(None) == falling[: len(numbers)].count(None) == 0
    assert values["sort"] == "descending"


@pytest.mark.long
def test_light_and_dark(single_page: Path, tmp_path: Path) -> None:
    light, dark = ground(single_page, tmp_path), ground(single_page, tmp_path, "--force-dark-mode")
    assert light[0] > 230
    assert dark[0] < 40
    assert min(light[1], dark[1]) > 180


@pytest.mark.long
def test_it_prints(single_page: Path, tmp_path: Path) -> None:
    paper = tmp_path / "report.pdf"
    chromium(single_page, f"--print-to-pdf={paper}", "--no-pdf-header-footer")
    assert paper.read_bytes().startswith(b"%PDF")


def test_names_are_text(collected: Collected, tmp_path: Path) -> None:
    """Of models, classes, data sets, layers, machines."""
    facts = [builder.model(name) for name in UNICODE]
    answers = builder.answers(60, len(UNICODE) // 2 * 2, 1.0)
    classes = UNICODE[: answers[0].shape[1]]
    machine = builder.SERVER | {"cpu": UNICODE[0]}
    report = collected(
        times=builder.benchmark(
            [builder.Case(entry, 1.0 + i) for i, entry in enumerate(facts)],
            machine=machine,
            unstable=UNICODE,
        ),
        accuracy=builder.evaluation(facts[0], *answers, classes, data=UNICODE[1], machine=machine),
        layers=builder.profile(facts[0], [(name, "binary", 3) for name in UNICODE]),
    )
    page = tmp_path / "page.html"
    write(report, page)
    text = page.read_text(encoding="utf-8")
    assert all(line.isprintable() for line in text.split("\n"))
    seen = chromium(page, "--dump-dom")
    assert "CONSOLE" not in seen.stderr
    assert seen.stdout.count("<script") == 1
    assert "<img" not in seen.stdout
    assert html.escape(UNICODE[0], quote=False) in seen.stdout
