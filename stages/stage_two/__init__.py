"""Stage two: a cache -> a classifier, and what it says."""
