#!/bin/sh
# Makes the certificates that the tests of TLS use, valid for a century. They protect nothing. Needs openssl 3.
set -eu
cd "$(dirname "$0")"
key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500'
authority() {
  openssl req -x509 $key -keyout "$1.key" -out "$1.pem" -subj "/CN=$1"
}
issue() {
  openssl req -x509 $key -CA "$2.pem" -CAkey "$2.key" -keyout "$1.key" -out "$1.pem" -subj "/CN=$3" \
    -addext "subjectAltName=$4" -addext basicConstraints=critical,CA:FALSE
}
authority ca
authority stranger-ca
issue server ca localhost DNS:localhost,IP:127.0.0.1
issue renewed ca localhost DNS:localhost,IP:127.0.0.1
issue client ca acme DNS:acme-by-name
issue stranger stranger-ca acme DNS:acme-by-name
rm -f ca.key stranger-ca.key
