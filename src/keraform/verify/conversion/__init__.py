"""Conversion: a checkpoint in another framework's files, and the proof that nothing has changed."""
