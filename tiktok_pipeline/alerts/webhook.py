"""One message to one webhook, in the form that Slack, Mattermost and most others take: {"text": ...}.

The address is a secret: whoever has it can post. It is in no log, no message and no error.
"""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from tiktok_pipeline.config.network import DIRECT, Network
from tiktok_pipeline.errors import SettingsError

WEBHOOK = "TIKTOK_PIPELINE_ALERT_WEBHOOK"
UI_URL = "TIKTOK_PIPELINE_UI_URL"

# A sensor has a minute for everything.
_TIMEOUT_S = 5.0

# Slack cuts at 40,000 characters; nobody reads more than this.
_LONGEST = 2_000


class DeliveryError(Exception):
    """The receiver did not take a message: it is kept and sent again."""


def send(address: str, text: str, network: Network = DIRECT) -> None:
    """Post `text`, by the proxy and certificate settings in `network`.

    Raises:
        DeliveryError: no answer, or one that is not 2xx; the address is not in it.
    """
    try:
        with network.client(address, _TIMEOUT_S) as client:
            answer = client.post(address, json={"text": _plain(text)})
    except SettingsError as error:
        raise DeliveryError(f"the alert webhook cannot be reached: {error}") from None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise DeliveryError(f"the alert webhook cannot be reached: {type(error).__name__}") from None
    if not answer.is_success:
        raise DeliveryError(f"the alert webhook answered HTTP {answer.status_code}")


def run_link(run_id: str, environment: Mapping[str, str]) -> str:
    """Where to look at a run: its page if TIKTOK_PIPELINE_UI_URL says where the UI is, else its id."""
    base = environment.get(UI_URL, "").rstrip("/")
    return f"{base}/runs/{run_id}" if base else f"run {run_id} in the Dagster UI"


def _plain(text: str) -> str:
    """Text without markup of Slack's: a stream's title must not call a whole channel."""
    return text[:_LONGEST].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
