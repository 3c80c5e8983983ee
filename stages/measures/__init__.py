"""What can be measured of an image and of a caption without a model."""
