"""The table of figures: everything that the source counts has a family, and the text is what the format wants."""

import ast
import itertools
from pathlib import Path

import pytest

from a3mailer_site.env import DEVELOPMENT_LISTEN
from monitoring.exposition import Page, escaped, number
from monitoring.families import OF_A_PROCESS, ROWS, Family, place

ROOT = Path(__file__).resolve().parents[2]
APPS = ("a3mailer_site", "security", "domains", "accounts", "mailqueue", "monitoring", "mailcore")
KINDS = {"count": "counter", "observe": "histogram", "gauge": "gauge"}
# Rows for figures that are agreed on and will be counted by parts that are not here yet.
NOT_YET = (
    "api.",
    "blocks.",
    "cache.",
    "database.connections",
    "delivery.pool.",
    "http.blocked",
    "http.limits",
    "http.rate",
)
# What may stand in the place of an expression in a figure's name.
EXAMPLES = ("smtp", "GET", "200", "5.1.1", "TLSv1.3", "database", "sent", "deferred", "failed", "held")


def names(node):
    """All names that an expression may have; placeholders become ``{}``."""
    if isinstance(node, ast.Constant):
        return [node.value]
    if isinstance(node, ast.IfExp):
        return names(node.body) + names(node.orelse)
    if isinstance(node, ast.JoinedStr):
        parts = [[part.value] if isinstance(part, ast.Constant) else ["{}"] for part in node.values]
        return ["".join(parts) for parts in itertools.product(*parts)]
    return None


def counted():
    """Every figure's name in the source, with its kind and where it stands."""
    for path in itertools.chain.from_iterable((ROOT / app).rglob("*.py") for app in APPS):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            function = getattr(node, "func", None)
            if not (isinstance(function, ast.Attribute) and function.attr in KINDS):
                continue
            if getattr(function.value, "id", "") != "figures":
                continue
            where = f"{path.relative_to(ROOT)}:{node.lineno}"
            yield KINDS[function.attr], names(node.args[0]), where
            for keyword in node.keywords:
                if keyword.arg == "counting":
                    yield "counter", names(keyword.value), where


def filled(name):
    """The names that this one may stand for."""
    for values in itertools.product(EXAMPLES, repeat=name.count("{}")):
        yield name.replace("{}", "%s") % values


# Figures whose names are put together elsewhere than where they are counted, by the file that counts them.
COMPUTED = {
    "a3mailer_site/caches.py": [
        *(("counter", f"cache.user.{what}") for what in ("hits", "misses", "insertions", "evictions")),
        *(("gauge", f"cache.user.{what}") for what in ("bytes", "entries", "capacity")),
        ("histogram", "cache.user.lookup"),
        ("gauge", "cache.capacity"),
    ],
}
FOUND = [each for each in counted() if each[2].partition(":")[0] not in COMPUTED]
FOUND += [(kind, [name], path) for path, those in COMPUTED.items() for kind, name in those]


def test_the_source_counts_things():
    assert len(FOUND) > 40


@pytest.mark.parametrize(("kind", "found", "where"), FOUND, ids=str)
def test_every_figure_of_the_source_is_in_the_table(kind, found, where):
    assert found, f"{where}: a figure's name must stand where it is counted"
    for name in found:
        if name in OF_A_PROCESS:
            continue
        assert any(place(each, kind) for each in filled(name)), f"{where}: {name} has no family"


def test_every_row_of_the_table_is_counted_somewhere():
    """A row that nothing fills is a promise that nobody keeps."""
    places = {(kind, each) for kind, found, _ in FOUND for name in found or () for each in filled(name)}
    for row in ROWS:
        known = any(kind == row.family.kind and row.pattern.fullmatch(name) for kind, name in places)
        assert known or row.pattern.pattern.replace("\\", "").startswith(NOT_YET), row.pattern.pattern


def test_families_of_one_name_agree_and_names_say_what_they_are():
    families = {}
    for row in ROWS:
        assert families.setdefault(row.family.name, row.family) == row.family
    for family in families.values():
        assert family.name.startswith(("a3mailer_", "stalwart_"))
        assert (family.kind == "counter") == family.name.endswith("_total")
        if family.kind == "histogram":
            assert family.name.endswith(("_seconds", "_size"))


def test_a_family_has_the_same_labels_in_all_its_rows():
    labels = {}
    for row in ROWS:
        own = {*row.pattern.groupindex, *dict(row.labels)}
        assert labels.setdefault(row.family.name, own) == own


@pytest.mark.parametrize("listener", [name for name in DEVELOPMENT_LISTEN if name not in {"http", "https"}])
def test_listeners_are_labels(listener):
    family, labels = place(f"{listener}.connections", "counter")
    assert (family.name, labels) == ("a3mailer_connections_total", {"listener": listener})


@pytest.mark.parametrize(
    ("figure", "kind", "name", "labels"),
    [
        ("http.requests.GET.200", "counter", "stalwart_http_requests_total", {"method": "GET", "status": "200"}),
        ("smtps.tls.TLSv1.3", "counter", None, None),
        ("imaps.tls.TLSv1.3", "counter", "a3mailer_tls_handshakes_total", {"listener": "imaps", "version": "TLSv1.3"}),
        ("delivery.connections", "counter", "a3mailer_outbound_connections_total", {"result": "tried"}),
        ("login.api_key.failed", "counter", "a3mailer_logins_total", {"protocol": "api_key", "result": "failed"}),
        ("http.seconds", "counter", None, None),
        ("smtp.connections.evil", "counter", None, None),
    ],
)
def test_where_a_figure_goes(figure, kind, name, labels):
    found = place(figure, kind)
    assert (found and found[0].name) == name
    assert (found and found[1]) == labels


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (3.0, "3"),
        (0.25, "0.25"),
        (1e30, "1e+30"),
        (-5, "-5"),
        (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"),
        (float("nan"), "NaN"),
    ],
)
def test_numbers_as_the_format_has_them(value, text):
    assert number(value) == text


def test_a_label_cannot_end_its_quotes():
    assert escaped('a\\b"c\nd') == 'a\\\\b\\"c\\nd'


def test_what_is_unknown_is_left_away():
    page = Page()
    page.add(Family("a3mailer_x", "gauge", "X"), None)
    assert str(page) == ""
