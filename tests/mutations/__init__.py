"""Seeded faults in good ports, and how well the detector finds them."""
