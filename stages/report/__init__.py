"""A cache, a run, a comparison or a sweep -> one page to look at."""
