"""Data sets: what is there, and what is wrong with it."""
