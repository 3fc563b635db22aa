"""The whole way in one command: a source -> its cache -> a classifier."""
