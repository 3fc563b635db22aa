"""The programs that wire the parts: `commands` is the command line, the other folders are parts of the journey.

Imports go from `commands` to the other folders, and from these to `pipeline`, never back.
"""
