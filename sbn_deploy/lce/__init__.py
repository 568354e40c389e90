"""Running TFLite files in the interpreter of Larq Compute Engine."""
