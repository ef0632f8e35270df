"""What the fields of a section say of themselves."""

from __future__ import annotations

from pydantic import BaseModel

from gateway.config.docstrings import Docstrings
from gateway.config.model import Config


class Above(BaseModel):
    kept: int = 1
    """Said above."""
    silent: int = 2
    replaced: int = 3
    """Said above, too."""


class Below(Above):
    """Not about a field."""

    own: str = "x"
    """Said
    over two lines."""

    replaced: int = 4
    """Said anew."""

    @property
    def name(self) -> str:
        """Not about a field either."""
        return self.own


def test_a_field_is_described_by_the_text_below_it_also_where_it_is_inherited() -> None:
    assert Docstrings().of(Below) == {
        "kept": "Said above.",
        "own": "Said\nover two lines.",
        "replaced": "Said anew.",
    }


def test_what_describes_the_configuration_costs_no_start_anything() -> None:
    """Pydantic would read all sources at every start to say the same."""
    assert all(field.description is None for field in Config.model_fields.values())
    assert Docstrings().of(Config)["listeners"].startswith("The sockets")
