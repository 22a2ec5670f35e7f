# The same request to a server that has shown that it is the API server.
set -eu
path=$1
shift
mounted=/run/secrets/kubernetes.io/serviceaccount
# The token goes through a pipe: a command line can be read by every process of the pod.
printf 'Authorization: Bearer %s\n' "$(cat $mounted/token)" |
  curl --cacert $mounted/ca.crt --header @- "$@" "https://kubernetes.default.svc$path"
