"""Names and classes."""
