"""Real requests with one message to a webhook receiver on this machine."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tiktok_pipeline.alerts.webhook import DeliveryError, run_link, send
from tiktok_pipeline_tests.alerts.receiver import Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def test_a_message_is_posted_in_slack_format(receiver: Receiver) -> None:
    send(receiver.url, "a run failed")
    assert receiver.posted == [{"text": "a run failed"}]


def test_markup_in_a_creators_text_notifies_no_channel(receiver: Receiver) -> None:
    send(receiver.url, "@ana is live: <!channel> me & you")
    assert receiver.texts == ["@ana is live: &lt;!channel&gt; me &amp; you"]


@pytest.mark.parametrize("status", [301, 404, 410, 429, 500])
def test_an_error_status_raises_an_error_that_hides_the_webhook_address(receiver: Receiver, status: int) -> None:
    receiver.status = status
    with pytest.raises(DeliveryError, match=str(status)) as error:
        send(receiver.url, "x")
    assert "secret" not in str(error.value)


def test_an_unreachable_receiver_raises_an_error_that_hides_the_webhook_address() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for address in (f"http://127.0.0.1:{port}/very-secret", "very-secret", "http://[very-secret"):
        with pytest.raises(DeliveryError, match="cannot be reached") as error:
            send(address, "x")
        assert "secret" not in str(error.value)
        assert error.value.__cause__ is None


def test_a_run_is_linked_if_the_ui_address_is_set() -> None:
    assert run_link("r1", {"TIKTOK_PIPELINE_UI_URL": "https://dagster.example/"}) == "https://dagster.example/runs/r1"
    assert run_link("r1", {}) == "run r1 in the Dagster UI"
