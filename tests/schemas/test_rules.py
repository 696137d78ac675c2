"""The rules: what a file may say, what it means, and what is refused."""

from __future__ import annotations

import json
import pickle
import re
import time
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.blocked import LISTS
from schemas.errors import BadValue, WrongRule
from schemas.identifiers import EntityType, Identifier, identifier
from schemas.rules import Limit, Rules


def rules(**types: dict[str, Any]) -> Rules:
    """Rules that say this of identifier types, in this order."""
    return Rules.from_data({"identifiers": types})


def reason(given: Rules, kind: str, value: str, entity_type: EntityType = "person") -> str | None:
    """Why the value is blocked."""
    return given.blocked(given.identifier(entity_type, kind, value))


def value(given: Rules, kind: str, raw: str) -> str:
    """The normal form."""
    return given.identifier("person", kind, raw).identifier_value


# defaults


def test_the_default_is_that_three_users_share_a_device() -> None:
    """Without a file devices have a limit, nothing is unique, and no type is before another."""
    assert Rules().limits == (Limit("anonymous_id", "user_id", 2),)
    assert Rules().unique == ()
    assert Rules().priority("anonymous_id") == Rules().priority("user_id") == 0
    assert Rules.from_data({}) == Rules()


def test_a_file_replaces_only_the_property_that_it_names() -> None:
    """The default limit stays when its type is listed, and goes when it is said to go."""
    default = Rules().limits
    assert rules(user_id={}).limits == default
    assert rules(anonymous_id={}).limits == default
    assert rules(anonymous_id={"max_degree": 9}).limits == (*default, Limit("anonymous_id", None, 9))
    assert rules(anonymous_id={"limits": {}}).limits == ()
    assert rules(anonymous_id={"limits": {"email": 3}}).limits == (Limit("anonymous_id", "email", 3),)


def test_the_order_of_types_is_their_priority() -> None:
    """The first is the highest; what is not listed is last and equal."""
    given = rules(user_id={}, email={})
    assert [given.priority(each) for each in ("user_id", "email", "phone", "anonymous_id")] == [0, 1, 2, 2]


def test_unique_types_come_in_the_order_of_the_rules() -> None:
    """Which type is unique is said by its own entry."""
    given = rules(phone={"unique": True}, email={"unique": False}, user_id={"unique": True})
    assert given.unique == ("phone", "user_id")


# values


EVERYTHING: dict[str, Any] = {
    "internal_domains": ["www.acme.com"],
    "identifiers": {
        "user_id": {"unique": True, "limits": {"user_id": 1, "email": 10_000}},
        "email": {
            "ignore_gmail": ["plus", "dots"],
            "blocked": {"exact": ["TEAM@acme.com"], "patterns": ["b.*", "a.*"], "lists": ["zeros"]},
            "max_degree": 1000,
        },
        "phone": {"default_region": "DE"},
        "domain": {"redirects": {"old.example": "new.example"}},
        "anonymous_id": {"limits": {}},
    },
}


def shuffled(value: Any, path: tuple[str, ...] = ()) -> Any:
    """The same in another order, where order does not count."""
    if isinstance(value, dict):
        names = list(value) if path == ("identifiers",) else sorted(value, reverse=True)
        return {name: shuffled(value[name], (*path, name)) for name in names}
    return value[::-1] if isinstance(value, list) else value


def test_rules_that_say_the_same_are_the_same() -> None:
    """Order counts among the types and nowhere else; spelling, and what goes without saying, do not."""
    given, other = Rules.from_data(EVERYTHING), shuffled(EVERYTHING)
    other["identifiers"]["email"]["blocked"]["exact"] = ["team@acme.com", "Team@ACME.com"]
    other["identifiers"]["phone"]["unique"] = False
    assert Rules.from_data(other) == given
    assert hash(Rules.from_data(other)) == hash(given)
    assert Rules.from_data(other).version == given.version


def test_rules_that_differ_have_another_version() -> None:
    """Each property counts, and the order of the types too."""
    versions = [
        Rules(),
        rules(user_id={}),
        rules(user_id={}, email={}),
        rules(email={}, user_id={}),
        rules(user_id={"unique": True}),
        rules(user_id={"limits": {"email": 1}}),
        rules(user_id={"max_degree": 1}),
        rules(user_id={"blocked": {"lists": []}}),
        rules(user_id={"blocked": {"exact": ["a"]}}),
        rules(user_id={"blocked": {"patterns": ["a"]}}),
        rules(anonymous_id={}),
        rules(anonymous_id={"limits": {}}),
        Rules.from_data({"internal_domains": ["acme.com"]}),
    ]
    assert len({each.version for each in versions}) == len(versions)
    assert all(re.fullmatch("[0-9a-f]{16}", each.version) for each in versions)


def test_the_version_of_the_defaults_never_changes() -> None:
    """Stores hold it: another way of writing the same rules would stop every stream at an upgrade."""
    assert Rules().version == "9df1fa08fa2988a2"
    assert Rules.from_data(EVERYTHING).version == "d6db6b2d47a40489"


@pytest.mark.parametrize("data", [{}, EVERYTHING, {"identifiers": {"email": {"blocked": {"lists": []}}}}])
def test_rules_survive_what_they_are_kept_in(data: dict[str, Any]) -> None:
    """The store's JSON, the section for people, and a pickle give the same rules again."""
    given = Rules.from_data(data)
    given.identifier("person", "email", "ada@acme.test")
    assert Rules.from_json(given.to_json()) == given
    assert Rules.from_data(given.as_data()) == given
    assert pickle.loads(pickle.dumps(given)) == given


def test_rules_that_were_kept_keep_the_defaults_of_their_day() -> None:
    """What was no rule then is none now: the JSON says all that held, also of types that were not listed."""
    text = json.dumps({**json.loads(Rules().to_json()), "others": []})
    assert Rules.from_json(text).limits == ()


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '{"identifiers": [{}]}', '{"spell": 1}'])
def test_json_that_is_no_rules_is_refused(text: str) -> None:
    """A store that was written by something else stops with a sentence, not with a traceback."""
    with pytest.raises(WrongRule, match="rules"):
        Rules.from_json(text)


def test_rules_are_frozen() -> None:
    """Rules in force cannot be changed behind the store's back."""
    with pytest.raises(FrozenInstanceError):
        Rules().internal_domains = ("acme.com",)  # type: ignore[misc] # the point


# normalising


@pytest.mark.parametrize(
    ("ignored", "raw", "normal"),
    [
        (["dots"], "A.d.a@Gmail.com", "ada@gmail.com"),
        (["dots"], "a.da+n.ews@gmail.com", "ada+news@gmail.com"),
        (["plus"], "a.da+news+old@gmail.com", "a.da@gmail.com"),
        (["dots", "plus"], "a.da+x@googlemail.com", "ada@googlemail.com"),
        (["googlemail"], "a.da+x@googlemail.com", "a.da+x@gmail.com"),
        (["dots", "plus", "googlemail"], "a.da+x@googlemail.com", "ada@gmail.com"),
        (["dots", "plus"], "+x@gmail.com", "+x@gmail.com"),
        (["dots", "plus"], ".+x@gmail.com", ".@gmail.com"),
        ([], "a.da+x@gmail.com", "a.da+x@gmail.com"),
    ],
)
def test_what_is_ignored_at_gmail(ignored: list[str], raw: str, normal: str) -> None:
    """Dots, plus tags and the old name of the domain, each for itself; nothing becomes empty."""
    assert value(rules(email={"ignore_gmail": ignored}), "email", raw) == normal


@pytest.mark.parametrize("host", ["acme.test", "gmail.com.acme.test", "mygmail.com", "mail.gmail.com"])
def test_elsewhere_dots_and_tags_count(host: str) -> None:
    """Only Gmail promises that they make no other mailbox."""
    given = rules(email={"ignore_gmail": ["dots", "plus", "googlemail"]})
    assert value(given, "email", f"a.da+x@{host}") == f"a.da+x@{host}"


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("030 123456", "+4930123456"),
        ("+49 30 123456", "+4930123456"),
        ("0049 30 123456", "+4930123456"),
        ("001 201 555 0123", "+12015550123"),
        ("+1 201 555 0123", "+12015550123"),
    ],
)
def test_numbers_are_dialled_in_the_default_region(raw: str, normal: str) -> None:
    """A number that says its country keeps it, in whatever way it says so."""
    given = rules(phone={"default_region": "DE"})
    assert value(given, "phone", raw) == normal
    assert value(given, "phone", normal) == normal


@pytest.mark.parametrize("raw", ["555-0123", "12", "call me", "+999 123456", "030 123456 ext. 7"])
def test_a_region_makes_no_number_of_everything(raw: str) -> None:
    """What has no area code, no country there is, or letters, stays rejected."""
    with pytest.raises(BadValue):
        rules(phone={"default_region": "US"}).identifier("person", "phone", raw)


def test_without_a_region_a_number_needs_its_country() -> None:
    """The default guesses nothing."""
    with pytest.raises(BadValue, match="without its country"):
        Rules().identifier("person", "phone", "030 123456")


def test_redirects_lead_to_the_last_domain() -> None:
    """Chains are followed, by registrable domain, in any spelling; other domains stay."""
    chain = {"www.A.example": "b.example", "b.example": "c.example", "bücher.example": "shop.d.example"}
    given = rules(domain={"redirects": chain})
    found = {
        raw: value(given, "domain", raw) for raw in ("x.a.example", "B.EXAMPLE", "c.example", "e.example")
    }
    assert found == {
        "x.a.example": "c.example",
        "B.EXAMPLE": "c.example",
        "c.example": "c.example",
        "e.example": "e.example",
    }
    assert value(given, "domain", "xn--bcher-kva.example") == "d.example"


def test_a_long_chain_of_redirects_is_quick() -> None:
    """Ten thousand companies that were bought one after the other are read at once."""
    chain = {f"d{place}.example": f"d{place + 1}.example" for place in range(10_000)}
    before = time.process_time()
    assert value(rules(domain={"redirects": chain}), "domain", "d0.example") == "d10000.example"
    assert time.process_time() - before < 5


def test_the_ordinary_way_is_the_quick_way() -> None:
    """Without options the rules give the very function that is used without rules, with some a like one."""
    assert Rules().identifier is identifier
    given = rules(email={"ignore_gmail": ["dots"]})
    one = given.identifier("person", "email", "a.da@gmail.com")
    assert one == Identifier("person", "email", "ada@gmail.com")
    assert given.identifier("person", "email", "a.da@gmail.com") is one
    assert given.identifier("person", "user_id", "7") is identifier("person", "user_id", "7")


_OPTIONS = rules(
    email={"ignore_gmail": ["dots", "plus", "googlemail"]},
    phone={"default_region": "DE"},
    domain={"redirects": {"a.example": "b.example"}},
)
_TEXT = st.text(st.sampled_from("aA.+@ 0149üÜ\u0308\u0130-"), max_size=12)
_MAILBOXES = st.builds("{}@{}".format, _TEXT, st.sampled_from(["gmail.com", "Googlemail.com"]))
_RAW = st.one_of(
    st.tuples(st.just("email"), _MAILBOXES),
    st.tuples(st.just("phone"), st.text(st.sampled_from("+0123456789 -"), max_size=14)),
    st.tuples(st.just("domain"), st.builds("{}.a.example".format, _TEXT)),
)


@given(_RAW)
def test_a_normal_form_under_options_is_one_without(raw: tuple[str, str]) -> None:
    """What is in the store is read again, with the rules and without, and never changed by it."""
    kind, text = raw
    try:
        made = _OPTIONS.identifier("person", kind, text)
    except BadValue:
        return
    assert Identifier("person", kind, made.identifier_value) == made
    assert _OPTIONS.identifier("person", kind, made.identifier_value) == made


@pytest.mark.parametrize(
    ("kind", "spellings"),
    [
        ("email", ["Jos\u00e9@gmail.com", " JOSE\u0301@GMAIL.com ", "jo.s\u00e9+x@googlemail.com"]),
        ("email", ["\u0130pek@acme.test", "i\u0307pek@acme.test"]),
        ("phone", ["030 123456", "+49 30 123-456", "\uff0b4930123456", "tel:+4930123456"]),
        ("domain", ["a.example", "www.A.example.", "b.example"]),
        ("user_id", ["u-7", " u-7\u200b"]),
    ],
)  # fmt: skip
def test_spellings_of_one_value_are_one(kind: str, spellings: list[str]) -> None:
    """Unicode form, case, spaces, dots, tags, countries and former domains, all at once."""
    assert len({_OPTIONS.identifier("person", kind, each) for each in spellings}) == 1


# blocking


def test_without_rules_the_built_in_lists_are_on() -> None:
    """Every type knows them, listed or not."""
    for each in (Rules(), rules(user_id={}, email={})):
        assert reason(each, "user_id", "null") == "null-word"
        assert reason(each, "email", "ada@example.com") == "test-address"
        assert reason(each, "email", "ada@acme.example") is None


JUNK: list[tuple[EntityType, str, str, str]] = [
    ("person", "user_id", "null", "null-word"),
    ("person", "user_id", "anonymous", "null-word"),
    ("person", "anonymous_id", "00000000-0000-0000-0000-000000000000", "zeros"),
    ("person", "email", "test@example.com", "test-address"),
    ("person", "email", "Team@acme.com", "blocked-value"),
    ("person", "email", "no-reply@shop.test", "blocked-pattern"),
    ("group", "domain", "gmail.com", "free-mail-domain"),
    ("group", "domain", "crm.acme.com", "internal-domain"),
]  # fmt: skip


@pytest.mark.parametrize(("entity_type", "kind", "raw", "why"), JUNK)
def test_junk_and_shared_values_name_nobody(entity_type: EntityType, kind: str, raw: str, why: str) -> None:
    """What would make a mega-person is named by list, by value, by pattern or by our own domains."""
    given = Rules.from_data(
        {
            "internal_domains": ["acme.com"],
            "identifiers": {"email": {"blocked": {"exact": ["team@acme.com"], "patterns": ["no-?reply@.*"]}}},
        }
    )
    assert reason(given, kind, raw, entity_type) == why


def test_our_own_domain_is_blocked_for_groups_only() -> None:
    """A colleague's address remains a person's."""
    given = Rules.from_data({"internal_domains": ["acme.com"]})
    assert reason(given, "domain", "acme.com", "group") == "internal-domain"
    assert reason(given, "domain", "acme.com", "person") is None
    assert reason(given, "email", "ada@acme.com") is None


def test_our_own_domain_is_known_by_its_former_ones() -> None:
    """Redirects are followed before it is asked whether a domain is ours."""
    redirects = {"identifiers": {"domain": {"redirects": {"old.example": "acme.com"}}}}
    given = Rules.from_data({"internal_domains": ["old.example"], **redirects})
    assert given.internal_domains == ("acme.com",)
    assert reason(given, "domain", "www.old.example", "group") == "internal-domain"


def test_blocked_values_are_normalised_under_the_options() -> None:
    """Any spelling in the file blocks every spelling in an event."""
    given = rules(email={"blocked": {"exact": ["Te.am@gmail.com"]}, "ignore_gmail": ["dots", "plus"]})
    assert reason(given, "email", "team+sales@GMAIL.com") == "blocked-value"


def test_a_pattern_must_match_the_whole_value() -> None:
    """A part of an address blocks nobody; alternatives are taken as a whole."""
    given = rules(email={"blocked": {"patterns": ["noreply@.*|info@acme.test"]}})
    assert reason(given, "email", "NoReply@acme.test") == "blocked-pattern"
    assert reason(given, "email", "ada.noreply@acme.test") is None
    assert reason(given, "email", "info@acme.test.example") is None


def test_a_pattern_in_another_unicode_form_matches() -> None:
    """Patterns are composed as values are."""
    given = rules(email={"blocked": {"patterns": ["jose\u0301@.*"]}})
    assert reason(given, "email", "jos\u00e9@acme.test") == "blocked-pattern"


@pytest.mark.parametrize("pattern", ["(a+)+b", "(a|a)*b", "(.*)(.*)(.*)(.*)b", "(?:a?){200}a{200}b"])
def test_no_pattern_can_hold_up_the_stream(pattern: str) -> None:
    """The time is linear in the value; by Python's own expressions this would not end."""
    given = rules(user_id={"blocked": {"patterns": [pattern]}})
    before = time.process_time()
    assert reason(given, "user_id", "a" * 1024) is None
    assert time.process_time() - before < 1


def test_lists_can_be_switched_off_for_a_type() -> None:
    """Those that are named stay on; other types keep theirs."""
    given = rules(user_id={"blocked": {"lists": ["zeros"]}}, domain={"blocked": {"lists": []}})
    assert reason(given, "user_id", "null") is None
    assert reason(given, "user_id", "0") == "zeros"
    assert reason(given, "domain", "gmail.com", "group") is None
    assert reason(given, "email", "null@example.com") == "test-address"


@pytest.mark.parametrize("suffix", ["example", "test", "invalid"])
def test_a_reserved_suffix_is_blocked_by_name_only(suffix: str) -> None:
    """No built-in list touches it, and who names such a value means it."""
    address = f"ada@acme.{suffix}"
    assert reason(Rules(), "email", address) is None
    assert reason(rules(email={"blocked": {"exact": [address]}}), "email", address) == "blocked-value"


# refusals


def blocking(**values: list[Any]) -> dict[str, Any]:
    """The section of a type that blocks these."""
    return {"blocked": values}


WHOLE = "must be a whole number from 1 to 10000"
UNKNOWN = "is unknown: there are"
REFUSED: dict[str, tuple[Any, str]] = {
    "a word": ("gmail", "rules must be a mapping"),
    "nothing": (None, "rules must be a mapping"),
    "an unknown section": ({"identifers": {}}, f"rules.identifers {UNKNOWN} identifiers, internal_domains"),
    "a list of types": ({"identifiers": ["email"]}, "rules.identifiers must be a mapping"),
    "an impossible type": ({"identifiers": {"E-Mail": {}}}, "identifiers.E-Mail has a type that is not"),
    "a type that YAML read as false": ({"identifiers": {False: {}}}, "identifiers has a name that is not"),
    "a domain that is none": ({"internal_domains": ["acme.com", "acme"]}, "domains value 2 has no valid"),
    "a public suffix": ({"internal_domains": ["co.uk"]}, "internal_domains value 1 is a public suffix"),
    "one domain without a list": ({"internal_domains": "acme.com"}, "internal_domains must be a list"),
}  # fmt: skip
REFUSED_OF_A_TYPE: dict[str, tuple[str, Any, str]] = {
    "nothing": ("email", None, "email must be a mapping, {} for an empty one"),
    "an unknown property": ("email", {"max": 1}, f"email.max {UNKNOWN} unique, limits, max_degree"),
    "an option of another type": ("user_id", {"default_region": "DE"}, f"default_region {UNKNOWN}"),
    "perhaps unique": ("email", {"unique": "yes"}, "unique must be true or false"),
    "a degree of none": ("email", {"max_degree": 0}, WHOLE),
    "a degree of too many": ("email", {"max_degree": 10_001}, WHOLE),
    "half a degree": ("email", {"max_degree": 1.5}, WHOLE),
    "a true degree": ("email", {"max_degree": True}, WHOLE),
    "a degree in words": ("email", {"max_degree": "ten"}, WHOLE),
    "no degree": ("email", {"max_degree": None}, WHOLE),
    "a limit of none": ("email", {"limits": {"user_id": 0}}, f"email.limits.user_id {WHOLE}"),
    "a limit of an impossible type": ("email", {"limits": {"User": 1}}, "limits.User has a type that is not"),
    "a limit without a type": ("email", {"limits": 2}, "limits must be a mapping"),
    "an unknown difference": ("email", {"ignore_gmail": ["case"]}, "must be one of dots, plus, googlemail"),
    "a region that YAML read as false": ("phone", {"default_region": False}, "must be text: put it"),
    "a region in small letters": ("phone", {"default_region": "de"}, "two capital letters, such as DE"),
    "no region": ("phone", {"default_region": "XX"}, "two capital letters, such as DE"),
    "an unknown way to block": ("email", {"blocked": {"all": True}}, f"{UNKNOWN} exact, patterns, lists"),
    "an unknown list": ("email", blocking(lists=["spam"]), "must be one of null-word, zeros, test-address"),
    "a list of another type": ("email", blocking(lists=["free-mail-domain"]), "lists value 1 must be one of"),
    "an address that is none": ("email", blocking(exact=["a@b.test", "canary"]), "exact value 2 is not an"),
    "a number that YAML read": ("phone", blocking(exact=[4930123456]), "exact value 1 must be text: put it"),
    "no pattern": ("email", blocking(patterns=["canary("]), "in Rust's syntax: unclosed group"),
    "two halves of a pattern": ("email", blocking(patterns=["a)|(b"]), "in Rust's syntax: unopened group"),
    "an open comment": ("email", blocking(patterns=["(?x) a #"]), "in Rust's syntax: unclosed group"),
    "a look around": ("email", blocking(patterns=["(?=a)b"]), "look-around"),
    "a back-reference": ("email", blocking(patterns=[r"(a)\1"]), "backreferences are not supported"),
    "an exploding pattern": ("email", blocking(patterns=["(a{1000}){1000}"]), "it is too large"),
    "an empty pattern": ("email", blocking(patterns=[""]), "a pattern of 1 to 256 characters"),
    "a long pattern": ("email", blocking(patterns=["a" * 257]), "a pattern of 1 to 256 characters"),
    "many patterns": ("email", blocking(patterns=["a"] * 101), "must be a list of at most 100"),
    "many values": ("user_id", blocking(exact=["a"] * 10_001), "must be a list of at most 10000"),
    "a redirect to a suffix": ("domain", {"redirects": {"a.example": "com"}}, "a.example has no valid"),
    "a redirect of a suffix": ("domain", {"redirects": {"co.uk": "a.example"}}, "co.uk is a public suffix"),
    "a redirect to nowhere": ("domain", {"redirects": {"a.example": None}}, "a.example must be text"),
    "a redirect to itself": ("domain", {"redirects": {"a.example": "www.a.example"}}, "leads back to itself"),
    "two redirects of one domain": (
        "domain", {"redirects": {"a.example": "b.example", "www.a.example": "c.example"}}, "is given twice"
    ),
    "a circle": (
        "domain",
        {"redirects": {"a.example": "b.example", "b.example": "c.example", "c.example": "b.example"}},
        "redirects.b.example leads back to itself",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("section", "says"), REFUSED.values(), ids=list(REFUSED))
def test_a_wrong_section_is_refused(section: Any, says: str) -> None:
    """The message says where, and what is allowed."""
    with pytest.raises(WrongRule, match=re.escape(says)):
        Rules.from_data(section)


@pytest.mark.parametrize(("kind", "section", "says"), REFUSED_OF_A_TYPE.values(), ids=list(REFUSED_OF_A_TYPE))
def test_a_wrong_rule_is_refused(kind: str, section: Any, says: str) -> None:
    """The message is one line that names the rule and what is allowed, and repeats no value."""
    with pytest.raises(WrongRule, match=re.escape(says)) as refused:
        Rules.from_data({"identifiers": {kind: section}})
    assert str(refused.value).startswith(f"rules.identifiers.{kind}")
    assert "\n" not in str(refused.value)
    assert "canary" not in str(refused.value)


def test_a_refusal_leads_to_its_place() -> None:
    """The path is made of names and places, from which a file's line can be told."""
    with pytest.raises(WrongRule) as refused:
        rules(email={"blocked": {"exact": ["ada@acme.test", "ada"]}})
    assert refused.value.path == ("rules", "identifiers", "email", "blocked", "exact", 1)


def test_every_list_can_be_named_somewhere() -> None:
    """A domain knows all of the built-in lists."""
    assert rules(domain={"blocked": {"lists": list(LISTS)}}) == rules(domain={})
