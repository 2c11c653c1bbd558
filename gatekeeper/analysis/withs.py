"""The common table expressions of a WITH: which can be seen from where, and how often they are used."""

from collections import Counter
from typing import Final

from contract.errors import Forbidden

# MariaDB resolves an element anew for each of its uses, and within it each of those that it uses: elements that use one
# another twice are doubled from one to the next, before any time limit is looked at. 25 of them took 20 GB.
MOST_EXPANDED: Final = 100
# Uses of recursive elements in themselves in a whole statement: MariaDB doubles its work with each; 14 took 1.6 GB.
MOST_RECURSIVE: Final = 4


class With:
    """One WITH, its elements in order, and who uses them. `stands_in`: the view of another WITH where it stands."""

    def __init__(self, names: list[str], stands_in: "Named | None") -> None:
        self._stands_in = stands_in
        self.places: dict[str, int] = {}
        for at, name in enumerate(names):
            self.places.setdefault(name, at)
        # By (the element that it is used in, None for the query itself; the element that is used).
        self._uses: Counter[tuple[int | None, int]] = Counter()

        self.recursive = 0  # uses of elements within themselves

    def use(self, user: int | None, name: str) -> None:
        """Notes a use. One within the element itself is a recursion's, and makes it no more used than before."""
        at = self.places[name]
        if user == at:
            self.recursive += 1
        else:
            self._uses[user, at] += 1

    def check(self) -> None:
        """Raises Forbidden for an element that nothing uses (rule construct), or too many expansions (rule limit).

        MariaDB 10.11.19 crashes on some that nothing uses, whose conditions name columns of the query around them.
        """
        used = {at for _, at in self._uses}
        for name, at in self.places.items():
            if at not in used:
                raise Forbidden(f"nothing uses {name[:64]}, which WITH defines", rule="construct")
        if self.copies() * sum(self.times().values()) > MOST_EXPANDED:
            raise Forbidden("the statement is too large: elements of WITH are used too many times", rule="limit")

    def most(self) -> int:
        """How often the element is resolved that is resolved most often."""
        return self.copies() * max(self.times().values(), default=1)

    def copies(self) -> int:
        """How often all of it is resolved: as often as the element is that it stands in."""
        return self._stands_in.copies() if self._stands_in else 1

    def times(self) -> dict[int, int]:
        """How often each element is resolved. An element can be used by those after it only."""
        times: dict[int, int] = {}
        for at in sorted(self.places.values(), reverse=True):
            uses = [(user, count) for (user, used), count in self._uses.items() if used == at]
            times[at] = sum(count * (1 if user is None else times.get(user, 0)) for user, count in uses)
        return times


class Named:
    """A view of a WITH, from its element `user` or from its query: the first `visible` elements can be seen."""

    __slots__ = ("_outer", "_user", "_visible", "_with")

    def __init__(self, of: With, visible: int, outer: "Named | None", user: int | None = None) -> None:
        self._with = of
        self._visible = visible
        self._outer = outer
        self._user = user

    def copies(self) -> int:
        """How often what stands here is resolved."""
        return self._with.copies() * (1 if self._user is None else self._with.times().get(self._user, 0))

    def knows(self, name: str) -> bool:
        """Whether the name is surely that of a common table expression, which counts as used then."""
        named: Named | None = self
        while named is not None:
            if named._with.places.get(name, named._visible) < named._visible:
                named._with.use(named._user, name)
                return True
            named = named._outer
        return False
