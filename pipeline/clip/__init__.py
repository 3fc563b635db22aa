"""CLIP: the model, its image tower, prompts, and the text graph."""
