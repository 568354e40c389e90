"""The time of each layer of a model."""
