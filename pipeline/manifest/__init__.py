"""The manifest: entries, their keys, and what each key may hold."""
