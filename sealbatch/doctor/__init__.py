"""What `sealbatch doctor` looks at: each module checks one part and says of every fault how it is mended."""

import enum


class Role(enum.StrEnum):
    """With whose rights it looks."""

    PRODUCER = "producer"
    READER = "reader"
    BRIDGE = "bridge"
