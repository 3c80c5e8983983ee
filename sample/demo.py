"""``make demo``: serve the sample world and run a config over it, offline."""

from __future__ import annotations

import argparse
import subprocess
import sys

from sample.serve import serving


def main() -> None:
    """Run ``showtell run CONFIG`` while the sample world is served; exit as it exits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", nargs="?", default="pipeline.yaml")
    parser.add_argument("rest", nargs=argparse.REMAINDER, help="passed on to `showtell run`")
    arguments = parser.parse_args()
    with serving():
        command = [sys.executable, "-m", "pipeline", "run", arguments.config, *arguments.rest]
        sys.exit(subprocess.run(command, check=False).returncode)


if __name__ == "__main__":
    main()
