"""Convert materialised binary networks to files that a device runs."""
