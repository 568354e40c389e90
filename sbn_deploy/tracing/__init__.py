"""What anyone's torch module computes, as a graph: by running it and writing it down."""
