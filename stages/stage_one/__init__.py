"""Stage one: a data set -> its cache."""
