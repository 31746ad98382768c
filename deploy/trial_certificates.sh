#!/usr/bin/env bash
# Certificates and keys for a trial: a CA, the server's certificate, and a key for each site.
#
# usage: deploy/trial_certificates.sh FOLDER HOST [SITE ...]
#
#   FOLDER/ca.key, ca.crt           the CA; ca.crt goes to every site and user, ca.key to nobody
#   FOLDER/server.key, server.pem   the SuperLink's, for HOST, localhost and 127.0.0.1
#   FOLDER/sites/SITE, SITE.pub     a site's own key, and what of it is registered at the SuperLink
#
# They are good for 30 days (DAYS=...). What is there already is kept, so that a site can be added.
# For patients' data take a CA of your institution's; and let each site make its own key (the line
# with ssh-keygen), so that it never travels.
set -euo pipefail

if [ $# -lt 2 ]; then
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2
    exit 2
fi
folder=$1 host=$2
shift 2
days=${DAYS:-30}
umask 077
mkdir -p "$folder/sites"

if [ ! -f "$folder/ca.crt" ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -keyout "$folder/ca.key" -out "$folder/ca.crt" \
        -sha256 -days "$days" -subj "/O=fedvlm trial CA" 2>/dev/null
fi

if [ ! -f "$folder/server.pem" ]; then
    case $host in
        *[!0-9.]*) name="DNS:$host" ;;
        *) name="IP:$host" ;;
    esac
    request=$(mktemp) extensions=$(mktemp)
    trap 'rm -f "$request" "$extensions"' EXIT
    printf 'subjectAltName=%s,DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' "$name" \
        > "$extensions"
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -keyout "$folder/server.key" -out "$request" \
        -subj "/O=fedvlm/CN=$host" 2>/dev/null
    openssl x509 -req -in "$request" -CA "$folder/ca.crt" -CAkey "$folder/ca.key" \
        -set_serial "0x$(openssl rand -hex 16)" -out "$folder/server.pem" -days "$days" -sha256 \
        -extfile "$extensions" 2>/dev/null
fi

for site in "$@"; do
    if [ ! -f "$folder/sites/$site" ]; then
        # Flower takes elliptic-curve keys in OpenSSH's form.
        ssh-keygen -q -t ecdsa -b 384 -N "" -C "$site" -f "$folder/sites/$site"
    fi
done

chmod 644 "$folder/ca.crt" "$folder/server.pem"
find "$folder/sites" -name '*.pub' -exec chmod 644 {} +
echo "certificates and keys in $folder"
