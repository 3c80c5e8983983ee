"""What the scripts that train the starter models are made of."""
