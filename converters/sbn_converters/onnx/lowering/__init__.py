"""The parts of the lowering, each with a share of the graph's operators.

- `state`: what is known of the graph's values so far, shared by all parts;
- `signs`: where signs arise, packed, as thresholds, or drawn;
- `packed`: what keeps signs packed on their way;
- `accumulators`: which layers are binary;
- `floats`: what is still read as float in the end.
"""
