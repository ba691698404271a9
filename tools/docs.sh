#!/usr/bin/env bash
# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The collection's documentation as a site: docs.sh DIRECTORY (inside the environment: ./dev docs).
set -euo pipefail
site=${1:?usage: docs.sh DIRECTORY}
rm -rf "$site"
mkdir -p "$site"
antsibull-docs sphinx-init --use-current --lenient --dest-dir "$site" --output-format ansible-docsite \
  --project globalscope.redis_backup --title globalscope.redis_backup globalscope.redis_backup >/dev/null
antsibull-docs --config-file "$site/antsibull-docs.cfg" collection --use-current --dest-dir "$site/rst" \
  globalscope.redis_backup
sphinx-build -q -b html -c "$site" "$site/rst" "$site/html"
echo "$site/html/index.html"
