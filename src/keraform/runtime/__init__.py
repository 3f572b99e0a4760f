"""What generated code runs on: layers, torch-like ops, attention, masks, caches, initialisers."""
