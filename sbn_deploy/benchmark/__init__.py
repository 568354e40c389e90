"""How long calls take: engines in turns, and intervals that hold for the next run."""
