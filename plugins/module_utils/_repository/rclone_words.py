# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What rclone complains of, in an operator's words. Pure."""

from __future__ import annotations

import re

_NOT_FOUND_CODES = (3, 4)  # a folder, a file
_STAMP = re.compile(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d ")
_LEVEL = re.compile(r"^(?:ERROR|CRITICAL|NOTICE|Fatal error) ?: *")
_LAST = re.compile(r"Failed to (?:[\w-]+|create file system for \"[^\"]*\")(?: with \d+ errors: last error was)?: ")
_QUERY = re.compile(r"\?[^\s\"']+")
_USER_INFO = re.compile(r"//[^/@\s\"']*@")
_KNOWN = (
    (r"didn't find section in config file", "rclone knows no such remote",
     "Correct remote or config_file; rclone listremotes shows the names"),
    (r"unable to decrypt configuration|config(?:uration)? is encrypted|password.*config", "rclone.conf is encrypted",
     "Give its password in the environment: RCLONE_CONFIG_PASS"),
    (r"knownhosts: key mismatch", "the server shows another host key than the known one",
     "Find out why, then correct known_hosts_file of the remote"),
    (r"knownhosts: key is unknown", "the server's host key is not known",
     "Add it to known_hosts_file of the remote (ssh-keyscan), after comparing its fingerprint"),
    (r"unable to authenticate|InvalidAccessKeyId|SignatureDoesNotMatch|401 Unauthorized|AuthenticationFailed",
     "the service does not accept the credentials", "Correct user, key or password of the remote in rclone.conf"),
    (r"couldn't read|failed to read private key|failed to parse private key|no such file or directory.*key|"
     r"passphrase", "the remote's key cannot be read",
     "Correct key_file of the remote; this user must be able to read it"),
    (r"LoadCustomCABundleError", "this rclone does not understand AWS_CA_BUNDLE",
     "Unset it on the host, and name the file in RCLONE_CA_CERT"),
    (r"x509:|certificate", "the service's certificate does not prove valid",
     "Correct the certificate, or name its authority in RCLONE_CA_CERT"),
    (r"no space left|disk quota|quota exceeded|storageQuotaExceeded|insufficient.*(?:space|storage|quota)",
     "there is no room left", "Free or add room there, or prune old backups"),
    (r"permission denied|AccessDenied|403 Forbidden|SSH_FX_PERMISSION_DENIED", "that is not permitted to this user",
     "Give the remote's user the right to read and write there"),
    (r"connection refused|no such host|no route to host|network is unreachable|i/o timeout|deadline exceeded|"
     r"connection reset|connection lost|broken pipe|unexpected EOF|\bEOF\b|use of closed|couldn't connect|handshake",
     "the service cannot be reached, or broke off", "Look at the service and the network, then run again"),
    (r"unknown (?:command|flag)", "this rclone is too old", "Install rclone 1.60 or newer"),
)
_FULL = re.compile(r"SSH_FX_FAILURE|sftp: \"Failure\"")
FULL_HINT = "Free or add room there (a full disk and a quota are what SFTP calls a failure), or prune old backups"


def is_not_found(code: int, complaints: str) -> bool:
    """Whether rclone ended because there is no such file or folder."""
    return code in _NOT_FOUND_CODES or "is a directory or doesn't exist" in complaints


def last_complaint(complaints: str) -> str:
    """The last line that rclone said, without its dates and without what an address may hold of secrets."""
    lines = [line.strip() for line in complaints.splitlines() if line.strip()]
    if not lines:
        return "it said nothing"
    line = _LAST.sub("", _LEVEL.sub("", _STAMP.sub("", lines[-1])))
    return _USER_INFO.sub("//", _QUERY.sub("?...", line))[-400:]


def explain(code: int, complaints: str) -> tuple[str, str]:
    """What went wrong and the operator's next step, from rclone's exit code and what it said."""
    said = last_complaint(complaints)
    if code < 0 or code == 137:  # a signal; timeout's KILL
        return f"rclone was ended by signal {-code if code < 0 else 9}: {said}", "Run again"
    if _FULL.search(complaints):
        return f"the server gives up: {said}", FULL_HINT
    for pattern, words, hint in _KNOWN:
        if re.search(pattern, complaints, re.IGNORECASE):
            return f"{words}: {said}", hint
    return f"rclone ended with {code}: {said}", ""
