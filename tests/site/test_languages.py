"""Everything that people read is there in both languages, and nothing is guessed."""

import gettext
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rest_framework.test import APIClient

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = ROOT / "a3mailer_site" / "locale" / "zh_Hans" / "LC_MESSAGES"
PLACEHOLDER = re.compile(r"%\(\w+\)[\d.]*[a-z]|%%")


def entries():
    """Message id and translations of every entry of the .po file."""
    quoted = r'((?:"(?:[^"\\]|\\.)*"\s*)+)'
    entry = re.compile(rf"^msgid {quoted}(?:msgid_plural {quoted})?((?:msgstr(?:\[\d\])? {quoted})+)", re.MULTILINE)
    text = (CATALOGUE / "django.po").read_text(encoding="utf-8")

    def plain(literals):
        return "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', literals)).replace('\\"', '"').replace("\\n", "\n")

    for found in entry.finditer(text):
        yield plain(found[1]), [plain(one) for one in re.split(r"msgstr(?:\[\d\])? ", found[3])[1:]]


def test_nothing_is_untranslated_or_fuzzy():
    found = [(source, texts) for source, texts in entries() if source]
    assert len(found) > 200
    assert [source for source, texts in found if not all(texts)] == []
    text = (CATALOGUE / "django.po").read_text(encoding="utf-8")
    assert "#, fuzzy" not in text
    assert "#~" not in text


def test_placeholders_are_the_same_in_both_languages():
    for source, texts in entries():
        for text in texts:
            if source:
                assert sorted(set(PLACEHOLDER.findall(text))) == sorted(set(PLACEHOLDER.findall(source))), source


def test_the_compiled_catalogue_is_that_of_the_source():
    with (CATALOGUE / "django.mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    for source, texts in entries():
        if source:
            assert compiled.ngettext(source, source, 1) == texts[0] or compiled.gettext(source) == texts[0], source


def test_every_text_of_the_source_is_in_the_catalogue(tmp_path):
    """What makemessages would add now was forgotten: run ``make messages`` and translate it."""
    copy = tmp_path / "source"
    folders = ["a3mailer_site", "security", "domains", "accounts", "mailqueue", "monitoring", "mailcore"]
    for folder in folders:
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__", "*.mo"))
    for name in ("manage.py", "pyproject.toml"):
        shutil.copy(ROOT / name, copy / name)
    known = {source for source, _texts in entries()}
    subprocess.run(
        [sys.executable, "manage.py", "makemessages", "-l", "zh_Hans", "--no-location", "--no-obsolete"],
        cwd=copy,
        env={"PATH": "/usr/bin:/bin", "A3MAILER_DATA_DIR": str(tmp_path / "data")},
        check=True,
        capture_output=True,
    )
    text = (copy / "a3mailer_site" / "locale" / "zh_Hans" / "LC_MESSAGES" / "django.po").read_text(encoding="utf-8")
    now = set(re.findall(r'^msgid "(.+)"$', text, re.MULTILINE))
    assert {source.replace('\\"', '"') for source in now} <= known


@pytest.mark.django_db
@pytest.mark.parametrize("language", ["zh-Hans", "zh-CN,zh;q=0.9,en;q=0.8", "zh"])
def test_messages_follow_the_language_and_codes_do_not(language):
    client = APIClient()
    english = client.get("/api/v1/users", HTTP_ACCEPT_LANGUAGE="en").json()["error"]
    chinese = client.get("/api/v1/users", HTTP_ACCEPT_LANGUAGE=language).json()["error"]
    assert english["code"] == chinese["code"] == "UNAUTHORIZED"
    assert chinese["message"] == "\u672a\u6388\u6743\u8bbf\u95ee"
    assert english["message"] != chinese["message"]


@pytest.mark.django_db
def test_the_references_own_error_is_in_chinese():
    from accounts.models import ApiKey

    client = APIClient(HTTP_AUTHORIZATION=f"Bearer {ApiKey.issue('x', ['write'])[1]}", HTTP_ACCEPT_LANGUAGE="zh-CN")
    error = client.post("/api/v1/users", {"username": "x"}, format="json").json()["error"]
    assert error["message"] == "\u8bf7\u6c42\u53c2\u6570\u65e0\u6548"
    assert "\u5b57\u6bb5 'email'" in error["details"]
