# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of a restore survives its process."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import RestoreError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._restore.journal import (
    OPEN_STATES,
    Journal,
    Placed,
    Workspace,
    new_id,
)
from hypothesis import given, settings
from hypothesis import strategies as st

WORDS = st.text(st.characters(blacklist_categories=["Cs"]), max_size=10)
PLACED = st.builds(
    Placed,
    WORDS,
    WORDS,
    WORDS.filter(lambda name: "/" not in name and name not in ("", ".", "..")),
    st.integers(0, 0o7777),
    st.integers(0),
    st.integers(0),
    st.sampled_from([None, True, False]),
)


def journal(identifier: str, state: str = "staged", **over: object) -> Journal:
    fixed = {
        "instance": "db",
        "source_instance": "db",
        "repository": "nas",
        "label": "20261122T235141Z_rdb",
        "snapshot_time": "2026-11-22T23:51:41Z",
        "created": "2026-11-22T23:51:41Z",
        "target_time": "2026-11-22T23:51:41Z",
    }
    return Journal(identifier, state, **{**fixed, **over})  # type: ignore[arg-type]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(str(tmp_path))
    made.prepare()
    return made


def is_plain(name: str) -> bool:
    return "/" not in name and name not in ("", ".", "..")


@pytest.mark.parametrize("field", ["aside", "install", "discard", "data_names"])
@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/b", "..", ""])
def test_names_that_lead_elsewhere_are_not_followed(workspace: Workspace, field: str, name: str) -> None:
    workspace.save(journal("one", "active", **{field: [name]}))
    with pytest.raises(RestoreError, match="names what lies elsewhere"):
        workspace.journals()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
@pytest.mark.parametrize("planted", ["", "one", "one/journal.json"])
def test_what_another_user_planted_is_not_followed(workspace: Workspace, planted: str) -> None:
    workspace.save(journal("one", "active"))
    os.chown(os.path.join(workspace.root, planted), 65534, 65534)
    with pytest.raises(RestoreError, match="is not of this collection"):
        workspace.journals()


@settings(max_examples=20)
@given(st.lists(PLACED, max_size=3), st.lists(WORDS.filter(is_plain), max_size=3), WORDS, st.booleans(), st.integers(0))
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory, placed: list[Placed], names: list[str], word: str, closed: bool, keys: int
) -> None:
    workspace = Workspace(str(tmp_path_factory.mktemp("data")))
    workspace.prepare()
    said = journal(
        new_id(), placed=placed, aside=names, install=names[:1], config_file=word, writes_closed=closed, keys=keys
    )
    workspace.save(said)
    assert workspace.journals() == [said]
    assert workspace.current() == workspace.find(said.id) == said


def test_states(workspace: Workspace) -> None:
    said = journal("a", "staging")
    for state in (*OPEN_STATES, "superseded", "rolled_back", "committed"):
        workspace.save(said, state)
        assert said.state == state
        current = workspace.current()
        assert (current.state if current else None) == (state if state in OPEN_STATES else None)


def test_ids_sort_by_time() -> None:
    made = [new_id() for _each in range(300)]
    moments = [identifier.rsplit("-", 1)[0] for identifier in made]
    assert moments == sorted(moments)
    assert len(set(moments)) > 1  # finer than a second: two restores within one keep their order
    assert len(set(made)) == len(made)


def test_newest_first(workspace: Workspace) -> None:
    for identifier in ("20261122T235141.000002Z-a", "20261122T235142.000001Z-a", "20261122T235141.000001Z-b"):
        workspace.save(journal(identifier, "active"))
    assert [j.id[9:] for j in workspace.journals()] == ["235142.000001Z-a", "235141.000002Z-a", "235141.000001Z-b"]
    current = workspace.current()
    assert current is not None and current.id.startswith("20261122T235142")


def test_other_entries_are_no_restores(workspace: Workspace) -> None:
    Path(workspace.fence).write_text("")
    Path(workspace.lock_path).write_text("")
    os.mkdir(os.path.join(workspace.root, "empty"))
    assert workspace.journals() == []
    assert workspace.current() is None
    assert workspace.find("empty") is None
    assert Workspace("/nonexistent").journals() == []


@pytest.mark.parametrize(
    "raw",
    ["", "{", "[]", "{}", '{"format": 2}', '{"format": 1, "placed": []}', '{"format": 1, "placed": [{}]}', "null"],
)
def test_a_damaged_journal_is_refused_in_words(workspace: Workspace, raw: str) -> None:
    os.mkdir(os.path.join(workspace.root, "a"))
    Path(workspace.root, "a", "journal.json").write_text(raw)
    with pytest.raises(RestoreError, match=r"the restore journal .*a/journal.json cannot be read"):
        workspace.journals()


def test_a_journal_of_a_newer_version_is_refused(workspace: Workspace) -> None:
    workspace.save(journal("a"))
    path = Path(workspace.root, "a", "journal.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2}))
    with pytest.raises(RestoreError, match="format is not known"):
        workspace.current()


def test_only_unfinished_staging_is_forgotten(workspace: Workspace) -> None:
    for name, state in (("a", "staging"), ("b", "staged"), ("c", "active"), ("d", "committed"), ("e", "rolled_back")):
        workspace.save(journal(name, state))
    os.makedirs(os.path.join(workspace.root, "f", "staged"))  # died before its journal was written
    os.rename(os.path.join(workspace.root, "d"), os.path.join(workspace.root, "d.kept-by-hand"))
    Path(workspace.lock_path).write_text("")
    assert sorted(workspace.forget_unfinished()) == ["a", "f"]
    assert sorted(os.listdir(workspace.root)) == ["b", "c", "d.kept-by-hand", "e", "lock"]
    assert workspace.forget_unfinished() == []


def test_the_folder_is_ours_alone(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    workspace.prepare()
    workspace.prepare()
    assert stat.S_IMODE(os.stat(workspace.root).st_mode) == 0o700
    os.chmod(workspace.root, 0o777)
    with pytest.raises(RestoreError, match="others may write there"):
        workspace.prepare()
    os.rmdir(workspace.root)
    os.symlink("/tmp", workspace.root)
    with pytest.raises(RestoreError, match="is not of this collection"):
        workspace.prepare()
