"""How well models classify, and how far their probabilities can be trusted."""
