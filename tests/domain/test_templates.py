from __future__ import annotations

import pytest

from gateway.domain.templates import Template, Templates


def test_the_default_template_must_be_declared() -> None:
    template = Template(name="ci", scopes=("read",))
    assert Templates(by_name={"ci": template}, default="ci").default == "ci"
    with pytest.raises(ValueError, match=r"default template 'cd' is not among \['ci'\]"):
        Templates(by_name={"ci": template}, default="cd")
