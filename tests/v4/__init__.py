"""Old TensorFlow files, with Transformers v4 itself."""
