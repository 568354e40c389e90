"""TFLite files with the operators of Larq Compute Engine (LCE): written, read, imported.

TensorFlow takes part in none of it.
"""
