"""The page to look through a run: ``showtell view``."""
