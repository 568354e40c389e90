"""How good a model's answers are, and what it knows of that."""
