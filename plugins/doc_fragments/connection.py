# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that every module of the collection takes."""

from __future__ import annotations


class ModuleDocFragment:
    """Doc fragment `globalscope.redis_backup.connection`."""

    DOCUMENTATION = r"""
options:
  login_host:
    description: Host name or address of the server, as seen from the host where the module runs.
    type: str
    default: 127.0.0.1
  login_port:
    description: TCP port of the server.
    type: int
    default: 6379
  login_unix_socket:
    description: Path of the server's unix socket. When given, it is used in place of TCP.
    type: path
  login_user:
    description: ACL user. Without it, the user V(default) logs in.
    type: str
  login_password:
    description:
      - Password of the user.
      - When it is not given, the environment variable E(REDIS_BACKUP_LOGIN_PASSWORD) is used.
    type: str
  tls:
    description: Whether to connect with TLS.
    type: bool
    default: false
  validate_certs:
    description: Whether the server's certificate and name must prove valid.
    type: bool
    default: true
  ca_certs:
    description: File of the certificate authorities to trust.
    type: path
  client_cert_file:
    description: Certificate with which to authenticate to the server.
    type: path
  client_key_file:
    description: Private key of O(client_cert_file).
    type: path
  command_map:
    description:
      - Commands that C(rename-command) gave another name in redis.conf, as a mapping from the usual name to the new one.
    type: dict
    default: {}
  connect_timeout:
    description: Seconds to wait for a connection.
    type: float
    default: 5.0
  instance:
    description:
      - Name of the instance, under which its backups are kept.
      - Where it is needed and not given, it is the host's name and O(login_port), joined by a hyphen.
    type: str
  config_file:
    description: Path of the instance's redis.conf. When it is not given, it is what the server says, or what O(service) starts with.
    type: path
  data_dir:
    description: The instance's data directory. When it is not given, it is what the server says, or what redis.conf says.
    type: path
  executable:
    description:
      - The server's program. When it is not given, it is what the server says, what O(service) starts, or C(redis-server)
        or C(valkey-server) from E(PATH). It is never taken from a repository.
      - Check tools and throw-away servers are this program under its other names.
    type: path
  service:
    description: Name of the systemd unit that runs the instance.
    type: str
  state_dir:
    description:
      - Directory on the host, outside of the data directory, that remembers the identity of its instances and holds locks.
    type: path
    default: /var/lib/redis_backup
requirements:
  - redis (Python library) >= 4.3
"""
