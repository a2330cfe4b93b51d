"""``python -m memorial_tasks.demo FOLDER --language zh-CN``: write the fictional family's order folder."""

import argparse
import sys
from pathlib import Path

from memorial_tasks.demo import make_family
from memorial_tasks.errors import MemorialError


def main(arguments: list[str] | None = None) -> int:
    """0 when the folder is written (its order.yaml on stdout), 1 when it is refused."""
    parser = argparse.ArgumentParser(prog="memorial_tasks.demo", description="Write a fictional family's order folder.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--language", choices=("zh-CN", "en-US"), default="zh-CN")
    parser.add_argument("--order", default="demo-2026-001", help="order id")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--assets", type=Path, help="folder of fetched files, for the font of the papers")
    chosen = parser.parse_args(arguments)

    def progress(fraction: float, message: str) -> None:
        sys.stderr.write(f"\r{fraction:4.0%} {message:40}")

    try:
        path = make_family(chosen.folder, chosen.language, chosen.order, chosen.seed, progress, chosen.assets)
    except MemorialError as error:
        sys.stderr.write(f"\n{error}\n")
        return 1
    sys.stderr.write("\n")
    sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
