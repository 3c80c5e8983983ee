"""The consent ledger: what hosts say about the use of their files, each verdict with its source."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from multidict import MultiMapping
from yarl import URL

from schemas.errors import Reject
from schemas.storage import Storage
from stages.fetching import robots_txt, tdmrep, x_robots_tag
from stages.fetching.machine import MachineLimits
from stages.fetching.robots_txt import RobotsTxt
from stages.fetching.settings import FetchSettings
from stages.fetching.site_files import Answer, Ask, SiteFiles
from stages.fetching.tdmrep import TdmRep
from stages.fetching.verdict import Verdict

__all__ = ["Answer", "Ask", "Consent", "Verdict", "refused"]


class Consent:
    """Asks hosts what may be used, by the rules that the settings respect.

    TDMRep lets a response's header supersede the file of its site, both ways. Here a file that reserves is obeyed
    without a look at the header, for that look would cost the request we are asked not to make; so the stricter of
    the two counts.

    Args:
        settings: which rules to respect, and our agent's name.
        cache: a folder of the run directory, for the sites' files of rules.
        machine: lets one process at a time ask a site for them.
        ask: fetches such a file: redirects followed, the text cut at the most bytes given, its address checked.
    """

    def __init__(self, settings: FetchSettings, cache: Storage, machine: MachineLimits, ask: Ask) -> None:
        self.settings = settings
        self.product = settings.product
        read_robots = partial(RobotsTxt.parse, product=self.product)
        self.robots = SiteFiles(robots_txt.PATH, robots_txt.MAX_BYTES, read_robots, cache, machine, ask)
        self.tdmrep = SiteFiles(tdmrep.PATH, tdmrep.MAX_BYTES, TdmRep.parse, cache, machine, ask)

    async def of_url(self, url: URL) -> list[Verdict]:
        """Return what the site's files say, to be heard before the URL is asked.

        The first refusal ends it: a site that wants no visit gets no further request. Raises Reject where the site
        cannot be asked.
        """
        verdicts: list[Verdict] = []
        if self.settings.respect_robots_txt:
            verdicts.append((await self.robots.rules(url)).verdict(url))
        if self.settings.respect_tdmrep and refused(verdicts) is None:
            verdicts.append((await self.tdmrep.rules(url)).verdict(url))
        return verdicts

    def of_response(self, headers: MultiMapping[str]) -> list[Verdict]:
        """Return what a response's headers say; a ``tdmrep`` verdict only where it has that header."""
        verdicts: list[Verdict] = []
        if self.settings.respect_x_robots_tag:
            verdicts.append(x_robots_tag.verdict(headers, self.product))
        if self.settings.respect_tdmrep:
            by_header = tdmrep.header_verdict(headers)
            verdicts += [by_header] if by_header else []
        return verdicts

    def crawl_delay_s(self, url: URL) -> float | None:
        """Return the seconds between requests that the site asks of us, as the last ``of_url`` found them."""
        found = self.robots.rules_at_hand(url)
        return found.crawl_delay_s if found else None


def refused(verdicts: Iterable[Verdict]) -> Reject | None:
    """Return the reject of the first verdict that is a no, if there is one."""
    for verdict in verdicts:
        if not verdict.allowed:
            return Reject("robots" if verdict.rule == "robots_txt" else "opted_out", verdict.source)
    return None
