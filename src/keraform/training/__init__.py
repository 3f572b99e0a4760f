"""Training: losses by task."""
