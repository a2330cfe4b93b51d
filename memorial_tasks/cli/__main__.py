"""``python -m memorial_tasks.cli``: the same as the `memorial` command."""

from memorial_tasks.cli import main

main()
