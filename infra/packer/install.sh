#!/bin/sh
# Make an image of this machine's disk ready, as root: the unit that ends machines, the container, GPU drivers where asked for.
set -eu
: "${CONTAINER:?}" "${COMMIT:?}" "${CONSTRAINTS:?}" "${GPU:?}"

cloud-init status --wait || [ $? -eq 2 ] # 2: done, with warnings

install -D -m 0755 /tmp/swath-limit /usr/local/sbin/swath-limit
install -D -m 0644 /tmp/swath-limit.service /etc/systemd/system/swath-limit.service
install -D -m 0644 /tmp/swath-limit.timer /etc/systemd/system/swath-limit.timer
systemctl enable swath-limit.timer docker.service

if [ "$GPU" = true ]; then
    export DEBIAN_FRONTEND=noninteractive
    driver=570
    keys=/usr/share/keyrings/nvidia-container-toolkit.gpg
    # By name and compiled here: the machine that an image is built on need not have a GPU.
    apt-get install --yes "linux-headers-$(uname -r)" "nvidia-headless-$driver-server" "nvidia-utils-$driver-server"
    curl --fail --silent --show-error --location https://nvidia.github.io/libnvidia-container/gpgkey | gpg --dearmor --output "$keys"
    echo "deb [signed-by=$keys] https://nvidia.github.io/libnvidia-container/stable/deb/amd64 /" \
        > /etc/apt/sources.list.d/nvidia-container-toolkit.list
    apt-get update
    apt-get install --yes nvidia-container-toolkit
    nvidia-ctk runtime configure --runtime=docker
    systemctl restart docker
fi

docker pull "$CONTAINER"
install -d /etc/swath
printf '{"commit": "%s", "constraints": "%s", "container": "%s"}\n' "$COMMIT" "$CONSTRAINTS" "$CONTAINER" > /etc/swath/machine-image.json

# The next boot is a first boot again: its user data is run, its keys are its own.
apt-get clean
rm -f /etc/ssh/ssh_host_* /tmp/swath-limit*
cloud-init clean --logs --machine-id
