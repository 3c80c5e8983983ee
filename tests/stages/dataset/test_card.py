"""The card: readable by the hub, true to the reports, and untouched by what strangers write."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import mlcroissant
import pytest
import yaml
from datasets import load_dataset
from huggingface_hub import DatasetCard, DatasetCardData
from markdown_it import MarkdownIt
from markdown_it.token import Token
from PIL import Image

from pipeline.execute import Result
from stages.dataset.capped import CappedCounter
from stages.dataset.card import BEGIN, END, with_validation
from stages.dataset.markdown import escape, table
from stages.dataset.rows import features
from tests.pipeline.runs import PROBES, run_inline, write_config

STAGES = [{"use": f"{PROBES}Picky"}, {"use": f"{PROBES}Pictures"}, {"use": f"{PROBES}Length"}, {"use": f"{PROBES}Talk"}]

HOSTILE = {
    "script": "<script>alert(1)</script>",
    "image": "<img src=x onerror=alert(1)>",
    "comment": "<!-- the rest of the card",
    "cell": "a | b || c |",
    "row": "a |\n| --- |\n| b",
    "backticks": "``` code ` ```",
    "newlines": "one\r\n\r\n# two\n- three\x0bfour\u2028five\x85six",
    "link": "](javascript:alert(1)) [x](javascript:alert(1))",
    "picture": "![x](http://evil.example/track.png)",
    "autolink": "<http://evil.example> http://evil.example www.evil.example",
    "reference": "[x]: http://evil.example",
    "emphasis": "**bold** _it_ ~~gone~~ $x^2$",
    "backslash": "\\| \\\\| \\",
    "entity": "&lt;script&gt; &#124; &vert;",
    "front matter": "---\nlicense: mit\n---",
    "heading": "x\n===",
    "control": "\x00\x1b[31m\x7f",
    "quote": "> > quoted",
}


def card_of(
    folder: Path, rows: Sequence[Mapping[str, Any]], *, shards: Mapping[str, Any] | None = None,
    after: Sequence[Mapping[str, Any]] = (), **more: Any,
) -> tuple[str, Result]:
    """Run a config over these rows and return the card."""
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    stages = [*STAGES, {"use": "shards", "splits": {}} | dict(shards or {}), *after]
    result, _ = run_inline(write_config(folder, stages, **more))
    return (folder / "run" / "dataset" / "README.md").read_text(), result


def tokens_of(markdown: str) -> Iterator[Token]:
    """Yield every token of a page as a Markdown parser with tables and HTML sees it."""
    body = markdown.split("---\n", 2)[2] if markdown.startswith("---\n") else markdown
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(body):
        yield token
        yield from token.children or ()


def tables_of(markdown: str) -> dict[str, list[list[str]]]:
    """Return the rows of the table under each heading, cells as they are read."""
    found: dict[str, list[list[str]]] = {}
    heading, before, cells = "", "", []
    for token in tokens_of(markdown):
        if token.type == "inline" and before == "heading_open":
            heading = token.content
        if token.type == "tr_open":
            cells = []
        if token.type == "inline" and before in {"th_open", "td_open"}:
            cells.append("".join(child.content for child in token.children or ()))
        if token.type == "tr_close":
            found.setdefault(heading, []).append(cells)
        before = token.type
    return found


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_escape(text: str) -> None:
    """Whatever a stranger writes stands on the page as plain text on one line."""
    escaped = escape(text)
    assert "\n" not in escaped
    kinds = {token.type for token in tokens_of(f"text {escaped}\n")}
    assert kinds <= {"paragraph_open", "inline", "text", "text_special", "paragraph_close"}
    shown = "".join(token.content for token in tokens_of(f"text {escaped}\n") if token.type.startswith("text"))
    visible = "".join(c if c.isprintable() else " " for c in text)
    assert shown.replace("@\u2060", "@").split() == ["text", *visible.split()]


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_table_cell(text: str) -> None:
    """No text leaves its cell."""
    page = f"### t\n\n{table(['name', 'count'], [(text, 1), ('after', 2)])}"
    header, first, after = tables_of(page)["t"]
    assert header == ["name", "count"]
    assert (len(first), first[1]) == (2, "1")
    assert after == ["after", "2"]


def test_hostile_sample(tmp_path: Path) -> None:
    """With every hostile text as caption, label, licence, kind and words, the card has the same structure as ever."""
    rows = []
    for number, text in enumerate(HOSTILE.values()):
        turns = [{"role": "user", "content": text}, {"role": "assistant", "content": text}]
        rows.append({
            "id": f"{number}{text}", "captions": [text or "x"], "license": text, "image_url": f"http://{text}/x.png",
            "boxes": [{"label": text, "box": [0, 0, 1, 1]}],
            "source_conversations": [{"kind": text, "messages": turns, "provenance": text}],
        })
    card, _ = card_of(tmp_path, rows)
    tokens = list(tokens_of(card))
    assert not {token.type for token in tokens} & {"html_inline", "link_open", "s_open", "hr"}
    assert [token.content for token in tokens if token.type == "html_block"] == [BEGIN, END]
    pictures = [token.attrs["src"] for token in tokens if token.type == "image"]
    assert pictures == [*(f"examples/{number}.png" for number in range(4)), "clip_scores.png", "lengths.png"]
    assert max(map(len, card.splitlines())) < 2500
    for heading, (header, *lines) in tables_of(card).items():
        assert all(len(line) == len(header) for line in lines), heading
    kinds = {line[0] for line in tables_of(card)["Kinds"][1:]}
    assert "<script>alert(1)</script>" in kinds
    begun = {line[0] for line in tables_of(card)["Questions begin with"][1:]}
    assert {"<script>alert(1)</script>", "<!-- the rest", "**bold** _it_ ~~gone~~"} <= begun
    DatasetCard(card)


def test_front_matter(tmp_path: Path) -> None:
    """The hub's own classes read the card: licence, size, tags, and a title that is the run's name."""
    rows = [{"id": str(number), "captions": ["abc"], "license": "CC-BY-4.0"} for number in range(3)]
    card, _ = card_of(tmp_path, rows, name="my-data")
    read = DatasetCard(card)
    assert isinstance(read.data, DatasetCardData)
    assert read.data.license == "cc-by-4.0"
    assert read.data.pretty_name == "my-data"
    assert read.data.size_categories == ["n<1K"]
    assert "image-text-to-text" in (read.data.task_categories or [])
    assert read.text.strip().startswith("# my-data")


@pytest.mark.parametrize(
    "licenses", [["CC-BY-4.0", "MIT"], [None], ["Attribution License"]], ids=["several", "none", "unknown to the hub"]
)
def test_license_is_not_guessed(tmp_path: Path, licenses: list[str | None]) -> None:
    """Where the samples' licences are several, unstated, or not the hub's, the card says other and lists them."""
    rows = [{"id": str(number), "captions": ["abc"], "license": name} for number, name in enumerate(licenses)]
    card, _ = card_of(tmp_path, rows)
    assert DatasetCard(card).data.license == "other"
    listed = [line[0] for line in tables_of(card)["Licences"][1:]]
    assert sorted(listed) == sorted(name or "not stated" for name in licenses)


def test_funnel_is_that_of_the_reports(tmp_path: Path) -> None:
    """The card's numbers are the reports' numbers, stage by stage, and they add up."""
    captions = ["a", "reject", "bb", "raise", "reject", "ccc"]
    rows: list[dict[str, Any]] = [{"id": f"s{number}", "captions": [text]} for number, text in enumerate(captions)]
    card, result = card_of(tmp_path, [*rows, {"id": "s0"}, {"id": "x", "boxes": 1}])
    header, *lines = tables_of(card)["From source to dataset"]
    assert header == ["stage", "rows in", "kept", "rejected"]
    reports = result.view.reports()
    assert [line[0] for line in lines] == list(reports) == [
        "source", "picky", "pictures", "length", "talk", "shards",
    ]
    for (_, entered, kept, reasons), report in zip(lines, reports.values(), strict=True):
        assert (int(entered), int(kept)) == (report.entered, report.kept)
        counted = dict(reason.rsplit(" ", 1) for reason in reasons.split(", ") if reason)
        assert {name: int(count) for name, count in counted.items()} == report.rejected
    assert [line[1:3] for line in lines[:2]] == [["8", "6"], ["6", "3"]]
    assert "3 conversations about 3 samples" in card


def test_contents(tmp_path: Path) -> None:
    """Kinds, turns, words, who wrote them, labels, hosts and transcripts are counted."""
    talk = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "one two three"}] * 2
    box = {"label": "dog", "box": [0, 0, 1, 1]}
    rows = [
        {"id": "1", "captions": ["abc"], "boxes": [box, box], "image_url": "http://Host.example:81/x",
         "source_conversations": [{"kind": "chat", "messages": talk}]},
        {"id": "2", "captions": ["ab"], "boxes": [box | {"label": "cat"}], "image_url": "http://[broken/x"},
    ]
    card, _ = card_of(tmp_path, rows)
    tables = tables_of(card)
    assert tables["Kinds"][1:] == [["length", "2", "2", "2.0"], ["chat", "1", "2", "3.0"]]
    assert tables["Written by"][1:] == [["talk", "2"], ["source", "1"]]
    assert tables["Objects"][1:] == [["dog", "2"], ["cat", "1"]]
    assert tables["Hosts"][1:] == [["host.example", "1"], ["no host", "1"]]
    assert "Of 2 samples 2 have a picture, 2 captions, 2 boxes, 1 a transcript." in card


def test_long_lists_are_cut(tmp_path: Path) -> None:
    """A list of many labels shows the most frequent and says how many more there are."""
    boxes = [{"label": f"label-{number}", "box": [0, 0, 1, 1]} for number in range(25)]
    card, _ = card_of(tmp_path, [{"id": "1", "captions": ["abc"], "boxes": [*boxes, boxes[7]]}])
    assert len(tables_of(card)["Objects"]) == 1 + 15
    assert tables_of(card)["Objects"][1] == ["label-7", "2"]
    assert "... and 10 more." in card


def test_how_it_was_made(tmp_path: Path) -> None:
    """Each step stands there with what it does and its fingerprint, and its settings in the config, secrets aside."""
    (tmp_path / "pairs.jsonl").write_text('{"id": "1", "captions": ["abc"]}\n')
    keyed = {"use": f"{PROBES}Keyed", "api_key": "sk-inline"}
    result, _ = run_inline(write_config(tmp_path, [*STAGES, keyed, {"use": "shards", "splits": {"test": 0.5}}], seed=7))
    card = (tmp_path / "run" / "dataset" / "README.md").read_text()
    assert "seed 7." in card
    assert "sk-inline" not in card
    _, *lines = tables_of(card)["How it was made"]
    assert [line[0].split()[0] for line in lines] == ["picky", "pictures", "length", "talk", "keyed", "shards"]
    assert [line[3] for line in lines] == [step["fingerprint"][:12] for step in result.view.steps()]
    assert lines[-1][1] == "Gives every sample its split, then writes dataset/."
    assert yaml.safe_load(card.split("```yaml\n")[1].split("```")[0])["stages"][-1]["splits"] == {"test": 0.5}


def front_of(card: str) -> dict[str, Any]:
    """Return the metadata at a card's top."""
    read: dict[str, Any] = yaml.safe_load(card.split("---\n", 2)[1])
    return read


ENGLISH = "The dog is running across the green field behind the house with a ball in its mouth."
GERMAN = "Der Hund läuft mit einem Ball im Maul über die grüne Wiese hinter dem Haus und bellt dabei laut."


def talk(*turns: str, kind: str = "chat") -> dict[str, Any]:
    """Return a conversation of questions and answers in turn."""
    roles = ["user", "assistant"] * (len(turns) // 2)
    messages = [{"role": role, "content": text} for role, text in zip(roles, turns, strict=True)]
    return {"kind": kind, "messages": messages}


def test_metadata_loads_the_folder(tmp_path: Path) -> None:
    """`load_dataset` finds the splits and the features in the card, as the hub does; an empty split is not named."""
    rows = [{"id": str(number), "captions": ["a" * number + "b"]} for number in range(5)]
    card, _ = card_of(tmp_path, rows)
    assert front_of(card)["configs"][0]["data_files"] == [{"split": "train", "path": "train/*.arrow"}]
    loaded = load_dataset(str(tmp_path / "run" / "dataset"), cache_dir=str(tmp_path / "cache"))
    assert {name: len(split) for name, split in loaded.items()} == {"train": 5}
    assert loaded["train"].features == features()
    assert front_of(card)["task_categories"] == ["image-text-to-text", "visual-question-answering"]


def test_languages_are_measured(tmp_path: Path) -> None:
    """Languages are those of the conversations; what is too short to tell is counted as uncertain, not guessed."""
    texts = [ENGLISH, ENGLISH, GERMAN]
    rows: list[dict[str, Any]] = [
        {"id": str(number), "captions": ["abc"], "source_conversations": [talk(text, text)]}
        for number, text in enumerate(texts)
    ]
    rows.append({"id": "x", "captions": ["abc"], "source_conversations": [talk("123", "4")]})
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run_inline(write_config(tmp_path, [{"use": "shards", "splits": {}}]))
    card = (tmp_path / "run" / "dataset" / "README.md").read_text()
    assert front_of(card)["language"] == ["en", "de"]
    assert tables_of(card)["Languages"][1:] == [["en", "2"], ["de", "1"], ["uncertain", "1"]]
    assert front_of(card)["task_categories"] == ["question-answering"], "no sample has an image"


def test_questions_turns_colours_and_people(tmp_path: Path) -> None:
    """How questions begin, turns, colours and gendered words beside occupations are counted in what was written."""
    answers = "A chef in a red hat cooks. He smiles.", "Red and blue."
    chat = talk("What is the  man doing?", answers[0], "what is THE colour?", answers[1])
    other = talk("Who is it?", "She is a doctor, and nurses help her.")
    rows = [{"id": "1", "captions": ["abc"], "image_url": "https://shop.example.de/x", "source_conversations": [chat]},
            {"id": "2", "captions": ["abc"], "image_url": "http://example.com/x", "source_conversations": [other]}]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run_inline(write_config(tmp_path, [{"use": "shards", "splits": {}}]))
    card = (tmp_path / "run" / "dataset" / "README.md").read_text()
    tables = tables_of(card)
    assert tables["Questions begin with"][1:] == [["what is the", "2"], ["who is it?", "1"]]
    assert tables["Turns"][1:] == [["1", "1"], ["2", "1"]]
    assert tables["Colours"][1:] == [["red", "2"], ["blue", "1"]]
    assert tables["People"][1:] == [["chef", "0", "0", "0", "1"], ["doctor", "1", "0", "0", "0"],
                                    ["nurse", "1", "0", "0", "0"]]
    assert tables["Geography"][1:] == [["de", "1"]]
    assert "Answers have 2 words for women and\n1 for men" in card
    assert "Half of the answers have at most 8 words, the longest 9." in card


def test_thresholds_are_drawn(tmp_path: Path) -> None:
    """Each column of numbers that `filter` compares with one has its histogram and its threshold."""
    rows = [{"id": str(number), "captions": ["a" * (number + 1)]} for number in range(9)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    stages = [*STAGES, {"use": "filter", "keep": "length >= 3 and clip_score > -1.5"}, {"use": "shards", "splits": {}}]
    run_inline(write_config(tmp_path, stages))
    card = (tmp_path / "run" / "dataset" / "README.md").read_text()
    assert "## Filtered by length" in card
    assert "`filter` compares it with 3." in card
    assert "`filter` compares it with -1.5." in card
    assert "What `filter` would keep of 9 samples with another number in its place:" in card
    assert ["\u003e= 3", "7", "77.8%", "as it is"] in tables_of(card)["Filtered by length"]
    assert ["\u003e= 5", "5", "55.6%", "-2"] in tables_of(card)["Filtered by length"]
    with Image.open(tmp_path / "run" / "dataset" / "column-length.png") as picture:
        assert picture.mode == "RGBA"
        assert picture.getpixel((0, 0))[3] == 0, "the background is the page's, light or dark"


def test_capped_counter() -> None:
    """However many names there are, few are held, the frequent ones among them, short of at most the error it tells."""
    counter = CappedCounter(cap=10)
    for number in range(5000):
        counter.add([f"rare {number}", "often", *(["sometimes"] if number % 3 == 0 else [])])
    assert len(counter) <= 20
    assert 5000 - counter.error <= counter["often"] <= 5000
    assert 1667 - counter.error <= counter["sometimes"] <= 1667
    assert counter.error <= 12000 / 10, "Misra and Gries: at most the number of names counted over the cap"
    exact = CappedCounter(cap=10)
    exact.add(["a", "b", "a"])
    assert (exact, exact.error) == ({"a": 2, "b": 1}, 0)


def test_cost_and_models(tmp_path: Path) -> None:
    """Seconds of each stage stand in the last section; the config that is told gives the same fingerprints."""
    card, result = card_of(tmp_path, [{"id": "1", "captions": ["abc"]}])
    assert card.rindex("\n## ") == card.index("\n## Cost and time")
    listed = [line[0] for line in tables_of(card)["Cost and time"][1:]]
    assert listed == ["picky", "pictures", "length", "talk", "shards"]
    told = yaml.safe_load(card.split("```yaml\n")[1].split("```")[0])
    again = tmp_path / "again.yaml"
    again.write_text(yaml.safe_dump(told | {"run_dir": "again"}))
    repeated, _ = run_inline(again)
    assert [step["fingerprint"] for step in repeated.view.steps()] == [
        step["fingerprint"] for step in result.view.steps()
    ]
    assert repeated.view.digest() == result.view.digest()


@pytest.mark.parametrize("format_", ["arrow", "parquet"])
def test_croissant(tmp_path: Path, format_: str) -> None:
    """`mlcroissant` takes the description without an error and loads the rejected rows, and of Parquet every row."""
    box = {"label": "a dog", "box": [0, 0.25, 0.5, 1]}
    rows: list[dict[str, Any]] = [{"id": "1", "captions": ["abc"], "boxes": [box]}, {"id": "2", "captions": ["ab"]}]
    rejected = [{"id": "<b>", "captions": ["reject"]}]
    card_of(tmp_path, [*rows, *rejected], shards={"format": format_}, name="a-name")
    described = mlcroissant.Dataset(str(tmp_path / "run" / "dataset" / "croissant.json"))
    assert not described.metadata.ctx.issues.errors
    assert described.metadata.name == "a-name"
    records = list(described.records("rejects"))
    assert [(record["rejects/id"], record["rejects/reason"]) for record in records] == [(b"<b>", b"unwanted")]
    if format_ == "arrow":
        assert [record_set.name for record_set in described.metadata.record_sets] == ["rejects"]
        return
    first, second = described.records("train")
    assert (first["train/id"], second["train/id"]) == (b"1", b"2")
    assert [picture.size for picture in (*first["train/images"], *second["train/images"])] == [(3, 3), (2, 2)]
    assert first["train/captions"] == [b"abc"]
    boxes = first["train/boxes"]
    assert [(each["train/boxes/label"], list(each["train/boxes/box"])) for each in boxes] == [(b"a dog", box["box"])]
    assert [turn["train/messages/role"] for turn in second["train/messages"]] == [b"user", b"assistant"]


def test_what_a_model_learnt(tmp_path: Path) -> None:
    """What later steps find out comes into its place on the card, once, also when the dataset is written again."""
    row = {"id": "1", "captions": ["abc"]}
    card, _ = card_of(tmp_path, [row])
    before, _, rest = card.partition(BEGIN)
    none, _, behind = rest.partition(END)
    assert none.endswith("No model has been trained on it yet.\n")
    verdict = [{"use": f"{PROBES}Verdict"}]
    section = f"{BEGIN}## Verdict\n\n1 row of train\n{END}"
    assert card_of(tmp_path, [row], after=verdict)[0] == f"{before}{section}{behind}"
    shutil.rmtree(tmp_path / "run" / "dataset")
    assert card_of(tmp_path, [row], after=verdict)[0].startswith(f"{before}{section}")
    assert with_validation("# A card of my own\n", ["## Verdict\n"]) == "# A card of my own\n"
