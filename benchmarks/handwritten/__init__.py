"""Networks written by hand in plain Keras, against which ports are timed."""
