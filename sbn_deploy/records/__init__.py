"""The records that measuring verbs write and all others read. A record is a dataclass and, in a
file, JSON (`files`). Devices write them with the standard library only; workstations read them with
pydantic, which checks files against the same classes. docs/measurements.schema.json is generated
from them.
"""
