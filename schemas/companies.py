"""The companies that people's addresses say they belong to.

Who has a mailbox at `acme.example` belongs to the company with that domain, unless it is a free-mail
provider's, where everybody has one. That the domain is one's own (`internal_domains`) or names nobody is for
the rules to say; a free-mail domain is never brought, for it would say of strangers that they are colleagues.
"""

from collections.abc import Iterable

from schemas.assembly import Draft
from schemas.blocked import free_mail_domains
from schemas.errors import BadValue
from schemas.events import Membership
from schemas.identifiers import MakeIdentifier


def companies(people: Iterable[Draft], make: MakeIdentifier) -> tuple[list[Draft], list[Membership]]:
    """One group for each domain of the people's addresses, and who belongs to which.

    The people have refs. Nobody belongs twice to one company: of those who are the same by their address, and
    appear in several roles, the first is named.
    """
    groups: dict[str, Draft] = {}
    members: dict[tuple[str, str], Membership] = {}
    for person in people:
        for identifier_type, value in person.identifiers:
            domain = _domain(value, make) if identifier_type == "email" else None
            if domain is not None and person.ref is not None:
                groups[domain] = Draft("group", [("domain", domain)], domain)
                members.setdefault((value, domain), Membership(person.ref, domain, None, ended=False))
    return list(groups.values()), list(members.values())


def _domain(address: str, make: MakeIdentifier) -> str | None:
    """The registrable domain of an address that somebody can have, unless everybody can have one there."""
    try:
        mailbox = make("person", "email", address).identifier_value
        domain = make("group", "domain", mailbox.rpartition("@")[2]).identifier_value
    except BadValue:
        return None
    return None if domain in free_mail_domains() else domain
