"""python -m aevlp.stages: the same as the command aevlp."""

from .commands.app import main

main()
