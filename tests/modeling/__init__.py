"""The base classes of models."""
