"""Make the files of a new vendor: `python -m tiktok_pipeline_tests.new_vendor NAME`.

Writes the provider, its sample bodies, its sandbox and the tests of both, and registers them. They pass lint and their
tests as they are: two endpoints, `live` and `profile`, with a bearer token. Replace what differs by the vendor's
documentation; docs/adding-a-vendor.md says what else is needed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path
from string import Template

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")

_PROVIDER = Template('''"""$title: live states and profiles.

TODO: name the source of each wire fact, and what is a guess.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import msgspec

from tiktok_pipeline.providers import vendor
from tiktok_pipeline.providers.headers import retry_after
from tiktok_pipeline.providers.identifiers import path_part
from tiktok_pipeline.providers.observations import (
    LiveReading,
    Notes,
    Problem,
    ProfileReading,
    Reading,
    Scalar,
    exact_precision,
    identifier,
)
from tiktok_pipeline.providers.vendor import Limits, Outcome, Request, Target, Unreadable, Verdict

LIVE = "/live/{handle}"
PROFILE = "/profile/{handle}"

_REFUSALS = {
    400: Outcome.INVALID_REQUEST,
    401: Outcome.UNAUTHORIZED,
    402: Outcome.OUT_OF_CREDITS,
    403: Outcome.UNAUTHORIZED,
    404: Outcome.NOT_FOUND,
    429: Outcome.RATE_LIMITED,
}


class _Body(msgspec.Struct):
    live: bool | None = None
    room_id: Scalar = None
    user_id: Scalar = None
    handle: str | None = None
    followers: Scalar = None


_body = msgspec.json.Decoder(_Body)


class $cls(vendor.Vendor):
    """$title."""

    name: ClassVar[str] = "$name"
    base_url_variable: ClassVar[str] = "${upper}_BASE_URL"
    base_url: ClassVar[str] = "https://$host.example"
    credential_variables: ClassVar[tuple[str, ...]] = ("${upper}_API_KEY",)
    endpoints: ClassVar[Mapping[str, str]] = {LIVE: "live", PROFILE: "profile"}
    # TODO: the limits that the vendor documents.
    limits: ClassVar[Limits] = Limits(requests_per_second=2, max_in_flight=2, credits_per_request=1)

    def authentication(self, credentials: tuple[str, ...]) -> dict[str, str]:
        """`Authorization: Bearer ...`."""
        return {"Authorization": f"Bearer {credentials[0]}"}

    def request(self, capability: str, target: Target, *, page: int = 0, cursor: str | None = None) -> Request | None:
        """Both are requested by handle."""
        endpoint, target = self.endpoint_of(capability), vendor.with_valid_ids(target)
        if endpoint is None or not target.handle or not vendor.sendable(cursor):
            return None
        path = endpoint.replace("{handle}", path_part(target.handle))
        return Request(endpoint, target.handle, path, {}, target.creator_id or None, page, cursor)

    def judge(self, endpoint: str, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
        """By status, then by the field that the endpoint is for."""
        wait = retry_after(headers, body)
        odd = vendor.judge_not_json(status, headers, body)
        if odd is not None:
            return odd
        if status != 200:
            outcome = _REFUSALS.get(status, Outcome.SERVER_ERROR if status >= 500 else Outcome.INVALID_REQUEST)
            return Verdict(outcome, f"http_{status}", credits=0.0, retry_after_s=wait)
        try:
            found = vendor.decode(_body, body)
        except Unreadable as error:
            return Verdict(Outcome.MALFORMED, error.problem.reason[:80])
        if endpoint == PROFILE:
            known = identifier(found.user_id) is not None
            return Verdict(Outcome.OK, credits=1.0) if known else Verdict(Outcome.MALFORMED, "no_user")
        if found.live is None:
            return Verdict(Outcome.MALFORMED, "no_state")
        return Verdict(Outcome.OK if found.live else Outcome.NOT_LIVE, credits=1.0)

    def read(self, endpoint: str, outcome: Outcome, body: bytes) -> Iterator[Reading | Problem]:
        """A live state, or a profile."""
        notes = Notes()
        if outcome in (Outcome.OK, Outcome.NOT_LIVE):
            found = vendor.decode(_body, body, notes)
            if endpoint == PROFILE:
                # TODO: `web_precision`, if the vendor rounds as the web page does.
                followers, precision, unit = notes.followers(found.followers, exact_precision, "followers")
                yield ProfileReading(
                    source="profile",
                    user_id=identifier(found.user_id),
                    handle=found.handle,
                    followers=followers,
                    followers_precision=precision,
                    followers_unit=unit,
                )
            else:
                yield LiveReading(
                    live_state="live" if found.live else "ended", evidence="weak", room_id=identifier(found.room_id)
                )
        yield from notes.problems
''')

_BODIES = Template('''"""Sample bodies of $title: our own, in the vendor's shape.

TODO: a case for each documented response.
"""

from __future__ import annotations

from typing import Any

from tiktok_pipeline.providers import $name
from tiktok_pipeline_tests.providers.cases import ROOM_ID, USER_ID, Case, encoded


def person(**changes: Any) -> dict[str, Any]:
    return {"user_id": USER_ID, "handle": "mira.paints", "followers": 48_317, **changes}


$upper = [
    Case(
        "$name", $name.LIVE, "on air", encoded({"live": True, "room_id": ROOM_ID}), "ok", 1.0, live_state="live"
    ),
    Case("$name", $name.LIVE, "off air", encoded({"live": False}), "not_live", 1.0, live_state="ended"),
    Case("$name", $name.LIVE, "without a state", encoded({"room_id": ROOM_ID}), "malformed", None),
    Case("$name", $name.PROFILE, "a profile", encoded(person()), "ok", 1.0, followers=48_317),
    Case(
        "$name", $name.PROFILE, "nobody", encoded({"error": "not_found"}), "not_found", 0.0,
        status=404, error="http_404",
    ),
    Case(
        "$name", $name.LIVE, "too many requests", encoded({"error": "slow down"}), "rate_limited", 0.0,
        status=429, headers={"retry-after": "3"}, error="http_429", retry_after_s=3.0,
    ),
]  # fmt: skip
''')

_PROVIDER_TEST = Template('''"""$title: what is its own. The suite of all vendors is `test_contract.py`."""

from __future__ import annotations

from tiktok_pipeline.providers import VENDORS, $name
from tiktok_pipeline.providers.observations import Problem, ProfileReading
from tiktok_pipeline.providers.vendor import Outcome, Target
from tiktok_pipeline_tests.providers.bodies_$name import person
from tiktok_pipeline_tests.providers.cases import encoded

VENDOR = VENDORS["$name"]


def test_a_profile_has_an_exact_count_and_an_overflow_is_a_problem() -> None:
    (reading,) = VENDOR.read($name.PROFILE, Outcome.OK, encoded(person()))
    assert isinstance(reading, ProfileReading)
    assert (reading.followers, reading.followers_precision) == (48_317, "exact")
    reading, problem = VENDOR.read($name.PROFILE, Outcome.OK, encoded(person(followers=-1)))
    assert isinstance(reading, ProfileReading)
    assert reading.followers is None
    assert isinstance(problem, Problem)


def test_a_target_without_a_handle_gets_no_request() -> None:
    assert VENDOR.request("live", Target("mira", "")) is None
''')

_SANDBOX = Template('''"""$title as it responds. TODO: name the source of each wire fact, and what is a guess."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from tiktok_pipeline.sandbox.vendor import Endpoint, Refusal, Request, Response, Vendor

_REFUSALS: dict[Refusal, int] = {
    Refusal.NO_ROUTE: 404,
    Refusal.INVALID: 400,
    Refusal.MISSING_KEY: 401,
    Refusal.WRONG_KEY: 401,
    Refusal.FORBIDDEN: 403,
    Refusal.OUT_OF_CREDITS: 402,
    Refusal.SESSION_EXPIRED: 401,
    Refusal.RATE_LIMITED: 429,
    Refusal.USAGE_LIMIT: 402,
    Refusal.RISK_CONTROL: 502,
    Refusal.INTERNAL_ERROR: 500,
    Refusal.BAD_GATEWAY: 502,
    Refusal.UNAVAILABLE: 503,
    Refusal.GATEWAY_TIMEOUT: 504,
}


class $cls(Vendor):
    """Live states and profiles, by handle."""

    name: ClassVar[str] = "$name"
    prefix: ClassVar[str] = "/$kebab"
    base_url_variable: ClassVar[str] = "${upper}_BASE_URL"
    credentials: ClassVar[Mapping[str, str]] = {"${upper}_API_KEY": "${name}_sandbox"}
    _authorization: ClassVar[bytes] = b"Bearer ${name}_sandbox"

    def endpoints(self) -> Mapping[str, Endpoint]:
        """What is served."""
        return {"/live/{handle}": self.live, "/profile/{handle}": self.profile}

    def check_key(self, headers: Mapping[bytes, bytes]) -> Refusal | None:
        """`Authorization: Bearer ...`."""
        authorization = headers.get(b"authorization")
        if authorization == self._authorization:
            return None
        return Refusal.MISSING_KEY if authorization is None else Refusal.WRONG_KEY

    def refuse(self, refusal: Refusal, request: Request, message: str | None = None) -> Response:
        """`{"error": ...}`, free."""
        return _error(_REFUSALS[refusal], message or refusal.name.lower())

    def live(self, request: Request) -> Response:
        """Whether a creator is on air, and the room."""
        creator = self.world.find(request.subject, request.at)
        if creator is None:
            return _error(404, "not_found")
        room = self.world.room_at(creator, request.at)
        return _found({"live": room is not None, "room_id": room.room_id if room else None})

    def profile(self, request: Request) -> Response:
        """A profile with an exact count of followers."""
        creator = self.world.find(request.subject, request.at)
        if creator is None:
            return _error(404, "not_found")
        followers = self.world.followers_at(creator, request.at)
        return _found({"user_id": creator.user_id, "handle": request.subject, "followers": followers})


def _found(body: dict[str, Any]) -> Response:
    return Response(200, msgspec.json.encode(body), 1.0)


def _error(status: int, message: str) -> Response:
    return Response(status, msgspec.json.encode({"error": message}))
''')

_SANDBOX_TEST = Template('''"""The sandbox's $title: states and profiles agree with the truth, and a key is needed."""

from __future__ import annotations

from tiktok_pipeline.sandbox.streams import TrueStream
from tiktok_pipeline.sandbox.world import World
from tiktok_pipeline_tests.sandbox.conftest import START, Asker, of_kind

AT = "/$kebab"
KEY = {"Authorization": "Bearer ${name}_sandbox"}


def test_the_state_and_the_profile_agree_with_the_truth(ask: Asker, world: World, streams: list[TrueStream]) -> None:
    for stream in streams[:5]:
        room = stream.rooms[0]
        reply = ask(f"{AT}/live/{stream.creator.handle}", room.started_at, KEY)
        assert reply.json == {"live": True, "room_id": room.room_id}
    creator = of_kind(world, "public")
    reply = ask(f"{AT}/profile/{creator.handle}", START, KEY)
    assert reply.json["followers"] == world.followers_at(creator, START)
    assert reply.json["user_id"] == creator.user_id


def test_a_missing_creator_and_a_missing_key_are_refused(ask: Asker) -> None:
    assert ask(f"{AT}/profile/nobody.here", START, KEY).status == 404
    assert ask(f"{AT}/profile/nobody.here", START, {}).status == 401
''')

_FILES = {
    "tiktok_pipeline/providers/$name.py": _PROVIDER,
    "tiktok_pipeline/sandbox/$name.py": _SANDBOX,
    "tiktok_pipeline_tests/providers/bodies_$name.py": _BODIES,
    "tiktok_pipeline_tests/providers/test_$name.py": _PROVIDER_TEST,
    "tiktok_pipeline_tests/sandbox/test_$name.py": _SANDBOX_TEST,
}

# File -> import to add, and the last entry of the list that the vendor joins.
REGISTRATIONS = {
    "tiktok_pipeline/providers/__init__.py": (
        "from tiktok_pipeline.providers.$name import $cls", r"(for vendor in \([^\n]*\))(\)\})", r"\1, $cls()\2",
    ),
    "tiktok_pipeline/sandbox/server.py": (
        "from tiktok_pipeline.sandbox.$name import $cls", r"(VENDORS: [^\n]* = \([^)]*)\)", r"\1, $cls)",
    ),
    "tiktok_pipeline_tests/providers/bodies.py": (
        "from tiktok_pipeline_tests.providers.bodies_$name import $upper", r"(CASES = \[[^\]]*)\]", r"\1, *$upper]",
    ),
}  # fmt: skip

_NEXT = """Next: see docs/adding-a-vendor.md. Replace the endpoints and bodies by the vendor's own, then
- name the vendor in [routes] of settings.toml and config/settings.py;
- add {upper}_API_KEY and {upper}_BASE_URL to .env.example, and describe the vendor in docs/vendors.md."""


def make(name: str, root: Path) -> list[Path]:
    """Write the files of vendor `name` below `root` and register it; return the new files.

    Raises:
        ValueError: the name has another form, or is taken.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r}: a name is lower-case letters, digits and single underscores, such as acme_live")
    words = {
        "name": name,
        "upper": name.upper(),
        "kebab": name.replace("_", "-"),
        "host": f"api.{name.replace('_', '-')}",
        "cls": "".join(word.capitalize() for word in name.split("_")),
        "title": " ".join(word.capitalize() for word in name.split("_")),
    }
    files = {root / Template(path).substitute(words): template for path, template in _FILES.items()}
    taken = [path for path in files if path.exists()]
    if taken:
        raise ValueError(f"{taken[0]} is there already")
    registered = {}
    for path, (line, pattern, joined) in REGISTRATIONS.items():
        text, entry = (root / path).read_text(encoding="utf-8"), Template(joined).substitute(words)
        text, found = re.subn(pattern, entry, text, count=1)
        if not found:
            raise ValueError(f"{path} has no list to join: its form changed, and REGISTRATIONS must follow")
        first = re.search(r"^from tiktok_pipeline", text, re.MULTILINE)
        at = first.start() if first else 0
        registered[root / path] = f"{text[:at]}{Template(line).substitute(words)}\n{text[at:]}"
    for path, template in files.items():
        path.write_text(template.substitute(words), encoding="utf-8")
    for path, text in registered.items():
        path.write_text(text, encoding="utf-8")
    # Imports are sorted, and lines broken, by the tool that checks them.
    for command in (("check", "--fix", "--quiet", "--select", "I"), ("format", "--quiet")):
        subprocess.run([sys.executable, "-m", "ruff", *command, *files, *registered], cwd=root, check=True)
    return list(files)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Make the files of a new vendor.")
    parser.add_argument("name", help="lower case, such as acme_live")
    name = parser.parse_args().name
    root = Path(__file__).parent.parent
    try:
        files = make(name, root)
    except ValueError as error:
        parser.error(str(error))
    for path in files:
        print(path.relative_to(root))
    print(_NEXT.format(upper=name.upper()))


if __name__ == "__main__":
    main()
