"""The actions of a delivery status notification."""

from enum import StrEnum


class Action(StrEnum):
    """What became of the message for one recipient (RFC 3464 section 2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"
