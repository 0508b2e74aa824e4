"""The family of all our errors, and the one of everything that is parsed off the wire."""


class SealbatchError(Exception):
    """What the programs raise on purpose. No text of it holds a question, an answer or a key."""


class WireError(SealbatchError):
    """Bytes from a peer are not what the specification says.

    The text names what is wrong and never holds content: it may be logged.
    """


class CodecError(WireError):
    """Bytes are not the one strict msgpack encoding of an allowed value."""


class FramingError(WireError):
    """A frame is too long, empty or cut off; the connection is of no further use."""


class MessageError(WireError):
    """A message or payload has an unknown type, or a field with a wrong type or value."""


class SealError(WireError):
    """A sealed object is malformed, or does not open under this key.

    Wrong key, wrong commitment, changed header and changed ciphertext are told apart by nobody: one error, one text.
    """


class ReceiptError(WireError):
    """A receipt is malformed."""


class TicketError(WireError):
    """A ticket is mistyped or cut."""


class ManifestError(WireError):
    """A manifest or page is malformed or not authentic."""


class LedgerError(WireError):
    """A queue message, an object name or a note of the bridge is malformed."""


class StreamError(WireError):
    """A connection failed; `StreamTimeout` and `StreamClosed` say how."""


class StreamClosed(StreamError):  # noqa: N818 - an end of stream is not always an error
    """The peer is gone, or the stream was closed on this side."""


class StreamTimeout(StreamError):  # noqa: N818 - named as the standard library names timeouts
    """Nothing came within the time allowed."""
