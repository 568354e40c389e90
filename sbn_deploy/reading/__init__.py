"""Calls of third-party parsers: one module for each kind of file. A parser may raise anything for a
damaged or hostile file. Here that becomes one error with the file, the place and a remedy, and
sizes in headers are checked against the size of the file before anything is allocated.
"""
