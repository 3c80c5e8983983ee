"""One command per performance claim: ``python -m bench.NAME``."""
