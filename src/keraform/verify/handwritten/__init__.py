"""Pairs that somebody wrote, and traces of them: a torch module beside a Keras layer."""
