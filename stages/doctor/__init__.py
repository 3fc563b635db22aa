"""What this machine has of what the project can use."""
