"""What lint says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = ["Problem", "Report"]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        file: relative to the dataset's folder.
        check: what was checked, a snake_case constant.
        message: what is wrong, for a person.
        row: row of the file, from 0; None where it is about the whole file.
        severity: a warning alone leaves the dataset sound.
    """

    file: str
    check: str
    message: str
    row: int | None = None
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        place = self.file if self.row is None else f"{self.file}: row {self.row}"
        warning = "warning: " if self.severity == "warning" else ""
        line = f"{place}: {warning}{self.check}: {self.message}"
        return "".join(letter if letter.isprintable() else " " for letter in line)


@dataclass
class Report:
    """What was seen.

    Attributes:
        rows: rows read of each split.
        images, recordings: how many were decoded, each row's own.
        findings: findings of the conversations' check, by type.
        problems: all that is wrong, in the order of the files.
    """

    rows: Counter[str] = field(default_factory=Counter)
    images: int = 0
    recordings: int = 0
    findings: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Tell whether nothing but warnings was found."""
        return all(problem.severity == "warning" for problem in self.problems)

    def add(self, file: str, check: str, message: str, row: int | None = None) -> None:
        """Add an error."""
        self.problems.append(Problem(file, check, message, row))

    def warn(self, file: str, check: str, message: str) -> None:
        """Add a warning."""
        self.problems.append(Problem(file, check, message, severity="warning"))

    def to_json(self) -> Mapping[str, Any]:
        """Return the report as JSON values."""
        return {
            "sound": self.sound, "rows": dict(self.rows), "images": self.images, "recordings": self.recordings,
            "findings": dict(self.findings), "problems": [asdict(problem) for problem in self.problems],
        }
