"""What a check found: whether it holds, in words, with numbers that can be plotted and examples to look at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

# Examples say where to look; a table says the rest.
MOST_EXAMPLES = 5


@dataclass(frozen=True)
class CheckResult:
    """One check's finding. `examples` name rows by their keys: never what somebody wrote, never a follower."""

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
    """The verdict over several days: broken if one is; numbers are summed, messages of broken ones are kept."""
    found = list(verdicts)
    if not found:
        return CheckResult(passed=True, message="nothing was made anew")
    broken = [verdict for verdict in found if not verdict.passed]
    numbers: dict[str, float] = {}
    for verdict in found:
        for name, number in verdict.numbers.items():
            numbers[name] = numbers.get(name, 0) + number
    said = "; ".join(dict.fromkeys(verdict.message for verdict in broken or found[-1:]))
    return CheckResult(
        passed=not broken,
        message=said if broken or len(found) == 1 else f"{len(found)} days hold; the last: {said}",
        numbers=numbers,
        examples=tuple(example for verdict in broken for example in verdict.examples)[:MOST_EXAMPLES],
    )
