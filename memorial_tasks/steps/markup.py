"""What is wrong with the markup of script lines: a JSON list of texts on stdin, a JSON list of problems on stdout.

Whoever takes a script in asks the very code that will speak it, hours before it does; a process of its own
(``python -m memorial_tasks.steps.markup``), because that code needs the data plane's packages.
"""

import json
import sys
from dataclasses import asdict

from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.voice.text.markup import parse


def problems_of(texts: list[str]) -> list[Problem]:
    """The problems of all lines; a line is named as in the order file, ``script.N.text``."""
    found: list[Problem] = []
    for number, text in enumerate(texts):
        try:
            parse(text, f"script.{number}.text")
        except InputRefused as refused:
            found += refused.problems
    return found


if __name__ == "__main__":
    json.dump([asdict(one) for one in problems_of(json.load(sys.stdin))], sys.stdout)
