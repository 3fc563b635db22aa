"""A file -> pixels -> views."""
