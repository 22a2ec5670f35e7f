# Asks the API server for the pods of the own namespace with what every pod has mounted.
set -eu
mounted=/var/run/secrets/kubernetes.io/serviceaccount
token=$mounted/token
authority=$mounted/ca.crt
path=/api/v1/namespaces/$(cat $mounted/namespace)/pods
# The token goes through a pipe: a command line can be read by everyone on the machine.
printf 'Authorization: Bearer %s\n' "$(cat $token)" |
  curl --cacert $authority --header @- "$@" "https://kubernetes.default.svc$path"
