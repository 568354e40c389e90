"""Training of stochastic binary networks and their fp32 twins."""
