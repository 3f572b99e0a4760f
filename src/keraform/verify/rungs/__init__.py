"""The rungs of the ladder, each a function of a case; `ladder.py` climbs them."""
