"""The boundary with parsers of others: one module for each kind of file.

A damaged or hostile file makes a parser raise whatever its code happens to meet. Here that
becomes one error which names the file, the place and what to do, and what a header claims is
compared with the size of the file before anything is sized by it.
"""
