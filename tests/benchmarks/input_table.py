"""What becomes of a folder of image files: taken, taken with which options, or refused, and why.

    python tests/benchmarks/input_table.py FOLDER

prints two tables in Markdown, by subfolder. Where a refusal names an option as the way out, the
file is tried again with it, until it is taken or refused for good.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

from rdae.errors import ImageError
from rdae.images.pillow import read_picture


def outcome(path: Path) -> tuple[str, str]:
    """Return why a file is refused ("" if it is not), and the options with which it is taken.

    The options are "-" where none helps.
    """
    options: list[str] = []
    reasons: list[str] = []
    while True:
        try:
            read_picture(path, **{name[2:].replace("-", "_"): True for name in options})
        except ImageError as error:
            reasons.append(re.sub(r"(cannot read this \w+ file): .*", r"\1", str(error)))
            way_out = re.match(r"--[a-z0-9-]+", error.hint)
            if way_out is None or way_out[0] in options:
                return "; then: ".join(reasons), "-"
            options.append(way_out[0])
        else:
            return " and ".join(reasons), " ".join(sorted(options))


def main() -> None:
    """Print the tables."""
    folder = Path(sys.argv[1])
    outcomes = [
        (path.relative_to(folder).parts[0], *outcome(path))
        for path in sorted(folder.glob("*/**/*"))
        if path.is_file()
    ]
    print("| kind | files | taken as they are | taken with an option | refused |")
    print("|---|---:|---:|---:|---:|")
    kinds = Counter(kind for kind, _, _ in outcomes)
    for kind, count in [*kinds.items(), ("all", len(outcomes))]:
        those = [options for k, _, options in outcomes if kind in (k, "all")]
        plain, never = those.count(""), those.count("-")
        print(f"| {kind} | {count} | {plain} | {count - plain - never} | {never} |")
    print()
    print("| kind | files | refused as | taken with |")
    print("|---|---:|---|---|")
    rows = Counter(row for row in outcomes if row[1])
    order = list(kinds)
    for (kind, reason, options), count in sorted(
        rows.items(), key=lambda item: (order.index(item[0][0]), -item[1], item[0])
    ):
        way = "" if options == "-" else f"`{options}`"
        print(f"| {kind} | {count} | {reason} | {way} |")


if __name__ == "__main__":
    main()
