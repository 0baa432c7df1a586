"""What belongs together because something links it: groups that may not straddle splits."""

from __future__ import annotations

from collections.abc import Iterable


def components(links: Iterable[tuple[str, str]], names: Iterable[str]) -> dict[str, str]:
    """Names each connected component after the smallest of `names` in it.

    Args:
      links: pairs of nodes that belong together; a node may be linked with itself.
      names: the nodes after which a component may be named.

    Returns:
      node -> name of its component; nodes without links, or in a component that has no name, are
      left out.

    Source: union-find with path halving; Tarjan, van Leeuwen 1984, section 3.

    Example:
      >>> found = components([("x", "song b"), ("x", "song a"), ("y", "y")], ["song b", "song a"])
      >>> sorted(found.items())
      [('song a', 'song a'), ('song b', 'song a'), ('x', 'song a')]
    """
    parents: dict[str, str] = {}

    def root(node: str) -> str:
        parents.setdefault(node, node)
        while parents[node] != node:
            parents[node] = parents[parents[node]]
            node = parents[node]
        return node

    for one, other in links:
        parents[root(one)] = root(other)
    smallest: dict[str, str] = {}
    for name in sorted(set(names) & parents.keys()):
        smallest.setdefault(root(name), name)
    return {node: smallest[root(node)] for node in list(parents) if root(node) in smallest}
