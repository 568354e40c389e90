"""The runtime for Android, as far as it runs without a phone."""
