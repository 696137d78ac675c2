"""Rules in the settings file: what is taken, and on which line something is wrong."""

import re
from pathlib import Path

import pytest
import yaml

from flows.settings import load, rules_from_file
from schemas.errors import SettingsError
from schemas.rules import Rules

PAGE = Path(__file__).resolve().parents[2] / "docs/rules.md"
STATES = PAGE.with_name("states.md")
GOOD = """\
namespace: acme
rules:
  identifiers:
    user_id:
      unique: true
    email:
      blocked:
        exact:
          - team@acme.test
          - info@acme.test
        patterns: ['noreply@.*',
                   'info@.*']
      limits: {user_id: 3,
               phone: 2}
    phone: {default_region: DE}
"""
WRONG = {
    "unknown section": ("  identifiers:", "  identifers:", 3),
    "impossible type": ("    user_id:", "    User:", 4),
    "no flag": ("true", "perhaps", 5),
    "unknown property": ("      blocked:", "      block:", 7),
    "no mapping": ("phone: {default_region: DE}", "phone:", 15),
    "no address in a list": ("info@acme.test", "info", 10),
    "no pattern in a list over lines": ("'info@.*'", "'info@(.*'", 12),
    "too low a limit": ("user_id: 3", "user_id: 0", 13),
    "no number in a mapping over lines": ("phone: 2", "phone: two", 14),
    "Norway without quotes": ("DE", "NO", 15),
    "a name given twice": ("      unique: true", "      unique: true\n      unique: true", 6),
}


@pytest.mark.parametrize(("old", "new", "line"), WRONG.values(), ids=list(WRONG))
def test_a_wrong_rule_names_its_line(tmp_path: Path, old: str, new: str, line: int) -> None:
    """One line: the file, the line in it, which rule, what is allowed."""
    file = tmp_path / "nexus.yaml"
    file.write_text(GOOD.replace(old, new))
    with pytest.raises(SettingsError, match=rf"line {line}\b") as refused:
        load({}, file)
    assert "\n" not in str(refused.value)


def test_the_message_is_the_one_of_the_page(tmp_path: Path) -> None:
    """docs/rules.md quotes what Nexus says of its own example, when that is made wrong."""
    quoted = re.findall(r"^nexus: nexus\.yaml line (\d+): (.+)$", PAGE.read_text(), re.MULTILINE)
    ((line, says),) = quoted
    file = tmp_path / "nexus.yaml"
    file.write_text(examples()[0].replace("max_degree: 1000", "max_degree: many"))
    with pytest.raises(SettingsError) as refused:
        load({}, file)
    assert str(refused.value) == f"{file} line {line}: {says}"


def examples(page: Path = PAGE) -> list[str]:
    """Give the YAML of the page."""
    return re.findall(r"^```yaml\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", [PAGE, STATES], ids=lambda page: page.name)
def test_the_examples_of_the_page_are_rules(page: Path, tmp_path: Path) -> None:
    """What docs/rules.md and docs/states.md show can be pasted, and is more than nothing."""
    file = tmp_path / "nexus.yaml"
    for example in examples(page):
        file.write_text(example)
        assert load({}, file).rules != Rules()


def test_the_defaults_are_as_the_page_writes_them_out() -> None:
    """The default limit that docs/rules.md shows is the default."""
    (written,) = re.findall(r"`(anonymous_id: \{limits: \{user_id.*?\}\})` \|", PAGE.read_text())
    assert Rules.from_data({"identifiers": yaml.safe_load(written)}).limits == Rules().limits


def test_without_a_file_there_are_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing need be written to be safe from shared devices."""
    monkeypatch.chdir(tmp_path)
    assert load({}).rules == Rules()
    assert load({}).shown()["rules"] == {}


def test_the_rules_are_shown_as_they_could_be_written(tmp_path: Path) -> None:
    """What is shown of the settings, read as a file, gives the same rules."""
    file = tmp_path / "nexus.yaml"
    file.write_text(GOOD)
    settings = load({}, file)
    file.write_text(yaml.safe_dump({"rules": settings.shown()["rules"]}, sort_keys=False))
    assert load({}, file).rules == settings.rules


def test_rules_can_be_given_as_a_value(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A program that has rules, or a section of them, needs no file."""
    monkeypatch.chdir(tmp_path)
    section = {"identifiers": {"user_id": {"unique": True}}}
    assert load({}, rules=Rules.from_data(section)) == load({}, rules=section)


@pytest.mark.parametrize("head", ["namespace: acme\nworkers: 2\nrules:\n", "rules:\n", None])
def test_new_rules_are_a_settings_file_or_only_its_rules(tmp_path: Path, head: str | None) -> None:
    """`nexus rules diff` takes all three; other settings in it are not looked at."""
    section = "  identifiers:\n    user_id: {unique: true}\n"
    file = tmp_path / "new.yaml"
    file.write_text(section if head is None else head + section)
    assert rules_from_file(file).unique == ("user_id",)
    file.write_text((section if head is None else head + section).replace("true", "maybe"))
    line = file.read_text().count("\n")
    with pytest.raises(SettingsError, match=f"new.yaml line {line}: rules.identifiers.user_id.unique"):
        rules_from_file(file)


def test_a_wrong_formula_names_its_line(tmp_path: Path) -> None:
    """Of a state in a settings file, and in a file that only holds rules."""
    file = tmp_path / "nexus.yaml"
    text = examples(STATES)[0].replace("seats > 10", "seats > many")
    file.write_text(text)
    place = "rules.states.health.when value 1.if"
    with pytest.raises(
        SettingsError, match=f"line 13: {place} is no formula: at character 42: expected a num"
    ):
        load({}, file)
    file.write_text(text.removeprefix("rules:\n"))
    with pytest.raises(SettingsError, match=f"line 12: {place} is no formula"):
        rules_from_file(file)


@pytest.mark.parametrize("text", ["", "namespace: acme\n", "rules: {}\n"])
def test_a_file_that_says_nothing_of_rules_has_the_defaults(tmp_path: Path, text: str) -> None:
    """As it would when a stream is started with it."""
    file = tmp_path / "new.yaml"
    file.write_text(text)
    assert rules_from_file(file) == Rules()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("namespace: acme\nrule: {}\n", "line 2: unknown setting rule"),
        ("identifiers: {}\nworkers: 2\n", "line 1: unknown setting identifiers"),
        ("- a\n", "must be a mapping"),
        ("rules: [\n", "is not YAML"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, text: str, says: str) -> None:
    """A mistyped name would otherwise mean the defaults."""
    file = tmp_path / "new.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=says):
        rules_from_file(file)


def test_new_rules_that_are_nowhere_are_refused(tmp_path: Path) -> None:
    """Code 2 and the name of the file, as for every settings file."""
    with pytest.raises(SettingsError, match="there is no settings file"):
        rules_from_file(tmp_path / "new.yaml")
