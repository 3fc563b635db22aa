"""The machine: its devices, processes, signals, seeds, and what made an output."""
