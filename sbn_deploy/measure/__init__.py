"""Measures models: accuracy, latency, and the rivals to compare them with."""
