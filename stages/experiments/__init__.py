"""Several trainings, or several settings, side by side."""
