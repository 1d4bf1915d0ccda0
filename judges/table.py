"""Adds up the judges' lines: a table for people, Markdown for docs, and an exit status for machines.

    table.py ARTIFACTS RESULTS

Fails if a judge and the expectation differ, if nobody judged a case, or if a judge never said both yes and no.
"""

import sys
from collections import defaultdict
from pathlib import Path


def main():
    artifacts, results = Path(sys.argv[1]), Path(sys.argv[2])
    lines = [line.split("\t") for line in results.read_text().splitlines()]
    said = defaultdict(lambda: {"accept": [0, 0], "refuse": [0, 0]})
    judged, wrong = set(), []
    for judge, kind, place, expected, verdict, reason in lines:
        right, total = said[kind, judge][expected]
        said[kind, judge][expected] = [right + (verdict == expected), total + 1]
        judged.add((expected, kind, place))
        if verdict != expected:
            wrong.append(f"{judge} should {expected} {kind} {place}: {verdict}, {reason}")
    for folder in [*artifacts.glob("*/accept/*/*"), *artifacts.glob("*/refuse/*/*")]:
        group, expected, kind, name = folder.relative_to(artifacts).parts
        if (expected, kind, f"{group}/{name}") not in judged:
            wrong.append(f"nobody judged {kind} {group}/{name}")
    print("| artifact | judge | accepted | tampered or wrong, refused |")
    print("|---|---|---|---|")
    for (kind, judge), counts in sorted(said.items()):
        accepted, refused = ("{} of {}".format(*counts[word]) for word in ("accept", "refuse"))
        print(f"| {kind} | {judge} | {accepted} | {refused} |")
        if not all(total for _, total in counts.values()):
            wrong.append(f"{judge} saw only good or only bad cases of {kind}")
    for line in wrong:
        print(f"judges: {line}")
    right = sum(verdict == expected for _, _, _, expected, verdict, _ in lines)
    print(f"judges: {right} of {len(lines)} verdicts as expected")
    sys.exit(1 if wrong or not lines else 0)


if __name__ == "__main__":
    main()
