# The document's request, as written there: any server that answers for the name gets the token.
path=$1
shift
TOKEN=$(cat /run/secrets/kubernetes.io/serviceaccount/token)
curl "$@" -H "Authorization: Bearer $TOKEN" "https://kubernetes$path" --insecure
