"""Random numbers of a run: both sides draw the same ones, and nothing is dropped.

A draw depends on its shape alone, and its uniform numbers lie in [0.5, 1). So dropout, dropped
layers and dropped paths of a probability up to a half keep everything, and what they scale by is
compared; Gumbel noise and its like is the same on both sides.

Each side has a module of its own, which imports no other framework.
"""
