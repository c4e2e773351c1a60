"""Show the wheel matrix, for a person or as the jobs of a workflow."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from build_tools.matrix import as_table, github, load_matrix

if TYPE_CHECKING:
    import argparse

    from build_tools.context import Context
    from build_tools.sources import Resolved


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument(
        "--github",
        action="store_true",
        help="one line of JSON for a workflow's strategy.matrix: what is built natively",
    )


def main(_resolved: Resolved, args: argparse.Namespace, _context: Context) -> int:
    """Run the verb."""
    matrix = load_matrix()
    text = json.dumps(github(matrix)) + "\n" if args.github else as_table(matrix)
    sys.stdout.write(text)
    return 0
