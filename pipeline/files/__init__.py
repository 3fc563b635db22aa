"""A file or folder on a disk or in a store: what it is, how it is read, how it is written whole or not at all."""
