"""Python imports this when it starts: makes another operating system of this one for our code."""

import os

if "SBN_OTHER_SYSTEM" in os.environ:
    import other_system

    other_system.install(os.environ["SBN_OTHER_SYSTEM"])
