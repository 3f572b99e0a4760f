"""Damaged and malicious files: what they would do, and that they do not."""
