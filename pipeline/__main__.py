"""``python -m pipeline`` is the command ``showtell``."""

from pipeline.cli import main

main()
