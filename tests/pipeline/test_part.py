"""One stage over one part: alignment, isolation of bad rows, reuse of known ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import FatalError
from tests.pipeline.runs import PROBES, run_inline, write_config, write_source


def column(result: object, name: str, *, live: bool = False) -> list[object]:
    """Return a column over all parts of a run."""
    view = result.view  # type: ignore[attr-defined]
    return [value for part in view.parts() for value in view.table(part, [name], live=live)[name].to_pylist()]


def test_rows_stay_aligned_and_accounted_for(tmp_path: Path) -> None:
    """A rejected row and one that raises keep their places; every row in is a row kept or rejected."""
    write_source(tmp_path, ["a", "reject", "b", "raise", "c", "d"])
    result, _ = run_inline(write_config(tmp_path, [{"use": f"{PROBES}Picky"}, {"use": f"{PROBES}Length"}]))
    assert column(result, "seen") == ["a", None, "b", None, "c", "d"]
    assert column(result, "length") == [1, None, 1, None, 1, 1]
    report = result.view.reports()["picky"]
    assert (report.entered, report.kept, report.rejected) == (6, 4, {"unwanted": 1, "error": 1})
    rejects = [row for part in result.view.parts() for row in result.view.rejects(part).to_pylist()]
    assert [(row["id"], row["stage"], row["reason"]) for row in rejects] == [
        ("s1", "picky", "unwanted"), ("s3", "picky", "error"),
    ]
    assert rejects[1]["detail"] == "ZeroDivisionError: as the caption asked"


def test_second_run_computes_nothing(tmp_path: Path) -> None:
    """The same config again reuses every committed part."""
    log = tmp_path / "log"
    write_source(tmp_path, ["a"] * 10)
    config = write_config(tmp_path, [{"use": f"{PROBES}Length", "log": str(log)}])
    run_inline(config)
    first = log.read_text()
    run_inline(config)
    assert len(first.splitlines()) == 10
    assert log.read_text() == first


def test_stage_with_nothing_to_do_is_not_opened(tmp_path: Path) -> None:
    """A model is loaded for rows that have to be processed, whether many or one, and not for a run that repeats."""
    log = tmp_path / "log"
    write_source(tmp_path, ["a" * length for length in range(1, 11)])
    stages = [
        {"use": f"{PROBES}Width"}, {"use": "filter", "keep": "width > 5"}, {"use": f"{PROBES}Opens", "log": str(log)},
    ]
    config = write_config(tmp_path, stages)
    opened = []
    for settings in ([], [], ["filter.keep=width > 7"], ["filter.keep=width > 4"]):
        log.write_text("")
        run_inline(config, *settings)
        opened.append(log.read_text().split()[:1])
    assert opened == [["opened"], [], [], ["opened"]]


def test_new_threshold_computes_only_rows_that_came_back(tmp_path: Path) -> None:
    """After a looser filter only the rows it lets through again are processed, after a stricter one none."""
    log = tmp_path / "log"
    write_source(tmp_path, ["a" * length for length in range(1, 11)])
    stages = [
        {"use": f"{PROBES}Length"},
        {"use": "filter", "keep": "length > 5"},
        {"use": f"{PROBES}Width", "log": str(log)},
    ]
    config = write_config(tmp_path, stages)
    result, _ = run_inline(config)
    assert column(result, "width") == [None] * 5 + [6, 7, 8, 9, 10]
    log.write_text("")
    result, _ = run_inline(config, "filter.keep=length > 3")
    assert log.read_text().split() == ["width", "s3", "width", "s4"]
    assert column(result, "width") == [None] * 3 + [4, 5, 6, 7, 8, 9, 10]
    log.write_text("")
    result, _ = run_inline(config, "filter.keep=length > 8")
    assert log.read_text() == ""
    assert column(result, "width") == [None] * 8 + [9, 10]
    run_inline(config, "filter.keep=length > 3")
    assert log.read_text() == "", "rows that were filtered out and came back are remembered"


def test_changed_source_row_is_the_only_one_computed(tmp_path: Path) -> None:
    """When one caption of the source changes, one row is processed."""
    log = tmp_path / "log"
    write_source(tmp_path, ["a"] * 6)
    config = write_config(tmp_path, [{"use": f"{PROBES}Length", "log": str(log)}])
    run_inline(config)
    log.write_text("")
    write_source(tmp_path, ["a", "a", "longer", "a", "a", "a"])
    result, _ = run_inline(config)
    assert log.read_text() == "length s2\n"
    assert column(result, "length") == [1, 1, 6, 1, 1, 1]


def test_changed_setting_computes_all_and_the_old_result_stays(tmp_path: Path) -> None:
    """A setting that changes results has a folder of its own; going back to the old one costs nothing."""
    log = tmp_path / "log"
    write_source(tmp_path, ["a"] * 6)
    config = write_config(tmp_path, [{"use": f"{PROBES}Length", "log": str(log)}])
    run_inline(config)
    result, _ = run_inline(config, "length.scale=3")
    assert column(result, "length") == [3] * 6
    log.write_text("")
    run_inline(config)
    assert log.read_text() == ""


def test_speed_setting_computes_nothing(tmp_path: Path) -> None:
    """Batch size and actors are not part of the fingerprint."""
    log = tmp_path / "log"
    write_source(tmp_path, ["a"] * 6)
    config = write_config(tmp_path, [{"use": f"{PROBES}Length", "log": str(log)}])
    run_inline(config)
    log.write_text("")
    run_inline(config, "length.batch_rows=1", "length.actors=[2, 3]", "length.cpus=0.5")
    assert log.read_text() == ""


def test_barrier_sees_every_part(tmp_path: Path) -> None:
    """A surveying stage judges each row by all of them."""
    write_source(tmp_path, ["a" * length for length in (1, 2, 3, 10, 4, 20)])
    result, _ = run_inline(
        write_config(tmp_path, [{"use": f"{PROBES}Length"}, {"use": f"{PROBES}AboveAverage"}], part_rows=2)
    )
    assert column(result, "above") == [False, False, False, True, False, True]


def test_keep_top_is_exact_over_all_parts(tmp_path: Path) -> None:
    """keep_top keeps the best share of the whole run, ties by id."""
    write_source(tmp_path, ["a" * length for length in (5, 1, 5, 3, 5, 2, 9)])
    stages = [{"use": f"{PROBES}Length"}, {"use": "filter", "keep_top": {"column": "length", "fraction": 0.4}}]
    result, _ = run_inline(write_config(tmp_path, stages, part_rows=2))
    assert column(result, "id", live=True) == ["s0", "s2", "s6"]


def test_stage_that_loses_rows_stops_the_run(tmp_path: Path) -> None:
    """A stage that returns too few rows is a mistake in the stage and not a reject."""
    write_source(tmp_path, ["a", "b"])
    with pytest.raises(FatalError, match=r"process\(\) returned 1 rows for 2"):
        run_inline(write_config(tmp_path, [{"use": f"{PROBES}ShortOfRows"}]))


def test_model_that_does_not_load_stops_the_run(tmp_path: Path) -> None:
    """What open() says is what the user reads."""
    write_source(tmp_path, ["a"])
    with pytest.raises(FatalError, match="never_opens: model = nowhere: no such model"):
        run_inline(write_config(tmp_path, [{"use": f"{PROBES}NeverOpens"}]))


def test_part_that_cannot_be_written_is_given_up_and_the_rest_goes_on(tmp_path: Path) -> None:
    """A part whose file cannot be committed is reported; the other parts are finished, and a later run mends it."""
    write_source(tmp_path, ["a"] * 8)
    config = write_config(tmp_path, [{"use": f"{PROBES}Length"}])
    result, _ = run_inline(config)
    folder = tmp_path / "run" / result.view.plan.steps[0].folder
    (folder / "00001.json").unlink()
    (folder / "00001.arrow").unlink()
    (folder / "00001.arrow").mkdir()
    result, _ = run_inline(config)
    assert list(result.given_up) == [("length", 1)]
    assert column(result, "length") == [1] * 4
    (folder / "00001.arrow").rmdir()
    result, _ = run_inline(config)
    assert not result.given_up
    assert column(result, "length") == [1] * 8


def test_source_that_grows_computes_only_the_new_rows(tmp_path: Path) -> None:
    """Rows appended to a source, also in a part that was committed shorter, are the only ones processed."""
    log = tmp_path / "log"
    write_source(tmp_path, ["a"] * 6)
    config = write_config(tmp_path, [{"use": f"{PROBES}Picky"}, {"use": f"{PROBES}Length", "log": str(log)}])
    run_inline(config)
    log.write_text("")
    write_source(tmp_path, ["a"] * 6 + ["bb", "reject", "ccc"])
    result, _ = run_inline(config)
    assert not result.given_up
    assert log.read_text().split() == ["length", "s6", "length", "s8"]
    assert column(result, "length") == [1] * 6 + [2, None, 3]


def test_source_that_shrinks(tmp_path: Path) -> None:
    """A part that has become shorter is reused, and no longer part of the run where it has gone."""
    log = tmp_path / "log"
    write_source(tmp_path, ["a", "bb", "ccc", "dddd", "eeeee", "ffffff"])
    config = write_config(tmp_path, [{"use": f"{PROBES}Length", "log": str(log)}])
    run_inline(config)
    log.write_text("")
    write_source(tmp_path, ["a", "bb", "ccc"])
    result, _ = run_inline(config)
    assert log.read_text() == ""
    assert column(result, "length") == [1, 2, 3]
    assert result.view.reports()["length"].entered == 3


def test_row_moved_within_its_part_is_known(tmp_path: Path) -> None:
    """What a row's values are does not depend on where in its part it stands."""
    log = tmp_path / "log"
    write_source(tmp_path, ["a", "bb", "ccc"])
    config = write_config(tmp_path, [{"use": f"{PROBES}Length", "log": str(log)}])
    run_inline(config)
    log.write_text("")
    source = tmp_path / "pairs.jsonl"
    source.write_text("\n".join([*source.read_text().splitlines()[::-1], '{"id": "s3", "captions": ["dddd"]}']))
    result, _ = run_inline(config)
    assert log.read_text().split() == ["length", "s3"]
    assert column(result, "length") == [3, 2, 1, 4]


def test_other_part_size_recomputes_what_changed_its_part(tmp_path: Path) -> None:
    """A new part size gives the same values in the same order."""
    write_source(tmp_path, ["a" * length for length in range(1, 8)])
    config = write_config(tmp_path, [{"use": f"{PROBES}Length"}])
    run_inline(config)
    result, _ = run_inline(config, "source.part_rows=3")
    assert not result.given_up
    assert column(result, "length") == [1, 2, 3, 4, 5, 6, 7]


def test_raised_reject_is_a_reject_and_any_error_can_be_told(tmp_path: Path) -> None:
    """A Reject that is raised has its own reason; an error whose text is no Unicode still costs only its row."""
    write_source(tmp_path, ["a", "reject", "unprintable", "b"])
    result, _ = run_inline(write_config(tmp_path, [{"use": f"{PROBES}Raises"}]))
    assert not result.given_up
    rejects = result.view.rejects(0).to_pylist()
    assert [(row["id"], row["reason"], row["detail"]) for row in rejects] == [
        ("s1", "unwanted", "raised, not returned"), ("s2", "error", "ValueError: half a character: ?"),
    ]
    assert column(result, "seen") == ["a", None, None, "b"]


def test_stage_used_twice_has_columns_of_its_own(tmp_path: Path) -> None:
    """Under a name, a stage's columns are name.column, and both are there."""
    write_source(tmp_path, ["a", "bbb"])
    stages = [{"use": f"{PROBES}Length"}, {"use": f"{PROBES}Length", "name": "big", "scale": 10}]
    result, _ = run_inline(write_config(tmp_path, stages))
    assert column(result, "length") == [1, 3]
    assert column(result, "big.length") == [10, 30]
