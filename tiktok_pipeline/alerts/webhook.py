"""Send one message to one webhook, in the form of Slack, Mattermost and most others: {"text": ...}.

The address is a secret, because it allows anybody to post. It is in no log, no message and no error.
"""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from tiktok_pipeline.config.network import DIRECT, Network
from tiktok_pipeline.errors import SettingsError

WEBHOOK = "TIKTOK_PIPELINE_ALERT_WEBHOOK"
UI_URL = "TIKTOK_PIPELINE_UI_URL"

# A sensor has one minute in total.
_TIMEOUT_S = 5.0

# Slack cuts at 40,000 characters; longer texts are not read.
_LONGEST = 2_000


class DeliveryError(Exception):
    """The receiver did not accept a message: it is kept and sent again."""


def send(address: str, text: str, network: Network = DIRECT) -> None:
    """Post `text`, by the proxy and certificate settings in `network`.

    Raises:
        DeliveryError: no response, or one that is not 2xx; the message does not contain the address.
    """
    try:
        with network.client(address, _TIMEOUT_S) as client:
            response = client.post(address, json={"text": _plain(text)})
    except SettingsError as error:
        raise DeliveryError(f"the alert webhook cannot be reached: {error}") from None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise DeliveryError(f"the alert webhook cannot be reached: {type(error).__name__}") from None
    if not response.is_success:
        raise DeliveryError(f"the alert webhook responded with HTTP {response.status_code}")


def run_link(run_id: str, environment: Mapping[str, str]) -> str:
    """Return where to look at a run: its page if TIKTOK_PIPELINE_UI_URL is the address of the UI, else its id."""
    base = environment.get(UI_URL, "").rstrip("/")
    return f"{base}/runs/{run_id}" if base else f"run {run_id} in the Dagster UI"


def _plain(text: str) -> str:
    """Return text without Slack's markup: a stream's title must not notify a whole channel."""
    return text[:_LONGEST].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
