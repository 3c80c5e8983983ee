"""Whether the memory of `download` depends on the length of the list.

    python -m bench.download_memory [--urls 1000 10000 100000] [--share 0.2]

A server in a process of its own serves small pictures for a share of the URLs and 404s for the others. Each list is one
whole `showtell run --runner inline` with the default settings and `allow_hosts`; memory is the proportional set size
of all its processes, the decoding ones included.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from bench.drip import draw_pictures, run_download
from bench.processes import serving


def main() -> None:
    """Print one line a list; exit with an error where an outcome is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--urls", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--share", type=float, default=0.2, help="of the URLs, those that are pictures")
    options = parser.parse_args()
    peaks: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with serving("bench.photo_server", [str(draw_pictures(folder / "pictures"))], folder) as address:
            for urls in options.urls:
                pictures = {n for n in range(urls) if int(n * options.share) != int((n + 1) * options.share)}
                every = [f"{address}/{n}.jpg" if n in pictures else f"{address}/{n}" for n in range(urls)]
                done = run_download(every, folder / "round", "inline")
                peaks.append(done.cost.peak_mb)
                print(
                    f"{urls} URLs: {done.kept} kept, {done.rejected['http_404']} http_404 in {done.cost.wall_s:.0f} s,"
                    f" {done.cost.cpu_s:.0f} CPU s, peak {done.cost.peak_mb:.0f} MB",
                    flush=True,
                )
                if (done.kept, done.rejected) != (len(pictures), Counter(http_404=urls - len(pictures))):
                    sys.exit(f"expected {len(pictures)} kept and the others http_404")
    print(f"the most is {max(peaks) / min(peaks) - 1:.1%} ({max(peaks) - min(peaks):.0f} MB) above the least")


if __name__ == "__main__":
    main()
