# Machine images for clusters on Google Cloud and AWS: Ubuntu with Docker, the container image already pulled, and a unit that powers the
# machine off when it has expired. `make machine-image ON=aws` builds one; see docs/images.md.
#
# Debian's packer 1.6.6 and current Packer both read this. Current Packer needs `packer init infra/packer/plugins` before.

packer {
  required_version = ">= 1.6.6"
}

variable "container" {
  type        = string
  description = "The container that is pulled into the image, as a cluster's spec names it: made by `make image`."
}

variable "commit" {
  type        = string
  description = "Of this repository."
}

variable "constraints" {
  type        = string
  description = "Fingerprint of constraints.txt, as the container's label swath.constraints has it."
}

variable "gpu" {
  type        = bool
  default     = false
  description = "Whether NVIDIA's driver and container toolkit are installed."
}

variable "gpu_modules" {
  type        = string
  default     = "open"
  description = "NVIDIA's kernel modules: open, or proprietary for GPUs before Turing (V100, P100, P4)."
}

variable "registry_user" {
  type        = string
  default     = ""
  description = "For a private registry of the container: AWS for ECR, oauth2accesstoken for Artifact Registry, the account for GHCR."
}

variable "registry_password" {
  type        = string
  default     = ""
  sensitive   = true
  description = "Its password or token: `aws ecr get-login-password`, `gcloud auth print-access-token`. Give it as PKR_VAR_registry_password."
}

variable "disk_gb" {
  type        = number
  default     = 30
  description = "Disk of the image in GB; machines may have a larger one."
}

variable "region" {
  type        = string
  default     = "eu-central-1"
  description = "On AWS: where it is built, and where it can be used."
}

variable "aws_machine" {
  type        = string
  default     = "t3.medium"
  description = "On AWS: the instance type that it is built on."
}

variable "subnet" {
  type        = string
  default     = ""
  description = "On AWS: where it is built; a default subnet when empty."
}

variable "project" {
  type        = string
  default     = "set-with-var-project"
  description = "On Google Cloud: where it is built, and where it can be used."
}

variable "zone" {
  type        = string
  default     = "europe-west4-a"
  description = "On Google Cloud: where it is built."
}

variable "gcp_machine" {
  type        = string
  default     = "e2-standard-2"
  description = "On Google Cloud: the machine type that it is built on."
}

locals {
  time = formatdate("YYYYMMDD-hhmmss", timestamp())
  kind = var.gpu ? "swath-gpu" : "swath"
}

source "amazon-ebs" "swath" {
  region                      = var.region
  instance_type               = var.aws_machine
  subnet_id                   = var.subnet
  associate_public_ip_address = true
  ssh_username                = "ubuntu"
  user_data_file              = "${path.root}/cloud-init.yaml"
  shutdown_behavior           = "terminate"
  ami_name                    = "${local.kind}-${local.time}"
  ami_description             = "swath ${var.commit}"

  source_ami_filter {
    owners      = ["099720109477"] # Canonical
    most_recent = true
    filters = {
      name                = "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-*"
      virtualization-type = "hvm"
      root-device-type    = "ebs"
    }
  }

  launch_block_device_mappings {
    device_name           = "/dev/sda1"
    volume_size           = var.disk_gb
    volume_type           = "gp3"
    iops                  = 3000
    throughput            = 125
    delete_on_termination = true
  }

  tags = {
    Name              = local.kind
    swath-commit      = var.commit
    swath-constraints = var.constraints
  }
  run_tags = {
    Name = "${local.kind}-build"
  }
}

source "googlecompute" "swath" {
  project_id          = var.project
  zone                = var.zone
  machine_type        = var.gcp_machine
  source_image_family = "ubuntu-2404-lts-amd64"
  disk_size           = var.disk_gb
  disk_type           = "pd-balanced"
  ssh_username        = "packer"
  image_name          = "${local.kind}-${local.time}"
  image_family        = local.kind
  image_description   = "swath ${var.commit}"

  image_labels = {
    swath-commit      = var.commit
    swath-constraints = var.constraints
  }
  metadata = {
    block-project-ssh-keys = "true"
  }
  metadata_files = {
    user-data = "${path.root}/cloud-init.yaml"
  }
}

build {
  sources = ["source.amazon-ebs.swath", "source.googlecompute.swath"]

  provisioner "file" {
    source      = "${path.root}/files/"
    destination = "/tmp"
  }

  provisioner "shell" {
    script          = "${path.root}/install.sh"
    execute_command = "sudo env {{ .Vars }} sh {{ .Path }}"
    environment_vars = [
      "CONTAINER=${var.container}",
      "COMMIT=${var.commit}",
      "CONSTRAINTS=${var.constraints}",
      "GPU=${var.gpu}",
      "GPU_MODULES=${var.gpu_modules}",
      "REGISTRY_USER=${var.registry_user}",
      "REGISTRY_PASSWORD=${var.registry_password}",
    ]
  }

  post-processor "manifest" {
    output     = "build/machine-images.json"
    strip_path = true
    custom_data = {
      container   = var.container
      commit      = var.commit
      constraints = var.constraints
    }
  }
}
