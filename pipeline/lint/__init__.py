"""Everything one can check of a finished dataset.

``files.py`` compares the files with the manifest, ``rows.py`` looks at single rows, ``media.py`` decodes their images
and recordings, ``across.py`` compares rows with each other, ``card.py`` the card with the counts; ``run.py`` reads
every shard once for all of them.
"""
