"""The result of a check: passed or not, a message, numbers that can be plotted, and examples."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

# Examples are a starting point; the table has all rows.
MOST_EXAMPLES = 5


@dataclass(frozen=True)
class CheckResult:
    """One check's result. `examples` name rows by their keys, never by text that a creator wrote, nor by a follower."""

    passed: bool
    message: str
    numbers: dict[str, float] = field(default_factory=dict)
    examples: tuple[str, ...] = ()

    def also(self, other: CheckResult) -> CheckResult:
        """Combine two results of the same frame."""
        return CheckResult(
            passed=self.passed and other.passed,
            message="; ".join(v.message for v in (self, other) if v.passed == (self.passed and other.passed)),
            numbers={**self.numbers, **other.numbers},
            examples=(*self.examples, *other.examples),
        )


def together(verdicts: Iterable[CheckResult]) -> CheckResult:
    """Combine the results of several days: failed if one failed; sum the numbers, keep messages of failed days."""
    found = list(verdicts)
    if not found:
        return CheckResult(passed=True, message="nothing was rebuilt")
    broken = [verdict for verdict in found if not verdict.passed]
    numbers: dict[str, float] = {}
    for verdict in found:
        for name, number in verdict.numbers.items():
            numbers[name] = numbers.get(name, 0) + number
    message = "; ".join(dict.fromkeys(verdict.message for verdict in broken or found[-1:]))
    return CheckResult(
        passed=not broken,
        message=message if broken or len(found) == 1 else f"{len(found)} days pass; the last: {message}",
        numbers=numbers,
        examples=tuple(example for verdict in broken for example in verdict.examples)[:MOST_EXAMPLES],
    )
