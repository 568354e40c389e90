"""What each layer of a model takes."""
