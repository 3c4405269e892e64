"""`heat.show.page` under the name it had first."""

from heat.show.page import page

__all__ = ["page"]
