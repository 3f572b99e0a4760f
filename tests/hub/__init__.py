"""The Hub: found, pushed to, and a small one to test with."""
