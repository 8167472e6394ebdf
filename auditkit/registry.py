"""Find plugins: ours and anyone's, by entry point, loaded when used.

A plugin is one line in a distribution's metadata::

    [project.entry-points."auditkit.controls"]
    my_control = "my_package.my_module:my_control"

Set ``AUDITKIT_PLUGINS=own`` to see only the plugins that ship with auditkit: a run that nothing else
installed on the machine can change.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, Literal, get_args

from auditkit.errors import UsageError, printable

__all__ = ["GROUPS", "Group", "Plugin", "find", "plugins"]

Group = Literal["attacks", "clients", "controls", "detectors", "exporters", "formats", "judges", "probes"]
GROUPS: Final[tuple[Group, ...]] = get_args(Group)
_OURS: Final = "judge-auditkit"


@dataclass(frozen=True)
class Plugin:
    """One registered plugin; `load` imports it."""

    group: Group
    name: str
    distribution: str
    version: str
    entry: EntryPoint

    def load(self) -> Any:
        """Import the plugin and return the object that its entry point names."""
        return self.entry.load()

    @property
    def summary(self) -> str:
        """What the plugin says of itself in its `summary`, else the first line of its docstring (imports the plugin).

        If it cannot be imported: why.
        """
        try:
            plugin = self.load()
        except (ImportError, AttributeError) as error:
            return f"cannot be imported: {error}"
        said = getattr(plugin, "summary", None)
        doc: str | None = said if isinstance(said, str) else getattr(plugin, "__doc__", None)
        return (doc or "").strip().split("\n", 1)[0]


@cache
def _all(group: Group, own_only: bool) -> Mapping[str, Plugin]:
    found: dict[str, Plugin] = {}
    for entry in sorted(entry_points(group=f"auditkit.{group}"), key=lambda e: (e.name, e.value)):
        dist = entry.dist
        name = dist.name if dist is not None else ""
        if own_only and name != _OURS:
            continue
        known = found.get(entry.name)
        if known is not None and known.entry.value != entry.value:
            raise UsageError(
                f"two plugins are named {entry.name!r} in group auditkit.{group}: "
                f"{known.distribution} and {name}; uninstall one, or set AUDITKIT_PLUGINS=own"
            )
        found[entry.name] = Plugin(group, entry.name, name, dist.version if dist is not None else "", entry)
    return found


def plugins(group: Group) -> Mapping[str, Plugin]:
    """Return the plugins of `group` by name, sorted, none of them imported yet.

    Raises:
        UsageError: Two distributions register different objects under one name.
    """
    return _all(group, os.environ.get("AUDITKIT_PLUGINS") == "own")


def find(group: Group, name: str) -> Plugin:
    """Return one plugin.

    Raises:
        UsageError: There is no plugin of that name; the message lists those there are.
    """
    known = plugins(group)
    if name not in known:
        raise UsageError(f"no {group} plugin is named {printable(name)!r}; there are: {', '.join(known) or 'none'}")
    return known[name]
