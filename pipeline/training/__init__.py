"""A cache -> a classifier: inputs, model, loop, state."""
