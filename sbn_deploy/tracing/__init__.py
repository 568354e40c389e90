"""Records what a torch module computes, as a graph, by running it."""
