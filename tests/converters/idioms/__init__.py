"""How people write binary networks, and what the exporter makes of it.

`table` holds the idioms as code; the tests run that code, and docs/own-networks.md
shows it.
"""
