#!/usr/bin/env bash
# Install Superset into its own environment, prepare it once, and serve it on loopback.
#
#   deploy/superset/start.sh [port]
#
# SUPERSET_HOME (default .superset) holds its metadata; SUPERSET_ADMIN_PASSWORD is the password of `admin`; if unset, one is
# generated and stored in $SUPERSET_HOME/admin.password. SUPERSET_VENV (default .venv-superset) holds 890 MB of packages.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."

port=${1:-8088}
venv=${SUPERSET_VENV:-$PWD/.venv-superset}
export SUPERSET_HOME=${SUPERSET_HOME:-$PWD/.superset}
export SUPERSET_CONFIG_PATH=$here/superset_config.py
export FLASK_APP="superset.app:create_app()"
export SCARF_ANALYTICS=false PYTHONWARNINGS=ignore

if ! cmp -s "$here/requirements.txt" "$venv/.installed"; then
    echo "installing Superset into $venv (890 MB, a minute)"
    "${PYTHON:-python3}" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
    cp "$here/requirements.txt" "$venv/.installed"
fi

umask 077
mkdir -p "$SUPERSET_HOME"
secret() { "$venv/bin/python" -c 'import secrets; print(secrets.token_urlsafe(32))'; }
[ -s "$SUPERSET_HOME/secret.key" ] || secret >"$SUPERSET_HOME/secret.key"
[ -z "${SUPERSET_ADMIN_PASSWORD:-}" ] || printf %s "$SUPERSET_ADMIN_PASSWORD" >"$SUPERSET_HOME/admin.password"
[ -s "$SUPERSET_HOME/admin.password" ] || secret >"$SUPERSET_HOME/admin.password"

if ! cmp -s "$here/requirements.txt" "$SUPERSET_HOME/.prepared"; then
    echo "preparing $SUPERSET_HOME (half a minute)"
    "$venv/bin/superset" db upgrade >"$SUPERSET_HOME/prepare.log" 2>&1
    "$venv/bin/superset" init >>"$SUPERSET_HOME/prepare.log" 2>&1
    "$venv/bin/python" "$here/prepare.py" >>"$SUPERSET_HOME/prepare.log" 2>&1
    cp "$here/requirements.txt" "$SUPERSET_HOME/.prepared"
fi

echo "Superset: http://127.0.0.1:$port, user admin, password in $SUPERSET_HOME/admin.password"
exec "$venv/bin/gunicorn" --bind "127.0.0.1:$port" --workers 1 --threads 8 --timeout 120 "$FLASK_APP"
