#!/bin/sh
# Prepare this machine's disk for an image, as root: the unit with the time limit, the container image, and GPU drivers where GPU=true.
set -eu
: "${CONTAINER:?}" "${COMMIT:?}" "${CONSTRAINTS:?}" "${GPU:?}" "${GPU_MODULES:?}"

cloud-init status --wait || [ $? -eq 2 ] # 2: done, with warnings

install -D -m 0755 /tmp/swath-limit /usr/local/sbin/swath-limit
install -D -m 0644 /tmp/swath-limit.service /etc/systemd/system/swath-limit.service
install -D -m 0644 /tmp/swath-limit.timer /etc/systemd/system/swath-limit.timer
systemctl enable swath-limit.timer docker.service

if [ "$GPU" = true ]; then
    export DEBIAN_FRONTEND=noninteractive
    driver=570
    # Blackwell and Grace take NVIDIA's open kernel modules only, GPUs before Turing (V100, P100, P4) its proprietary ones only.
    if [ "$GPU_MODULES" = proprietary ]; then modules=; else modules=-open; fi
    keys=/usr/share/keyrings/nvidia-container-toolkit.gpg
    # Named here and compiled: the machine on which an image is built need not have a GPU.
    apt-get install --yes "linux-headers-$(uname -r)" "nvidia-headless-$driver-server$modules" "nvidia-utils-$driver-server"
    curl --fail --silent --show-error --location https://nvidia.github.io/libnvidia-container/gpgkey | gpg --dearmor --output "$keys"
    echo "deb [signed-by=$keys] https://nvidia.github.io/libnvidia-container/stable/deb/amd64 /" \
        > /etc/apt/sources.list.d/nvidia-container-toolkit.list
    apt-get update
    apt-get install --yes nvidia-container-toolkit
    nvidia-ctk runtime configure --runtime=docker
    systemctl restart docker
fi

# A private registry. The password stays in a folder that is removed: machines do not need it, because the container is here.
login=$(mktemp -d)
if [ -n "${REGISTRY_PASSWORD:-}" ]; then
    printf %s "$REGISTRY_PASSWORD" \
        | docker --config="$login" login --username "${REGISTRY_USER:?}" --password-stdin "https://${CONTAINER%%/*}"
fi
docker --config="$login" pull "$CONTAINER"
rm -rf "$login"
install -d /etc/swath
printf '{"commit": "%s", "constraints": "%s", "container": "%s"}\n' "$COMMIT" "$CONSTRAINTS" "$CONTAINER" > /etc/swath/machine-image.json

# The next boot is a first boot again: it runs its user data and creates its own keys.
apt-get clean
rm -f /etc/ssh/ssh_host_* /tmp/swath-limit*
cloud-init clean --logs --machine-id
