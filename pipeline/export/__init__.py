"""A finished dataset in the files a trainer reads: one module a format, and what they share.

``dataset.py`` reads the dataset, ``run.py`` writes it piece by piece into a folder ``folder.py`` looks after, and a
format decides what a piece is and what stands beside the pieces at the end.
"""
