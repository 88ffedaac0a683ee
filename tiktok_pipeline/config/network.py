"""Build HTTP connections from the network settings of the environment: proxies and certificate authorities.

`check`, every capture window and the alert webhook use this module, so that the same rules apply to all:

- `http_proxy` or `HTTP_PROXY` is the proxy of http:// addresses, `https_proxy` or `HTTPS_PROXY` of https:// addresses,
  `all_proxy` or `ALL_PROXY` of both where the specific variable is not set. Lower case wins. Loopback is no exception.
- `no_proxy` or `NO_PROXY` lists destinations without a proxy, separated by commas or spaces: `*`, a host name (its
  subdomains too), an IP address (IPv6 with or without brackets), a network such as `10.0.0.0/8`; each host or address
  may carry a port.
- `SSL_CERT_FILE` and `SSL_CERT_DIR` replace the built-in certificate authorities.

No other variable affects a request. Messages contain no user name or password of a URL.
"""

from __future__ import annotations

import base64
import ipaddress
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

import httpx

from tiktok_pipeline.errors import SettingsError

_HOST = re.compile(r"[\w.-]+|[0-9a-f:.]+", re.IGNORECASE)
_NO_ADDRESS = re.compile(r"[\x00-\x20\x7f-\xa0\\]")


@dataclass(frozen=True, repr=False)
class Network:
    """Proxies and certificate authorities. The default is direct requests and the built-in authorities.

    A proxy is a pair: the variable that names it, and its URL. The URL may contain a password, so there is no repr.
    """

    http_proxy: tuple[str, str] | None = None
    https_proxy: tuple[str, str] | None = None
    no_proxy: tuple[str, ...] = ()
    ca_file: str = ""
    ca_folder: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Network:
        """Read the variables; each is validated when a URL first needs it."""

        def first(*names: str) -> tuple[str, str] | None:
            cased = (name for each in names for name in (each, each.upper()))
            found = ((name, environment.get(name, "").strip()) for name in cased)
            return next(((name, value) for name, value in found if value), None)

        no_proxy = first("no_proxy")
        return cls(
            http_proxy=first("http_proxy", "all_proxy"),
            https_proxy=first("https_proxy", "all_proxy"),
            no_proxy=tuple(re.split(r"[\s,]+", no_proxy[1])) if no_proxy else (),
            ca_file=environment.get("SSL_CERT_FILE", "").strip(),
            ca_folder=environment.get("SSL_CERT_DIR", "").strip(),
        )

    def proxy(self, url: str) -> httpx.Proxy | None:
        """Return the proxy of `url`; None for a direct request.

        Raises:
            SettingsError: the proxy's URL is invalid; names the variable.
        """
        chosen = self._chosen(url)
        return _proxy(*chosen) if chosen else None

    def route(self, url: str) -> str:
        """Return how `url` is requested, for messages: names the variable of a proxy, never its address."""
        chosen = self._chosen(url)
        return f" through the proxy in {chosen[0]}" if chosen else ""

    def _chosen(self, url: str) -> tuple[str, str] | None:
        address = httpx.URL(url)
        chosen = self.https_proxy if address.scheme == "https" else self.http_proxy
        port = address.port or (443 if address.scheme == "https" else 80)
        return None if any(_matches(entry, address.host, port) for entry in self.no_proxy) else chosen

    def client(self, url: str, timeout_s: float) -> httpx.Client:
        """Return a new client for single requests to `url`.

        Raises:
            SettingsError: a proxy or certificate variable is invalid; names the variable.
        """
        return httpx.Client(proxy=self.proxy(url), verify=self.ssl_context_of(url), timeout=timeout_s, trust_env=False)

    def ssl_context_of(self, url: str) -> ssl.SSLContext:
        """Return a context that verifies the certificates on the way to `url`.

        Raises:
            SettingsError: a proxy or certificate variable is invalid; names the variable.
        """
        proxy = self.proxy(url)
        secure = httpx.URL(url).scheme == "https" or (proxy is not None and proxy.url.scheme == "https")
        # Loading the authorities takes 30 ms. A context without authorities rejects every certificate.
        return self.ssl_context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    def ssl_context(self) -> ssl.SSLContext:
        """Return a context that verifies certificates.

        Raises:
            SettingsError: a certificate file or folder cannot be read; names the variable.
        """
        if self.ca_file and not Path(self.ca_file).is_file():
            raise SettingsError(f"SSL_CERT_FILE is not a file: {self.ca_file}; name a PEM file of certificates")
        folders = [folder for folder in self.ca_folder.split(":") if folder]
        if folders and not any(Path(folder).is_dir() for folder in folders):
            raise SettingsError(f"SSL_CERT_DIR is not a folder: {self.ca_folder}; name a folder of hashed certificates")
        try:
            if self.ca_file or folders:
                return ssl.create_default_context(cafile=self.ca_file or None, capath=self.ca_folder or None)
            # certifi's list and that of the operating system: companies install their own authorities there.
            context = httpx.create_ssl_context(trust_env=False)
            context.load_default_certs()
        except (OSError, ValueError) as error:
            variable = "SSL_CERT_FILE" if self.ca_file else "SSL_CERT_DIR" if folders else "the list of authorities"
            detail = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
            raise SettingsError(f"{variable} cannot be read as PEM certificates: {detail}") from None
        return context


DIRECT = Network()


def checked_url(variable: str, url: str) -> str:
    """Return `url` without trailing slashes if requests can be sent to it.

    Raises:
        SettingsError: it is not an http or https address, or contains a user name or password; names only the variable.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise SettingsError(f"{variable} must begin with http:// or https://")
    try:
        split = _split(url)
    except (ValueError, httpx.InvalidURL):
        raise SettingsError(f"{variable} is not a valid address; write https://host or http://host:8080/path") from None
    if "@" in split.netloc:
        raise SettingsError(f"{variable} must not hold a user name or password: set the credential variables instead")
    if split.query or split.fragment or url.endswith(("?", "#")):
        raise SettingsError(f"{variable} must not hold a query or fragment: paths are appended to it")
    return url.rstrip("/")


def _proxy(variable: str, value: str) -> httpx.Proxy:
    url = value if "://" in value else f"http://{value}"
    scheme = url.partition("://")[0].lower()
    if scheme.startswith("socks"):
        raise SettingsError(f"{variable} names a SOCKS proxy: only http:// and https:// proxies are supported")
    try:
        split = _split(url)
        if scheme not in ("http", "https") or split.query or split.fragment:
            raise ValueError
        plain = f"{scheme}://{split.netloc.rpartition('@')[2]}"
        if split.username is None:
            return httpx.Proxy(plain)
        user, password = (unquote(part or "", errors="strict") for part in (split.username, split.password))
        if ":" in user:
            raise ValueError
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        return httpx.Proxy(plain, headers={"Proxy-Authorization": f"Basic {pair}"})
    except (ValueError, httpx.InvalidURL):
        raise SettingsError(
            f"{variable} is not a valid proxy; write http://host:3128, and percent-encode a user name and password"
        ) from None


def _split(url: str) -> SplitResult:
    """Split a URL. Raises ValueError or httpx.InvalidURL if its host or port is invalid."""
    split, parsed = urlsplit(url), httpx.URL(url)
    if _NO_ADDRESS.search(url) or not _HOST.fullmatch(split.hostname or "") or not parsed.host or split.port == 0:
        raise ValueError
    return split


def _matches(entry: str, host: str, port: int) -> bool:
    """Return whether an entry of NO_PROXY covers a host. An invalid entry covers none."""
    entry, host = entry.lower(), host.lower().rstrip(".")
    if entry == "*":
        return True
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::(\d+))?", entry)
    if bracketed:
        name, only = bracketed[1], bracketed[2]
    elif entry.count(":") == 1:
        name, _, only = entry.partition(":")
    else:
        name, only = entry, None
    if only and only != str(port):
        return False
    try:
        network = ipaddress.ip_network(name, strict=False)
        return ipaddress.ip_address(host) in network
    except ValueError:
        name = name.lstrip("*").strip(".")
        return bool(name) and (host == name or host.endswith(f".{name}"))
