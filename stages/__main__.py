"""python -m aevlp.stages: the same as the command aevlp."""

from .cli import main

main()
