"""Engines behind small protocols. Each module loads its heavy library, so stages import it in ``open``."""
