"""What lies in the dead-letter queue is listed, whatever it is."""

from typing import Any

import pytest

from vsock_bridge.dead_letters import DeadLetters

NOTE = '{{"v":1,"undecodable":"x","bytes":{},"sha256":"00","at_ms":1}}'


class OneMessage:
    """SQS as far as a look needs it, with one message."""

    def __init__(self, body: str) -> None:
        self._bodies = [body]

    def receive_message(self, **_: Any) -> dict[str, Any]:
        """The message, and then none."""
        return {
            "Messages": [{"MessageId": "m", "ReceiptHandle": "r", "Body": self._bodies.pop()}] if self._bodies else []
        }

    def change_message_visibility(self, **_: Any) -> None:
        """Nothing to hide."""

    send_message = delete_message = change_message_visibility


@pytest.mark.parametrize("number", ["Infinity", "1e999", "NaN", "[]", "null"])
def test_a_note_with_an_odd_number_is_listed_as_undecodable(number: str) -> None:
    """Found by fuzzing: an infinite size ended the listing with an OverflowError."""
    (letter,) = DeadLetters(OneMessage(NOTE.format(number)), "dead", "home").look(10)
    assert (letter.reason, letter.chunk) == ("undecodable", None)
    assert letter.size == len(NOTE.format(number))
