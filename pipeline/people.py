"""Who writes and who answers: customers with their addresses, agents, blocked senders; and who only looks like one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from . import rules, tables
from .errors import NotFound, UsageError
from .ledger import Ledger, sender_of
from .letter import Address, Letter, canonical
from .lookalike import skeleton
from .settings import Settings
from .store import Store, among, now
from .unit import Row, delete


class People(Ledger):
    """A ledger that knows who the senders are."""

    def __init__(self, store: Store, settings: Settings, clock: Callable[[], str] = now) -> None:
        super().__init__(store, settings, clock)
        own = tables.PersonAddress
        self._people = self._shelf(own.select(), own.address)
        self._addresses = self._shelf(own.select(), own.person)
        self._alike = self._shelf(own.select(), own.skeleton)
        self._agents = self._shelf(tables.Agent.select(), tables.Agent.address)
        self._blocked = self._shelf(tables.Blocked.select(), tables.Blocked.address)

    def _prefetch(self, letters: Sequence[Letter]) -> None:
        super()._prefetch(letters)
        senders = [sender for letter in letters if (sender := sender_of(letter))]
        for shelf in (self._people, self._agents, self._blocked):
            shelf.prefetch(senders)
        self._alike.prefetch(skeleton(sender) for sender in senders)
        self._addresses.prefetch(row["person"] for sender in senders for row in self._people.find(sender))

    # -- asking ------------------------------------------------------------------------------------------------------

    def addresses_of(self, address: str) -> set[str]:
        """Return every address of the person who has this one, as addresses compare."""
        people = self._people.find(address)
        return {address, *(other["address"] for row in people for other in self._addresses.find(row["person"]))}

    def agent(self, address: str | None) -> Row | None:
        """Return the agent of this address who may answer, or None. Whether a mail is really theirs is another question."""
        row = self._agents.last(address) if address else None
        return row if row and not row["disabled"] else None

    def was_agent(self, address: str | None) -> bool:
        """Was this the address of an agent who is disabled now?"""
        row = self._agents.last(address) if address else None
        return bool(row and row["disabled"])

    def must_answer(self, address: str) -> Row:
        """Return the agent of this address, who may answer.

        Raises:
            NotFound: nobody, or somebody who was disabled.
        """
        row = self.any_agent(address)
        if row["disabled"]:
            raise NotFound(f"The agent {row['address']} is disabled.", f"`helpdesk agent enable {row['address']}` undoes that.")
        return row

    def any_agent(self, address: str) -> Row:
        """Return the agent of this address, disabled or not.

        Raises:
            NotFound
        """
        row = self._agents.last(canonical(address))
        if row is None:
            raise NotFound(f"There is no agent {address}.", "`helpdesk agent list` shows them; `helpdesk agent add` makes one.")
        return row

    def acting(self, address: str | None) -> Address:
        """Return in whose name a person works: the agent who is named, else the only one, else the desk itself (no address).

        Raises:
            NotFound: no such agent, or a disabled one.
        """
        if address is not None:
            agent = self.must_answer(address)
            return Address(agent["name"], agent["address"])
        agents = self.store.rows(tables.Agent.select().where(~tables.Agent.disabled).limit(2))
        return Address(agents[0]["name"], agents[0]["address"]) if len(agents) == 1 else Address()

    def is_blocked(self, address: str | None) -> bool:
        """Did an agent call this sender's mail spam?"""
        return bool(address and any(row["at"] for row in self._blocked.find(address)))

    def lookalikes(self, address: str | None) -> list[str]:
        """Return other people's addresses that look like this one."""
        if not address:
            return []
        own = self.addresses_of(address)
        return [row["address"] for row in self._alike.find(skeleton(address)) if row["address"] not in own]

    # -- verbs on people ---------------------------------------------------------------------------------------------

    def person(self, author: Address) -> None:
        """Make a person of a sender who is not one yet."""
        compared = canonical(author.address) if author.address else None
        if compared is None or self._people.find(compared):
            return
        looks = skeleton(compared)
        person = self._insert(tables.Person, name=author.name, created=self.now)
        self._addresses.made(person["id"])
        row = self._insert(tables.PersonAddress, address=compared, written=author.address, person=person["id"], skeleton=looks)
        self._people.put(compared, row)
        self._addresses.put(person["id"], row)
        self._alike.put(looks, row)

    def merge_people(self, person: int, other: int) -> None:
        """Give one person the addresses of another, who is no more; of two names the first one's stays.

        Raises:
            UsageError: they are one person already.
        """
        if person == other:
            raise UsageError("They are one person already.", "`helpdesk people list` shows everybody.")
        for row in self._addresses.find(other):
            self._change(tables.PersonAddress, row["id"], person=person)
        both = tables.Person.select().where(among(tables.Person.id, [person, other]))
        names = {row["id"]: row["name"] for row in self.store.rows(both)}
        if not names.get(person):
            self._change(tables.Person, person, name=names.get(other, ""))
        self._page.later.append(delete(tables.Person, id=other))

    def bounced(self, address: str | None, why: str) -> None:
        """Mark an address that mail did not reach."""
        for row in self._people.find(canonical(address)) if address else ():
            self._change(tables.PersonAddress, row["id"], bounced=why)

    def block(self, address: str, ticket: int | None, who: str) -> None:
        """Hold the mail of this sender from now on."""
        compared = canonical(address)
        if not self.is_blocked(compared):
            row = self._insert(tables.Blocked, address=compared, ticket=ticket, who=who, at=self.now)
            self._blocked.put(compared, row)

    def unblock(self, address: str) -> None:
        """Take the mail of this sender again."""
        for row in self._blocked.find(canonical(address)):
            self._page.queries.append(delete(tables.Blocked, id=row["id"]))

    def add_agent(self, address: str, name: str) -> Row:
        """Let somebody answer; one who was disabled may again. Return the agent."""
        compared = canonical(address)
        self.person(Address(name, address))
        known = self._agents.last(compared)
        if known:
            self._change(tables.Agent, known["id"], name=name or known["name"], disabled=False)
            return known
        row = self._insert(tables.Agent, address=compared, written=address, name=name, created=self.now)
        self._agents.put(compared, row)
        return row

    def disable_agent(self, agent: Row) -> None:
        """Let somebody answer no more; what they wrote stays."""
        self._change(tables.Agent, agent["id"], disabled=True)

    def enable_agent(self, agent: Row) -> None:
        """Let somebody answer again."""
        self._change(tables.Agent, agent["id"], disabled=False)

    def set_notify(self, agent: Row, kinds: Sequence[str], digest_minutes: int) -> None:
        """Say of what an agent is told by mail, and in how many minutes once; 0: at once."""
        self._change(tables.Agent, agent["id"], notify=" ".join(kinds), digest_minutes=digest_minutes)

    def set_password(self, agent: Row, hashed: str) -> None:
        """Give an agent a new password for the page, hashed already."""
        self._change(tables.Agent, agent["id"], password=hashed)


@cache
def own_addresses(settings: Settings) -> frozenset[str]:
    """Return the addresses that are ours, as addresses compare."""
    return frozenset(canonical(address) for address in settings.own_addresses)


def is_own(address: str, settings: Settings) -> bool:
    """Is this address ours? `desk+anything@` is where `desk@` is."""
    own = own_addresses(settings)
    local, _, domain = address.rpartition("@")
    bare = f"{local.partition('+')[0]}@{domain}"
    return not own.isdisjoint((address, bare)) or not rules.current(settings.rules_file).own_addresses.isdisjoint((address, bare))
