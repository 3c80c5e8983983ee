"""What X-Robots-Tag means."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from stages.fetching.x_robots_tag import verdict


@pytest.mark.parametrize(
    ("values", "directive"),
    [
        (["noai"], "noai"),
        (["noimageai"], "noimageai"),
        (["noindex"], "noindex"),
        (["nofollow, NoImageIndex"], "noimageindex"),
        (["none"], "none"),
        (["all", "noml"], "noml"),
        (["nofollow; noai"], "noai"),
        (["*: noai"], "noai"),
        (["showtell: noindex"], "showtell: noindex"),
        (["ShowTell/1.0: noindex"], "showtell: noindex"),
        (["googlebot: nofollow, noindex"], None),
        (["my bot: noai"], None),
        (["googlebot: noindex, showtell: noai"], "showtell: noai"),
        (["showtell: nofollow, googlebot: noindex"], None),
        (["googlebot: noindex", "noai"], "noai"),
        (["nofollow, noarchive"], None),
        (["unavailable_after: 25 Jun 2030 15:00:00 PST, noai"], "noai"),
        (["unavailable_after: Wednesday, 25-Jun-30 15:00:00 GMT, noai"], "noai"),
        (["unavailable_after: 2030-06-25T15:00:00Z, noai"], "noai"),
        (["googlebot: unavailable_after: 25 Jun 2030 15:00:00 PST, noai"], None),
        (["googlebot: max-snippet: 5, noindex"], None),
        (["max-image-preview: none, max-snippet: -1"], None),
        (["showtell: max-image-preview: none"], None),
        (["noaiming, :, ,;:noai:x", "\udce9"], None),
        ([""], None),
    ],
)
def test_directive_that_counts(values: list[str], directive: str | None) -> None:
    """A directive counts if it is for everybody or for us, not if it names another crawler."""
    found = verdict(CIMultiDict([("x-robots-tag", value) for value in values]), "showtell")
    assert (found.rule, found.allowed) == ("x_robots_tag", directive is None)
    assert found.source == f"X-Robots-Tag: {directive or 'no rule'}"


def test_no_header_is_said() -> None:
    """The ledger tells a silent host from one that spoke of something else."""
    assert verdict(CIMultiDict(), "showtell").source == "X-Robots-Tag: no header"
