"""How good a model's answers are, and how well it knows."""
