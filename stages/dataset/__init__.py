"""The finished dataset: its rows, its files, its card."""
