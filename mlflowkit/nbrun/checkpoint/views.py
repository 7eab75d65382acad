"""Views of dictionaries in a pickle: they still look into the dictionary that they are of."""

from __future__ import annotations

import gc
import types
from collections import OrderedDict
from typing import Any, Final

from mlflowkit.nbrun.checkpoint.memory import DoesNotTravel

_NAMES: Final = ("keys", "values", "items")
_OF: Final = {
    type(getattr(kind(), name)()): name for kind in (dict, OrderedDict) for name in _NAMES
}
#: The kinds that `reduce_view` knows.
KINDS: Final = frozenset({*_OF, types.MappingProxyType})


def reduce_view(view: Any) -> Any:
    """How a pickle keeps it: a copy of its content would not follow its dictionary.

    Raises:
        DoesNotTravel: its dictionary is that of a class.
    """
    held = next(each for each in gc.get_referents(view) if hasattr(each, "keys"))
    name = _OF.get(type(view))
    if name is None and "__module__" in held:
        raise DoesNotTravel("looks into a class")
    return (types.MappingProxyType, (held,)) if name is None else (_view, (held, name))


def _view(held: Any, name: str) -> Any:
    return getattr(held, name)()
