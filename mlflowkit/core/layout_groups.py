"""Which group holds what, and which groups cannot stand together in a frame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Final

from mlflowkit.core.layout_shapes import Group, Node

#: What holds everything.
TOP: Final = ""


class Tree:
    """What holds what: `parent` of each node and group, the top being empty."""

    def __init__(self, parent: dict[str, str], known: Iterable[str]) -> None:
        self.parent, self.groups = parent, set(known)

    def chain(self, one: str) -> list[str]:
        """What is around it, the innermost first; the top is last."""
        found = list[str]()
        while one != TOP:
            one = self.parent[one]
            found.append(one)
        return found

    def children(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {TOP: []}
        for one, parent in self.parent.items():
            found.setdefault(parent, []).append(one)
        return found


def key_of(group: str) -> str:
    """Groups and nodes may share ids: those of groups are told apart."""
    return f"\0{group}" if group else TOP


def group_tree(
    nodes: Sequence[Node], arrows: Sequence[tuple[str, str]], groups: Iterable[Group]
) -> tuple[Tree, list[str]]:
    """What holds what, and the groups that no frame can be drawn around.

    Raises:
        CycleError: the arrows have a cycle.
    """
    around = {g.id: g.parent for g in groups}
    parent: dict[str, str] = {}
    for node in nodes:
        inner, group = node.id, node.group
        while inner not in parent:
            parent[inner] = key_of(group if group in around else "")
            if group not in around:
                break
            inner, group = key_of(group), around[group]
    tree, unframed = Tree(parent, {p for p in parent.values() if p}), list[str]()
    for level in [TOP, *sorted(tree.groups)]:
        while level in tree.groups or level == TOP:
            bad = _in_cycle(tree, level, arrows)
            if not bad:
                break
            for group in bad:
                _dissolve(tree, group)
                unframed.append(group[1:])
    return tree, sorted(unframed)


def _in_cycle(tree: Tree, level: str, arrows: Iterable[tuple[str, str]]) -> list[str]:
    """Groups at a level that wait for themselves through something outside of them."""
    above: dict[str, set[str]] = {}
    for up, down in arrows:
        one, other = _child_at(tree, up, level), _child_at(tree, down, level)
        if one and other and one != other:
            above.setdefault(other, set()).add(one)
    try:
        TopologicalSorter({k: sorted(v) for k, v in above.items()}).prepare()
    except CycleError as exc:
        found: list[str] = sorted(set(exc.args[1]) & tree.groups)
        if not found:
            raise
        return found
    return []


def _child_at(tree: Tree, node: str, level: str) -> str:
    """What holds the node directly inside `level`; empty if it is not in there."""
    chain = [node, *tree.chain(node)]
    return chain[chain.index(level) - 1] if level in chain else ""


def _dissolve(tree: Tree, group: str) -> None:
    up = tree.parent.pop(group)
    for one, parent in tree.parent.items():
        if parent == group:
            tree.parent[one] = up
    tree.groups.discard(group)
