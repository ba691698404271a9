# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A human's word that a suspect backup or export is as it should be, kept beside it in every repository that has it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from .._errors import NotFoundError
from .._times import now, to_iso
from .catalog import list_backups, list_exports
from .layout import ACKNOWLEDGED, folder_of, is_export_label
from .parse import parse_json
from .store import Store


@dataclass(frozen=True)
class Acknowledgement:
    """Who looked at which backups of `instance`, and what they found."""

    instance: str
    labels: Sequence[str]
    by: str
    reason: str


def acknowledge(stores: Sequence[Store], word: Acknowledgement, *, check_mode: bool = False) -> list[str]:
    """Write the word down where it does not stand yet; what was done, in words. Idempotent.

    Raises NotFoundError for a label that no repository has, before anything is written.
    """
    listed = []
    if not all(is_export_label(label) for label in word.labels):
        listed += list_backups(stores, word.instance)
    if any(is_export_label(label) for label in word.labels):
        listed += list_exports(stores, word.instance)
    entries = {entry.label: entry for entry in listed}
    lacking = [label for label in word.labels if label not in entries or not entries[label].manifests]
    if lacking:
        where = ", ".join(store.where() for store in stores)
        there = ", ".join(label for label, entry in entries.items() if entry.manifests)
        raise NotFoundError(
            f"{where} holds no usable backup {', '.join(lacking)} of {word.instance}",
            untouched="Nothing was changed",
            hint=f"Usable are: {there or 'none'}",
        )
    actions = []
    for label in word.labels:
        for store in entries[label].stores:
            path = f"{folder_of(word.instance, label)}/{ACKNOWLEDGED}"
            if _stands(store, path, word):
                continue
            if not check_mode:
                document = {"time": to_iso(now()), "by": word.by, "reason": word.reason}
                store.write(path, json.dumps(document, indent=2, sort_keys=True).encode() + b"\n")
            actions.append(f"{'would acknowledge' if check_mode else 'acknowledged'} {label} in {store.where()}")
    return actions


def _stands(store: Store, path: str, word: Acknowledgement) -> bool:
    try:
        found = parse_json(store.read(path))
    except (NotFoundError, ValueError):
        return False
    return isinstance(found, dict) and found.get("reason") == word.reason
