"""`heat.show.picture` under the name it had first."""

from heat.show.picture import picture

__all__ = ["picture"]
