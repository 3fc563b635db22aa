"""A classifier, of a run or of an exported file, and new images -> labels with probabilities."""
