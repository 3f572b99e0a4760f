"""What no general rule can reach, one file a model type; each says why, and when it may go.

There is none yet: every type is translated by rules alone.
"""
