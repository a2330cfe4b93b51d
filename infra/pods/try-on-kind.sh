#!/usr/bin/env bash
# A cluster of one node on this machine (kind), with the steps' namespace, rights, a vault it can reach and a pretended
# GPU. Prints what to export so that the studio in MEMORIAL_HOME runs its steps there. See README.md for what this was
# and was not run on. Needs: docker, kind, kubectl, and the worker image.
#
#   docker build -f docker/worker.Dockerfile -t memorial-worker:try .
#   infra/pods/try-on-kind.sh memorial-worker:try
#   infra/pods/try-on-kind.sh --delete
set -euo pipefail
cd "$(dirname "$0")/../.."

cluster=memorial-try
if [ "${1:-}" = "--delete" ]; then exec kind delete cluster --name "$cluster"; fi
image=${1:?"usage: $0 IMAGE | --delete"}
home=${MEMORIAL_HOME:-$PWD/.memorial}
[ "$(id -u)" != 0 ] || { echo "run this as the user who runs the studio, not as root: pods run as that user" >&2; exit 2; }
[ -d "$home" ] || { echo "no studio in $home: run 'memorial init' first" >&2; exit 1; }
mkdir -p "$home/vault" "$home/pods"

kind get clusters | grep -qx "$cluster" || kind create cluster --name "$cluster" --config - <<CONFIG
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
nodes:
  - role: control-plane
    extraMounts:
      - {hostPath: $home/vault, containerPath: /var/memorial/vault}
CONFIG
kind load docker-image "$image" --name "$cluster"
kubectl="kubectl --context kind-$cluster"

# Not the namespace of infra/k8s: a path of the node, which stands in for shared storage here, is nothing that a
# "restricted" namespace allows. A real cluster uses a bucket, or a claim.
$kubectl create namespace memorial-steps --dry-run=client -o yaml | $kubectl apply -f -
$kubectl apply -f infra/pods/rbac.yaml
$kubectl -n memorial-steps create serviceaccount memorial-airflow --dry-run=client -o yaml | $kubectl apply -f -
$kubectl -n memorial-steps create rolebinding memorial-airflow --role=memorial-airflow \
    --serviceaccount=memorial-steps:memorial-airflow --dry-run=client -o yaml | $kubectl apply -f -

# A GPU that is only said to be there (Kubernetes, "Advertise Extended Resources for a Node"): training runs on the CPU.
node=$($kubectl get nodes -o name | head -1)
$kubectl label "$node" nvidia.com/gpu.present=true --overwrite
$kubectl patch "$node" --subresource=status --type=json \
    -p '[{"op": "add", "path": "/status/capacity/nvidia.com~1gpu", "value": "1"}]'

# The templates, for this machine: the vault's files belong to who runs the studio, and a laptop has no 32 GiB to give.
for class in gpu cpu-heavy light; do
    sed -e "s/10001/$(id -u)/" -e 's/requests: {cpu: [^,]*, memory: [^,]*,/requests: {cpu: 100m, memory: 512Mi,/' \
        "infra/pods/$class.yaml" > "$home/pods/$class.yaml"
done

token=$($kubectl -n memorial-steps create token memorial-airflow --duration=12h)
server=$($kubectl config view --minify -o jsonpath='{.clusters[0].cluster.server}')
authority=$($kubectl config view --minify --raw -o jsonpath='{.clusters[0].cluster.certificate-authority-data}')
connection=$(python3 - "$server" "$authority" "$token" <<'PYTHON'
import json
import sys

server, authority, token = sys.argv[1:]
config = {
    "apiVersion": "v1", "kind": "Config", "current-context": "try",
    "clusters": [{"name": "try", "cluster": {"server": server, "certificate-authority-data": authority}}],
    "users": [{"name": "airflow", "user": {"token": token}}],
    "contexts": [{"name": "try", "context": {"cluster": "try", "user": "airflow"}}],
}
extra = {"kube_config": json.dumps(config), "namespace": "memorial-steps"}
print(json.dumps({"conn_type": "kubernetes", "extra": extra}))
PYTHON
)
umask 077
cat > "$home/pods/env" <<ENVIRONMENT
export MEMORIAL_STEP_RUNNER=kubernetes
export MEMORIAL_STEP_IMAGE=$image
export MEMORIAL_POD_VAULT_PATH=/var/memorial/vault
export MEMORIAL_POD_TEMPLATES=$home/pods
export AIRFLOW_CONN_KUBERNETES_DEFAULT='$connection'
ENVIRONMENT
echo "now:  . $home/pods/env && memorial studio start && memorial order run ORDER --follow"
