# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a live restore is asked to be, beside what every restore is asked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LiveOptions:
    """`announce_host` is the address under which the target reaches this host, `listen_ports` where it may.

    `replicas_follow` and `sentinels_held` allow what would be refused; `memory_limit` bounds in bytes what both data
    sets may take together. The certificate is for a target that replicates by TLS.
    """

    announce_host: str = ""
    listen_ports: str = ""
    replicas_follow: bool = False
    sentinels_held: bool = False
    memory_limit: int | None = None
    cert_file: str | None = None
    key_file: str | None = None
