"""What is measured, said once: the records that the measuring verbs write and all others read.

A record is a dataclass and, in a file, JSON (`files`). Devices have the standard library only to
write them with; workstations read them with pydantic, which holds a file to the very classes that
wrote it. docs/measurements.schema.json is made of them.
"""
