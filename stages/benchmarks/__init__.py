"""What must not be trained on: the images and texts of evaluation benchmarks."""
