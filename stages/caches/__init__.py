"""What is done with a cache: looked at, checked, brought up to date, rewritten."""
