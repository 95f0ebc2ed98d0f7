"""Whatever text reaches the log, tokens, phones and credentials are cut out of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from vending.log import redact, redact_text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("token 1234 5678 9012 3456 7890 sent", "token <token> sent"),
        ("to +254712345678", "to 07******78"),
        ("key stima_live_abcdefgh_" + "a2" * 26 + " used", "key <credential> used"),
        ("Bearer eyJhbGciOiJIUzI1NiJ9.eyJhIjoxfQ.c2ln-_x", "Bearer <credential>"),
        ("stima_live and eyJ are words", "stima_live and eyJ are words"),
    ],
)
def test_secrets_are_cut_out_of_texts(text: str, told: str) -> None:
    assert redact_text(text) == told


def test_secrets_are_cut_out_of_events_by_name_and_by_shape() -> None:
    event = {"secret": "x", "fault": ValueError("stima_test_abcdefgh_" + "a" * 52), "count": 3}
    assert redact(None, "info", event) == {
        "secret": "<redacted>", "fault": "<credential>", "count": 3,
    }  # fmt: skip


def test_a_line_that_cannot_be_written_stops_nobody() -> None:
    program = (
        "from vending import log\n"
        "log.configure(level='info', form='json')\n"
        "log.get('till').warning('a request was refused')\n"
        "print('answered')"
    )
    with Path("/dev/full").open("w") as no_room:
        ended = subprocess.run(
            [sys.executable, "-c", program],
            stdout=subprocess.PIPE, stderr=no_room, check=False, text=True,
        )  # fmt: skip
    assert ended.stdout == "answered\n"
