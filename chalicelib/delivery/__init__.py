"""Where results go: one module a kind of channel, one table."""

from chalicelib.delivery.channels import check, deliver
from chalicelib.delivery.tools import Tools

__all__ = ["Tools", "check", "deliver"]
