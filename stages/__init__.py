"""What happens to a sample: one module per stage."""
