"""Finding duplicates among millions of rows: by file, by perceptual hash, by embedding."""
