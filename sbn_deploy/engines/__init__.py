"""One way to run any file: an engine, with the names of its inputs and outputs."""
