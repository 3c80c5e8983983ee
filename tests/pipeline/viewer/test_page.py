"""The page in a real browser: look through a run, hear a recording, and nothing hostile happens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.run_dir import RunDirectory
from pipeline.viewer.static import write_static
from tests.pipeline.viewer.chromium import PROGRAM, Chromium
from tests.pipeline.viewer.conftest import HOSTILE, ROWS

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="needs the program chromium (Debian: apt install chromium)")

CARDS = "document.querySelectorAll('.card').length"
STAGES_AFTER_FILTER = ("said", "converse", "templates", "shards")
DRAWN = "[...document.querySelectorAll('img')].every((image) => image.complete && image.naturalWidth > 0)"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def browser(running: Chromium) -> Iterator[Chromium]:
    """A browser that holds nothing against the page, and that asks nobody but the page's own server."""
    running.complaints.clear()
    running.requests.clear()
    running.size(1360, 900)
    yield running
    running.run("1")
    assert running.complaints == []
    near = ("http://127.0.0.1:", "data:", "file:", "about:")
    assert [url for url in running.requests if not url.startswith(near)] == []


@pytest.fixture(scope="module")
def file(viewed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page as one file."""
    file = tmp_path_factory.mktemp("static") / "out.html"
    assert write_static(RunDirectory(str(viewed)), str(file)) == ROWS
    return file


@pytest.fixture(params=["server", "file"])
def address(request: pytest.FixtureRequest) -> str:
    """The page, served or as a file: what it does is the same."""
    if request.param == "file":
        return f"file://{request.getfixturevalue('file')}"
    return str(request.getfixturevalue("page"))


def texts(browser: Chromium, selector: str) -> list[str]:
    found: list[str] = browser.run(f"[...document.querySelectorAll({selector!r})].map((each) => each.textContent)")
    return found


def ids(browser: Chromium) -> list[str]:
    return texts(browser, ".card .id")


def test_grid_shows_pictures_and_turns_pages(browser: Chromium, address: str) -> None:
    """The first page has its pictures; the next one the rest."""
    browser.open(address)
    browser.wait(f"{CARDS} === 60 && {DRAWN}")
    assert browser.run("document.title") == "test · Showtell"
    assert ids(browser)[:3] == ["s0", "s1", "s2"]
    browser.press("]")
    browser.wait(f"{CARDS} === {ROWS - 60}")
    assert ids(browser)[0] == "s60"
    browser.press("[")
    browser.wait(f"{CARDS} === 60")


def test_filters_by_click_score_and_words(browser: Chromium, address: str) -> None:
    """A reason, a score and words each narrow the grid; the address keeps them, and one button clears them."""
    browser.open(address)
    browser.wait(f"{CARDS} === 60")
    browser.run("document.getElementById('reason=filtered').click()")
    browser.wait(f"{CARDS} === 1")
    assert ids(browser) == ["s4"]
    assert texts(browser, ".card .chip") == ["filtered"]
    browser.run("document.getElementById('clear').click()")
    browser.wait(f"{CARDS} === 60")
    browser.run("const add = document.getElementById('add-range'); add.value = 'width'; add.onchange({target: add})")
    browser.wait("document.getElementById('range-width-1')")
    browser.run("const most = document.getElementById('range-width-1'); most.value = 50; most.onchange({target: most})")
    browser.wait(f"{CARDS} === 1")
    assert ids(browser) == ["s4"]
    assert "range=width%3A%3A50" in browser.run("location.hash")
    browser.run("document.getElementById('clear').click()")
    browser.wait(f"{CARDS} === 60")
    browser.press("/")
    for letter in "red ball":
        browser.press(letter)
    browser.wait(f"{CARDS} === 1")
    assert ids(browser) == ["s0"]


def test_boxes_stand_where_they_should(browser: Chromium, address: str) -> None:
    """A box and a point are drawn over the picture in its own measure, and can be put away."""
    browser.open(f"{address}#sample=0/0&at=0")
    browser.wait(f"document.querySelectorAll('.mark-box').length === 1 && {DRAWN}")
    drawn, mark = "document.getElementById('image')", "document.querySelector('.mark-box')"
    image = browser.run(f"(({{x, y, width, height}}) => [x, y, width, height])({drawn}.getBoundingClientRect())")
    box = browser.run(f"(({{x, y, width, height}}) => [x, y, width, height])({mark}.getBoundingClientRect())")
    assert image[2] / image[3] == pytest.approx(2, rel=0.01)
    assert box == pytest.approx(
        [image[0] + image[2] / 4, image[1] + image[3] / 2, image[2] / 2, image[3] / 2], abs=1
    )
    point = browser.run("(({x, y, width}) => [x + width / 2, y + width / 2])"
                        "(document.querySelector('.mark-point').getBoundingClientRect())")
    assert point == pytest.approx([image[0] + image[2] / 2, image[1] + image[3] * 3 / 4], abs=1.5)
    browser.press("b")
    assert browser.run(f"getComputedStyle({mark}).display") == "none"


def test_findings_are_marked_where_they_are(browser: Chromium, address: str) -> None:
    """What the check found is marked to the letter, also behind a character outside the basic plane."""
    browser.open(f"{address}#sample=0/0&at=0")
    browser.wait("document.querySelector('mark')")
    assert "".join(texts(browser, ".talk mark")) == "three dogs"
    assert texts(browser, ".findings li") == ["countthe boxes show 1", "object<b>no</b> dogs"]
    title = browser.run("document.querySelectorAll('mark')[1].title")
    assert title == "count: the boxes show 1\nobject: <b>no</b> dogs"


def test_recording_plays_and_the_transcript_follows(browser: Chromium, address: str) -> None:
    """The recording has a length, plays, and the sentence that is heard is marked; a click on one goes there."""
    browser.open(f"{address}#sample=0/3&at=3")
    browser.wait("document.getElementById('audio')?.duration > 10")
    browser.press(" ")
    browser.wait("document.getElementById('audio').currentTime > 0.3")
    browser.wait("document.querySelector('#transcript .now')?.textContent === 'At first I see circles.'")
    browser.run("document.querySelectorAll('#transcript button')[1].click()")
    browser.wait("document.querySelector('#transcript .now')?.textContent === 'They are blue.'")
    assert browser.run("document.getElementById('audio').currentTime") >= 2
    browser.press(" ")
    browser.wait("document.getElementById('audio').paused")


def test_rejected_samples_tell_why(browser: Chromium, address: str) -> None:
    """A rejected sample names the stage, the reason, its meaning and the values; stages after it were not reached."""
    browser.open(f"{address}#state=rejected&sample=0/4&at=1")
    browser.wait("document.querySelector('.verdict')")
    lines = texts(browser, ".verdict > *")
    assert lines == ["Rejected by filter: filtered", "the expression of `keep` does not hold", "width = 40"]
    assert texts(browser, ".story .missed") == [f"{stage}: not reached" for stage in STAGES_AFTER_FILTER]
    assert "compared width" in texts(browser, ".story li.rejected td")
    browser.press("ArrowLeft")
    browser.wait("document.querySelector('.title h2').textContent === 's2'")


def test_prompts_and_replies_are_shown(browser: Chromium, page: str) -> None:
    """What a chat model was asked about the sample, hostile captions too, and what it replied, read when asked for."""
    browser.open(f"{page}#sample=0/1&at=1")
    browser.wait("document.querySelector('.exchange')")
    browser.run("for (const each of document.querySelectorAll('.story details')) each.open = true")
    browser.wait("document.querySelectorAll('.exchange pre').length === 3")
    asked, reply = texts(browser, ".exchange pre")[1:]
    assert "- < script>document.title = 'hit'< /script>" in asked
    assert json.loads(reply) == {"description": "It is round."}


def test_hostile_texts_are_inert(browser: Chromium, address: str) -> None:
    """Scripts, handlers and `javascript:` addresses of a sample stay text, wherever they stand."""
    browser.open(address)
    browser.wait(f"{CARDS} === 60")
    assert texts(browser, ".card .text")[1] == HOSTILE
    for place, fields in (("0/1", [HOSTILE]), ("0/2", [HOSTILE])):
        browser.open(f"{address}#sample={place}&at=0")
        browser.wait("document.querySelector('.story')")
        assert texts(browser, ".part ul.plain li") == fields
    assert texts(browser, "td a") == []
    assert "javascript:document.title='hit'" in texts(browser, "td")
    browser.open(f"{address}#sample=0/1&at=1")
    browser.wait("document.querySelector('.mark-box')")
    assert texts(browser, ".mark-box") == [HOSTILE]
    assert texts(browser, ".talk .said")[0].endswith("<script>document.title = 'hit'</script>")
    assert browser.run("document.querySelectorAll('main script, main [onerror], main [onload]').length") == 0
    assert browser.run("[...document.links].every((link) => /^(http|file)/.test(link.protocol))")
    assert browser.run("document.title") == "test · Showtell"


def test_policy_stops_what_the_page_did_not_bring(running: Chromium, address: str) -> None:
    """Were markup ever let in, its script would still not run, and no other site would hear of it."""
    running.open(address)
    running.wait(f"{CARDS} === 60")
    running.requests.clear()
    running.run("document.body.insertAdjacentHTML('beforeend', `<img src=x onerror=\"document.title='hit'\">`)")
    running.run("const script = document.createElement('script'); script.textContent = `document.title = 'hit'`;"
                "document.body.append(script)")
    running.run("const image = new Image(); image.src = 'http://127.0.0.1:9/told'; document.body.append(image)")
    running.wait("true")
    assert running.run("document.title") == "test · Showtell"
    assert any("Content Security Policy" in complaint for complaint in running.complaints)


def test_keyboard_alone_is_enough(browser: Chromium, address: str) -> None:
    """From the grid into a sample, to the next one and back to where one was, without a mouse."""
    browser.open(address)
    browser.wait(f"{CARDS} === 60")
    for key in ("ArrowRight", "ArrowRight", "Enter"):
        browser.press(key)
    browser.wait("document.querySelector('.title h2')?.textContent === 's1'")
    browser.press("j")
    browser.wait("document.querySelector('.title h2').textContent === 's2'")
    browser.press("Escape")
    browser.wait("document.activeElement.dataset.place === '0/2'")
    browser.press("?")
    assert browser.run("document.getElementById('help').open")
    browser.press("Escape")
    browser.wait("!document.getElementById('help').open")
    assert browser.run("document.activeElement.dataset.place") == "0/2"


@pytest.mark.parametrize("place", ["", "#sample=0/0&at=0", "#sample=0/1&at=0", "#sample=0/3&at=0"])
def test_phone(browser: Chromium, address: str, place: str) -> None:
    """At a phone's width nothing has to be scrolled sideways, and the grid's filters open by a button."""
    browser.size(360, 740, is_phone=True)
    browser.open(address + place)
    browser.wait("document.querySelector('#main > *')")
    browser.run("for (const each of document.querySelectorAll('details')) each.open = true")
    assert browser.run("document.documentElement.scrollWidth") <= 360
    browser.run("document.getElementById('show-filters').click()")
    assert (browser.run("document.getElementById('filters').getBoundingClientRect().height") > 0) == (not place)
    assert browser.run("document.documentElement.scrollWidth") <= 360


def test_dark(browser: Chromium, address: str) -> None:
    """Where dark is preferred the page is dark and its text light."""

    def lightness(what: str) -> float:
        script = f"getComputedStyle(document.body).{what}.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + +b, 0)"
        return float(browser.run(script))

    browser.colours("dark")
    browser.open(address)
    browser.wait(f"{CARDS} === 60")
    assert lightness("backgroundColor") < 150 < 600 < lightness("color")
    browser.colours("light")
    assert lightness("color") < 150 < 600 < lightness("backgroundColor")


def test_file_needs_nothing_else(browser: Chromium, file: Path) -> None:
    """The file holds all it shows: nothing is fetched."""
    browser.open(f"file://{file}")
    browser.wait(f"{CARDS} === 60 && {DRAWN}")
    browser.open(f"file://{file}#sample=0/3&at=3")
    browser.wait("document.getElementById('audio')?.duration > 10")
    outside: list[Any] = [url for url in browser.requests if not url.startswith(("data:", "about:", f"file://{file}"))]
    assert outside == []
