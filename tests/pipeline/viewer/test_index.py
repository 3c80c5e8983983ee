"""The index of a run: whatever state the run is in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from multidict import MultiDict

from pipeline.run_dir import RunDirectory
from pipeline.viewer.index import Index
from pipeline.viewer.query import Query
from pipeline.viewer.static import write_static
from tests.pipeline.runs import PROBES, run_inline, write_config, write_source

ROWS = 5000


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run whose every tenth sample is rejected; more rows than one file of the index first takes."""
    write_source(tmp_path, ["reject" if number % 10 == 0 else f"boat {number}" for number in range(ROWS)])
    stages = [{"use": f"{PROBES}Picky"}, {"use": f"{PROBES}Length"}, {"use": f"{PROBES}Talk"}]
    run_inline(write_config(tmp_path, stages, part_rows=500))
    return tmp_path / "run"


def indexed(run: Path) -> Iterator[Index]:
    index = Index(RunDirectory(str(run)))
    index.start()
    index.wait()
    yield index
    index.close()


def find(index: Index, *parameters: tuple[str, str]) -> list[str]:
    return [row["id"] for row in index.read(index.find(Query.read(MultiDict(parameters))).tolist())]


def test_every_row_once_in_order(run: Path) -> None:
    """All rows are there, across the index's files; sorted ones come back in their order, ties as in the source."""
    for index in indexed(run):
        assert find(index) == [f"s{number}" for number in range(ROWS)]
        assert index.facets["state"] == {"kept": ROWS * 9 // 10, "rejected": ROWS // 10}
        longest = find(index, ("sort", "-length"), ("state", "kept"))
        assert longest[:2] == ["s1001", "s1002"]
        assert longest[-9:] == [f"s{number}" for number in range(1, 10)]
        assert len(list(Path(index._folder.name).iterdir())) > 1
    assert not Path(index._folder.name).exists()


def test_unfinished_and_damaged_parts(run: Path, tmp_path: Path) -> None:
    """Rows that wait for a stage are unfinished; a part that is cut short is named, and hides no other."""
    talk = next(run.glob("stages/talk-*"))
    (talk / "00001.json").unlink()
    source = run / "source" / "00002.arrow"
    source.write_bytes(source.read_bytes()[:1000])
    for index in indexed(run):
        assert len(find(index)) == ROWS - 500
        assert find(index, ("state", "unfinished")) == [f"s{n}" for n in range(500, 1000) if n % 10]
        assert [problem.partition(":")[0] for problem in index.problems] == ["part 2 cannot be read"]
    assert write_static(RunDirectory(str(run)), str(tmp_path / "out.html")) == 300
    assert "part 2 cannot be read" in (tmp_path / "out.html").read_text()


def test_file_holds_both_kept_and_rejected(run: Path, tmp_path: Path) -> None:
    """Of a large run the file shows some of everything, and says so."""
    assert write_static(RunDirectory(str(run)), str(tmp_path / "out.html")) == 300
    page = (tmp_path / "out.html").read_text()
    assert page.count('"state": "rejected", "stage": "picky"') >= 100
    assert '"rows": 300, ' in page
    assert f'"of": {ROWS}' in page
