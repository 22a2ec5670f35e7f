"""The pages of docs/, made from a small repository whose texts are attacks."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import pytest

from rbac_matrix.docs.__main__ import main
from rbac_matrix.docs.access import access_in
from rbac_matrix.docs.glossary import load_glossary
from rbac_matrix.docs.links import RelativeLinks
from rbac_matrix.docs.pages import pages_of, read_documented
from rbac_matrix.docs.site import loaded_from_elsewhere
from rbac_matrix.errors import InputError
from rbac_matrix.offline import stock_cluster
from rbac_matrix.recorded import NEWEST
from rbac_matrix.stories.claims import Claim

GOLDEN: Final = Path(__file__).parent / "golden" / "docs-shop.md"

README: Final = """\
# A shop

The till reads pods. It is told [here](story/till.py) and in `code`.

Source: ours.

| Object | Grants |
|---|---|
| Role | pods |

## What you will see

Nothing.
"""
ACCOUNTS: Final = """\
apiVersion: v1
kind: ServiceAccount
metadata: {name: till, namespace: default}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: "clerk|<b>", namespace: default}
"""
ROLES: Final = """\
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: "a](javascript:alert(1))<img src=x>", namespace: default}
rules:
  - {apiGroups: [""], resources: [pods], verbs: [get, list]}
  - {apiGroups: [rbac.authorization.k8s.io], resources: ["*"], verbs: [get]}
"""
BINDINGS: Final = """\
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: "`till`", namespace: default}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: "a](javascript:alert(1))<img src=x>"
subjects:
  - {kind: ServiceAccount, name: till}
"""
EXPECTATIONS: Final = """\
scenario: shop
title: "# A *shop* \\e[31m{ref}`x` <script>alert(1)</script> | [x](http://evil.example) @all"
manifests: ../../manifests/shop
without: [unused.yaml]
ask:
  namespaces: [default, bystander]
  cluster: true
  resources:
    - secrets
    - pods
    - pods/log
    - roles.rbac.authorization.k8s.io
    - rolebindings.rbac.authorization.k8s.io
subjects:
  - serviceAccount: till
    namespace: default
    allow:
      - verbs: {get: 404, list: 200}
        resources: [pods]
        namespaces: [default]
        why: "First\\n\\n# second <b>line</b> | ![x](http://evil.example/x.png)"
      - verbs: {get: 200}
        resources: [roles.rbac.authorization.k8s.io, rolebindings.rbac.authorization.k8s.io]
        namespaces: [default]
        why: Whoever sells sees who may.
    deny:
      - verbs: [watch, create]
        resources: [pods]
        namespaces: [default, bystander]
        cluster: true
        why: Selling makes no pods.
      - verbs: [get]
        resources: [secrets, pods/log]
        namespaces: [default]
        why: None of its business.
      - verbs: [post]
        paths: [/metrics]
        why: Nothing to write there.
  - serviceAccount: "clerk|<b>"
    namespace: default
"""


@pytest.fixture(name="shop")
def _shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of one scenario."""
    files = {
        "tests/access/shop.yaml": EXPECTATIONS,
        "manifests/shop/1-accounts.yaml": ACCOUNTS,
        "manifests/shop/2 roles.yaml": ROLES,
        "manifests/shop/3-bindings.yaml": BINDINGS,
        "manifests/shop/unused.yaml": "never: read\n",
        "manifests/shop/README.md": README,
        "manifests/shop/story/till.py": "",
    }
    for name, text in files.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(folder: Path) -> dict[str, str]:
    """The Markdown files of a folder."""
    return {
        file.relative_to(folder).as_posix(): file.read_text(encoding="utf-8")
        for file in folder.rglob("*.md")
    }


def test_page_of_a_scenario(shop: Path) -> None:
    """Its story, matrix, reasons and lines are there; what a text says stays a text."""
    assert main([]) == 0
    page = shop / "docs" / "scenarios" / "shop.md"

    came = page.read_text(encoding="utf-8")

    assert came == GOLDEN.read_text(encoding="utf-8"), f"if this is right: cp {page} {GOLDEN}"


def test_every_link_leads_to_a_file(shop: Path) -> None:
    """From each page, relative to it, whatever the file is named."""
    main([])
    found = 0
    for name, text in written(shop / "docs").items():
        for url in re.findall(r"(?<=\]\()[^)#]+(?=[#)])", re.sub(r"(`+).*?\1", "", text)):
            assert (shop / "docs" / name).parent.joinpath(unquote(url)).is_file(), (name, url)
            found += 1

    assert found > 20


def test_writing_again_changes_nothing(shop: Path) -> None:
    """What is written is current, and the order of files on the disk does not show."""
    main([])
    before = written(shop / "docs")

    assert main(["--check"]) == 0
    assert main([]) == 0
    assert written(shop / "docs") == before


def test_stale_page_is_told_with_the_command(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each file that differs is named with its line, what it has and what it must have."""
    main([])
    (shop / "docs" / "glossary.md").unlink()
    (shop / "docs" / "scenarios" / "gone.md").write_text("*Made by `nox -s docs` from x", "utf-8")
    page = shop / "docs" / "scenarios" / "shop.md"
    text = page.read_text(encoding="utf-8")
    start = "| pods | in default | "
    page.write_text(text.replace(f"{start}✅ 404", f"{start}\x1b"), encoding="utf-8")

    assert main(["--check"]) == 1
    said = capsys.readouterr().err

    assert "docs/glossary.md is missing" in said
    assert "docs/scenarios/gone.md is of nothing that exists any more" in said
    assert f"docs/scenarios/shop.md:16 is out of date\n  has:     {start}\\x1b" in said
    assert f"  must be: {start}✅ 404 |" in said
    assert said.endswith("run `nox -s docs`, read what it changed, and commit it\n")
    assert page.read_text(encoding="utf-8") != text


def test_page_of_a_scenario_that_is_gone_is_removed(shop: Path) -> None:
    """What was made here once goes with its scenario; what a person wrote stays."""
    main([])
    (shop / "docs" / "own.md").write_text("Not made here.", encoding="utf-8")
    (shop / "tests" / "access" / "shop.yaml").rename(shop / "tests" / "access" / "store.yaml")
    store = shop / "tests" / "access" / "store.yaml"
    store.write_text(EXPECTATIONS.replace("scenario: shop", "scenario: store"), encoding="utf-8")

    assert main([]) == 0

    assert {"own.md", "scenarios/store.md"} <= set(written(shop / "docs"))
    assert "scenarios/shop.md" not in written(shop / "docs")


def test_manifests_that_grant_something_else_are_not_documented(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No page says what is not so: the first wrong cell is told, and where to see them all."""
    roles = shop / "manifests" / "shop" / "2 roles.yaml"
    roles.write_text(ROLES.replace("[get, list]", "[get, list, delete]"), encoding="utf-8")

    assert main([]) == 1
    said = capsys.readouterr().err

    assert "shop: 1 cells are not as declared" in said
    assert "till may not delete pods in default, but it is granted" in said
    assert "`nox -s policy`" in said
    assert not (shop / "docs").exists()


def test_wildcard_is_one_row(shop: Path) -> None:
    """Resources that one wildcard allows alike are one row of the matrix and one item below it."""
    till, clerk = access_in(shop / "tests" / "access" / "shop.yaml").subjects

    wildcard = next(row for row in till.rows if row.number > 1)
    assert (wildcard.what, wildcard.number) == ("*.rbac.authorization.k8s.io", 2)
    assert till.allowed[1].what == ("*.rbac.authorization.k8s.io",)
    assert (clerk.rows, clerk.allowed, clerk.refused) == ((), (), ())


def test_version_that_grants_something_else_is_named(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page is for the newest version, and tells which other ones differ, and how."""
    newest = stock_cluster(NEWEST)
    granting = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "old", "namespace": "default"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "system:node-problem-detector",
        },
        "subjects": [{"kind": "ServiceAccount", "name": "clerk|<b>", "namespace": "default"}],
    }
    older = replace(newest, policy=(*newest.policy, granting))
    clusters = {"v1.2": newest, "v1.1": older}
    monkeypatch.setattr("rbac_matrix.docs.access.VERSIONS", ("v1.2", "v1.1"))
    monkeypatch.setattr("rbac_matrix.docs.access.NEWEST", "v1.2")
    monkeypatch.setattr("rbac_matrix.docs.access.stock_cluster", clusters.__getitem__)

    found = access_in(shop / "tests" / "access" / "shop.yaml")

    assert found.same_in == ()
    assert any(
        each.startswith('v1.1, beside it: "default/clerk|<b>" may') and "events in default" in each
        for each in found.differences
    )


def test_broken_link_of_a_story_is_named_with_its_line(shop: Path) -> None:
    """The README's own links are written anew, so one that leads nowhere is noticed."""
    readme = shop / "manifests" / "shop" / "README.md"
    readme.write_text(README.replace("story/till.py", "story/gone.py"), encoding="utf-8")

    with pytest.raises(InputError, match=r"README.md:3: links to story/gone.py, which is no file"):
        pages_of(read_documented(shop, []), RelativeLinks(Path("docs")))


@pytest.mark.parametrize(
    ("terms", "mistake"),
    [
        pytest.param(
            '[{term: cell, means: "A [question]."}]',
            "1: 'cell' refers to what is not explained: question",
            id="unknown",
        ),
        pytest.param(
            "[{term: cell, means: One}, {term: cell, means: Two}]",
            "1: 'cell' is explained twice",
            id="twice",
        ),
        pytest.param("[{term: Cell, means: One}]", "1: terms", id="spelling"),
    ],
)
def test_glossary_explains_each_word_once(tmp_path: Path, terms: str, mistake: str) -> None:
    """A word that is explained twice, or refers to nothing, is an error with its line."""
    file = tmp_path / "glossary.yaml"
    file.write_text(f"terms: {terms}\n", encoding="utf-8")

    with pytest.raises(InputError, match=re.escape(mistake)):
        load_glossary(file)


def test_claims_are_escaped(shop: Path) -> None:
    """Text cannot break out of its cell, become HTML, or lose what looks like Markdown."""
    claim = Claim("x", "a | <b>*bold*</b>", "t.py::t", "true", "`a|b_c` and d_e")

    page = pages_of(read_documented(shop, [claim]), RelativeLinks(Path("docs")))["claims"]

    row = "| a \\| &lt;b&gt;\\*bold\\*&lt;/b&gt; | true | `a\\|b_c` and d\\_e | `t` |"
    assert row in page
    assert "## x\n\nTold in [t.py](../t.py)." in page


def test_what_a_site_loads_from_elsewhere_is_found(tmp_path: Path) -> None:
    """A link to follow is none; a script, a style sheet, an image or a font is."""
    (tmp_path / "page.html").write_text(
        '<a href="https://a.example"></a><img src="x.png"><script src="//b.example/x.js"></script>',
        encoding="utf-8",
    )
    (tmp_path / "style.css").write_text(
        "a{background:url(data:x)} @font-face{src:url('https://c.example/f')}", encoding="utf-8"
    )

    assert sorted(loaded_from_elsewhere(tmp_path)) == [
        f"{tmp_path}/page.html: //b.example/x.js",
        f"{tmp_path}/style.css: https://c.example/f",
    ]
