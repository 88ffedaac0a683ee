"""`check`, capture and alerts follow the same rules for proxies and certificate authorities."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tiktok_pipeline.alerts.webhook import send
from tiktok_pipeline.capture.client import open_client
from tiktok_pipeline.capture.clock import ReplayClock
from tiktok_pipeline.capture.landing import Attempt
from tiktok_pipeline.commands.check import check_deployment
from tiktok_pipeline.config.access import accesses
from tiktok_pipeline.config.network import Network, checked_url
from tiktok_pipeline.config.settings import Retries, Settings
from tiktok_pipeline.errors import SettingsError
from tiktok_pipeline.providers.vendor import Target
from tiktok_pipeline_tests.capture.hostile import HostileServer, hostile_server, whole
from tiktok_pipeline_tests.providers import bodies

LIVE = bodies.fetch_ok(bodies.fetch_live())


@pytest.mark.parametrize(
    ("no_proxy", "url", "direct"),
    [
        ("", "http://v.example", False),
        ("*", "http://v.example", True),
        ("v.example", "http://v.example", True),
        ("V.Example", "http://v.example:81/x", True),
        ("example", "http://v.example", True),
        (".example", "http://v.example", True),
        ("*.example", "http://v.example", True),
        ("ample", "http://v.example", False),
        ("v.example:81", "http://v.example:81", True),
        ("v.example:81", "http://v.example", False),
        ("v.example:443", "https://v.example", True),
        ("localhost,127.0.0.1,[::1]", "http://[::1]:8000", True),
        ("localhost,127.0.0.1,::1", "http://[::1]:8000", True),
        ("[::1]:8000", "http://[::1]:8000", True),
        ("[::1]:8001", "http://[::1]:8000", False),
        ("localhost 127.0.0.1", "http://127.0.0.1:8000", True),
        ("127.0.0.0/8", "http://127.0.0.1:8000", True),
        ("fd00::/8", "http://[fd00::5]", True),
        ("10.0.0.0/8", "http://11.0.0.1", False),
        ("localhost", "http://127.0.0.1", False),
        ("[::1", "http://[::1]", False),
        (",, ,", "http://v.example", False),
        ("999.1.1.1/77", "http://v.example", False),
    ],
)
def test_hosts_in_no_proxy_are_requested_directly(no_proxy: str, url: str, direct: bool) -> None:
    network = Network.from_environment({"ALL_PROXY": "http://proxy.example:3128", "NO_PROXY": no_proxy})
    assert (network.proxy(url) is None) is direct


@pytest.mark.parametrize(
    ("variables", "http", "https"),
    [
        ({"HTTP_PROXY": "http://a:1"}, "http://a:1", None),
        ({"https_proxy": "http://a:1"}, None, "http://a:1"),
        ({"ALL_PROXY": "a:1"}, "http://a:1", "http://a:1"),
        ({"HTTPS_PROXY": "http://b:2", "all_proxy": "http://a:1"}, "http://a:1", "http://b:2"),
        ({"http_proxy": "http://low:1", "HTTP_PROXY": "http://up:1"}, "http://low:1", None),
        ({"http_proxy": " ", "HTTP_PROXY": "http://up:1"}, "http://up:1", None),
        ({"HTTP_PROXY": "https://[::1]:3128/"}, "https://[::1]:3128", None),
    ],
)
def test_each_scheme_has_its_proxy(variables: dict[str, str], http: str | None, https: str | None) -> None:
    network = Network.from_environment(variables)
    for url, expected in (("http://v.example", http), ("https://v.example", https)):
        proxy = network.proxy(url)
        assert (str(proxy.url) if proxy else None) == expected


@pytest.mark.parametrize(
    "proxy",
    [
        *("http://", "://", "ftp://p:1", "socks5://me:hunter2@p:1", "socks5h://p", "http://p:99999", "http://p:0"),
        *("http://[::1", "http://me:hunter2@", "http://me:hunt#er2@p:1", "http://me:hunt/er2@p:1", "http://p q:1"),
        *("http://me:hunter2@p:x", "http://me%ff:hunter2@p:1", "http://a%3Ab:hunter2@p:1", "http://p\\q", "http://p:1?a"),
    ],
)  # fmt: skip
def test_an_invalid_proxy_is_one_line_that_names_the_variable_and_no_password(proxy: str) -> None:
    environment = {"SOCIAL_FETCH_API_KEY": "sandbox-secret", "HTTPS_PROXY": proxy}
    with pytest.raises(SettingsError, match=r"^HTTPS_PROXY ") as caught:
        accesses(environment)
    assert "hunt" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://v", "v.example", "http://", "http://v:99999", "http://v:x", "http://[::1", "http://v w", "http://v?a=b"),
        *("https://me:hunter2@v", "https://hunter2@v", "http://v#x", "http://v\\w", "http://%20"),
    ],
)  # fmt: skip
def test_an_invalid_base_url_is_one_line_that_names_the_variable_and_no_password(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^KONBINI_BASE_URL must|^KONBINI_BASE_URL is not") as caught:
        checked_url("KONBINI_BASE_URL", url)
    assert "hunter2" not in str(caught.value)


def test_the_repr_of_a_network_shows_no_secret() -> None:
    network = Network.from_environment({"HTTP_PROXY": "http://me:hunter2@p:1"})
    found = accesses({"SOCIAL_FETCH_API_KEY": "sandbox-secret", "HTTP_PROXY": "http://me:hunter2@p:1"})
    assert "hunter2" not in f"{network!r} {network} {found!r}"
    assert network.route("http://v") == " through the proxy in HTTP_PROXY"


def poll_live(environment: dict[str, str]) -> Attempt:
    """Poll social_fetch for the live state, as a window does."""
    landed: list[Attempt] = []

    async def main() -> None:
        settings, clock = Settings(retries=Retries(attempts=1)), ReplayClock(datetime(2026, 11, 2, tzinfo=UTC))
        async with open_client(accesses(environment), settings, clock, landed.append) as client:
            await client.request("live", Target("mira.paints", "mira.paints"))

    asyncio.run(main())
    (row,) = landed
    return row


def tunnel(connection: socket.socket, path: str) -> None:
    """Act as a proxy for CONNECT: forward bytes to this machine, for any host name."""
    port = int(path.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as other:
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")

        def copy(source: socket.socket, sink: socket.socket) -> None:
            with contextlib.suppress(OSError):
                while data := source.recv(65_536):
                    sink.sendall(data)
                sink.shutdown(socket.SHUT_WR)

        back = threading.Thread(target=copy, args=(other, connection), daemon=True)
        back.start()
        copy(connection, other)
        back.join(5)


KEY = {"SOCIAL_FETCH_API_KEY": "sandbox-secret"}


def test_capture_check_and_alerts_use_the_same_proxy(tmp_path: Path) -> None:
    with hostile_server(whole(LIVE)) as proxy:
        environment = {
            **KEY,
            "SOCIAL_FETCH_BASE_URL": "http://vendor.invalid/v",
            "TIKLIVEAPI_API_KEY": "k",
            "TIKLIVEAPI_BASE_URL": "http://other.invalid",
            "HTTP_PROXY": proxy.url.replace("http://", "http://me%40x:hunter%2F2@"),
            "TIKTOK_PIPELINE_HOME": str(tmp_path),
        }
        assert poll_live(environment).verdict.outcome.value == "ok"
        findings = {finding.what: finding for finding in check_deployment(environment)}
        send("http://hooks.invalid/x", "text", Network.from_environment(environment))
    assert findings["vendor tikliveapi"].good
    hosts = {path.split("/")[2] for path in proxy.requests}
    assert hosts == {"vendor.invalid", "other.invalid", "hooks.invalid"}
    basic = base64.b64encode(b"me@x:hunter/2")
    assert all(b"Basic " + basic in received for received in proxy.heads)
    assert "hunter" not in repr(findings)


def test_capture_and_check_obey_no_proxy_also_for_ipv6(tmp_path: Path) -> None:
    if not socket.has_ipv6:
        pytest.skip("needs IPv6")
    with hostile_server(whole(LIVE)) as vendor:
        environment = {
            **KEY,
            "SOCIAL_FETCH_BASE_URL": vendor.url,
            "HTTP_PROXY": "http://127.0.0.1:9",
            "NO_PROXY": "localhost,127.0.0.1,[::1]",
            "TIKTOK_PIPELINE_HOME": str(tmp_path),
        }
        assert poll_live(environment).verdict.outcome.value == "ok"
        check_deployment(environment)
        assert len(vendor.requests) >= 2


def test_an_unreachable_or_password_protected_proxy_is_reported_by_check_and_lands_as_a_network_error(
    tmp_path: Path,
) -> None:
    environment = {**KEY, "TIKLIVEAPI_API_KEY": "k", "TIKTOK_PIPELINE_HOME": str(tmp_path)}
    environment |= {"SOCIAL_FETCH_BASE_URL": "http://v.invalid", "TIKLIVEAPI_BASE_URL": "http://v.invalid"}
    with hostile_server(whole(b"password required", "407 Proxy Authentication Required")) as strict:
        for proxy, error in (("http://127.0.0.1:9", "Proxy"), (strict.url, "proxy_authentication")):
            row = poll_live(
                {name: value for name, value in environment.items() if "TIKLIVE" not in name} | {"ALL_PROXY": proxy}
            )
            assert row.verdict.outcome.value == "network_error"
            assert error in str(row.verdict.error)
            messages = [
                f.message
                for f in check_deployment({**environment, "ALL_PROXY": proxy})
                if f.what.startswith("vendor t")
            ]
            assert "through the proxy in ALL_PROXY" in messages[0]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with a private authority (`ca.pem`) and a server certificate for localhost (`server.pem`)."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl")
    folder = tmp_path_factory.mktemp("authority")

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], cwd=folder, check=True, capture_output=True)

    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    run("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=Our own authority")
    run("req", *curve, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    run(
        *("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
        *("-days", "2", "-extfile", "names", "-out", "server.crt"),
    )
    (folder / "server.pem").write_text((folder / "server.key").read_text() + (folder / "server.crt").read_text())
    hashed = folder / "hashed"
    hashed.mkdir()
    name = subprocess.run(
        [openssl, "x509", "-hash", "-noout", "-in", "ca.pem"], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()
    (hashed / f"{name}.0").write_text((folder / "ca.pem").read_text())
    return folder


@contextlib.contextmanager
def tls_server(authority: Path) -> Iterator[HostileServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "server.pem")
    answer = whole(LIVE)
    with hostile_server(answer) as server:
        server.wrap = lambda connection: context.wrap_socket(connection, server_side=True)
        server.url = server.url.replace("http://127.0.0.1", "https://localhost")
        yield server


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR", ""])
@pytest.mark.parametrize("proxied", [False, True])
def test_a_private_certificate_authority_is_trusted_if_it_is_named(
    authority: Path, variable: str, proxied: bool, tmp_path: Path
) -> None:
    named = {"SSL_CERT_FILE": authority / "ca.pem", "SSL_CERT_DIR": authority / "hashed"}
    with tls_server(authority) as vendor, hostile_server(tunnel) as proxy:
        environment = {
            **KEY,
            "SOCIAL_FETCH_BASE_URL": vendor.url,
            "TIKLIVEAPI_API_KEY": "k",
            "TIKLIVEAPI_BASE_URL": vendor.url,
            "TIKTOK_PIPELINE_HOME": str(tmp_path),
        }
        if variable:
            environment[variable] = str(named[variable])
        if proxied:
            environment["HTTPS_PROXY"] = proxy.url
        row = poll_live({name: value for name, value in environment.items() if "TIKLIVE" not in name})
        (checked,) = (f for f in check_deployment(environment) if f.what == "vendor tikliveapi")
        assert bool(proxy.requests) is proxied
    assert (row.verdict.outcome.value == "ok") is bool(variable), row.verdict
    assert checked.good is bool(variable), checked
    if not variable:
        assert "Certificate" in str(row.verdict.error)
        assert "SSL_CERT_FILE" in checked.message


@pytest.mark.parametrize(
    ("variable", "content"), [("SSL_CERT_FILE", None), ("SSL_CERT_FILE", b""), ("SSL_CERT_FILE", b"\xff no PEM")]
)
def test_an_invalid_file_of_authorities_is_one_line_that_names_the_variable(
    tmp_path: Path, variable: str, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_bytes(content)
    for value in (str(tmp_path / "ca.pem"), str(tmp_path)):
        with pytest.raises(SettingsError, match=f"^{variable} "):
            Network.from_environment({variable: value}).ssl_context()
    with pytest.raises(SettingsError, match=r"^SSL_CERT_DIR "):
        Network.from_environment({"SSL_CERT_DIR": str(tmp_path / "nowhere")}).ssl_context()
