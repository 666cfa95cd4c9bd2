# Where containers run: AWS Batch on EC2, from nothing to `max_vcpus`, Spot first.

data "aws_region" "current" {}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  partition = data.aws_partition.current.partition
  known     = jsondecode(file("${path.module}/instance_types.json"))

  # By what a gigabyte costs that is moved to the internet, for which nothing but the baseline counts:
  # docs/deploy.md has the figures.
  defaults = {
    x86_64 = ["c6in.large", "c5n.large", "m6in.large", "m5n.large"]
    arm64  = ["c7gn.large", "c8gn.large", "c6gn.large"]
  }
  instance_types = length(var.instance_types) > 0 ? var.instance_types : local.defaults[var.architecture]

  # What the kernel, the system and the ECS agent leave of an instance's memory. AWS names no figure
  # ("Compute resource memory management"); a tenth and 256 MiB is more than was ever seen missing.
  fits = {
    for type in local.instance_types : type => min(
      floor(local.known[type].vcpus / var.vcpus),
      floor((local.known[type].memory_mib * 0.9 - 256) / var.memory_mib),
    ) if contains(keys(local.known), type)
  }
  most_containers = max(1, values(local.fits)...)

  spool_host_path = "/var/spool/wedding-photo-processor"
  spool           = "/spool"

  job_definition     = "${var.name}-job-def"
  job_definition_arn = "arn:${local.partition}:batch:${data.aws_region.current.name}:${data.aws_caller_identity.current.account_id}:job-definition/${local.job_definition}"
  environment        = merge(var.environment, { WPP_ENGINE__SPOOL_DIR = local.spool, WPP_ENGINE__SPOOL_LIMIT = "${var.spool_gib}GiB" })
  secrets            = { for name, arn in var.secrets : name => arn if !contains(keys(var.environment), name) }
}

# --- Instances.

resource "aws_launch_template" "instances" {
  name                   = var.name
  description            = "Instances of ${var.name}"
  update_default_version = true

  # Containers share the host's network: one hop reaches them, and nobody else (they look there for the
  # notice that a Spot instance is taken away).
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      volume_type           = "gp3"
      encrypted             = true
      delete_on_termination = true
      # The image of the system takes 30.
      volume_size = 30 + 10 + var.spool_gib * local.most_containers
    }
  }

  dynamic "tag_specifications" {
    for_each = toset(["instance", "volume"])

    content {
      resource_type = tag_specifications.key
      tags          = merge(var.tags, { Name = var.name })
    }
  }

  # Batch adds its own and wants ours as one part of several (its documentation, "Launch templates").
  user_data = base64encode(<<-EOT
    MIME-Version: 1.0
    Content-Type: multipart/mixed; boundary="==PART=="

    --==PART==
    Content-Type: text/x-shellscript; charset="us-ascii"

    #!/bin/sh
    set -eu
    # For the containers' user, whoever that is.
    install -d -m 1777 ${local.spool_host_path}
    cat >>/etc/ecs/ecs.config <<EOF
    # An image is named by its digest, so that one that is there is the right one.
    ECS_IMAGE_PULL_BEHAVIOR=prefer-cached
    # From SIGTERM to SIGKILL. Containers need five seconds, fifteen where the bucket does not answer.
    ECS_CONTAINER_STOP_TIMEOUT=30s
    ECS_ENABLE_SPOT_INSTANCE_DRAINING=true
    ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION=10m
    EOF

    --==PART==--
  EOT
  )
}

resource "aws_batch_compute_environment" "this" {
  for_each = merge(
    var.spot ? { spot = { name = "${var.name}-compute-env", type = "SPOT", strategy = "SPOT_PRICE_CAPACITY_OPTIMIZED" } } : {},
    { on_demand = { name = "${var.name}-compute-env-on-demand", type = "EC2", strategy = "BEST_FIT_PROGRESSIVE" } },
  )

  compute_environment_name = each.value.name
  type                     = "MANAGED"
  state                    = "ENABLED"
  service_role             = var.service_role_arn
  tags                     = var.tags

  compute_resources {
    type                = each.value.type
    allocation_strategy = each.value.strategy
    instance_type       = local.instance_types
    min_vcpus           = 0
    max_vcpus           = var.max_vcpus
    subnets             = var.subnet_ids
    security_group_ids  = [var.security_group_id]
    instance_role       = aws_iam_instance_profile.instance.arn

    launch_template {
      launch_template_id = aws_launch_template.instances.id
      version            = aws_launch_template.instances.latest_version
    }
  }

  lifecycle {
    # One that is no longer wanted goes after the job queue has let go of it.
    create_before_destroy = true

    precondition {
      condition     = alltrue([for type, containers in local.fits : containers >= 1])
      error_message = "No container of ${var.vcpus} vCPUs and ${var.memory_mib} MiB fits ${join(", ", [for type, containers in local.fits : type if containers < 1])}: its job would wait for ever. Lower `vcpus` or `memory_mib`, or take other `instance_types`."
    }
    precondition {
      condition     = alltrue([for type in local.instance_types : local.known[type].architecture == var.architecture if contains(keys(local.known), type)])
      error_message = "The image is for ${var.architecture}, which is not what all of ${join(", ", local.instance_types)} are. Set `architecture` or `instance_types`."
    }
    precondition {
      condition     = var.max_vcpus == 0 || var.max_vcpus >= var.vcpus
      error_message = "max_vcpus (${var.max_vcpus}) is less than one container needs (${var.vcpus}): nothing could ever start."
    }
  }

  depends_on = [aws_iam_role_policy_attachment.instance]
}

resource "aws_batch_job_queue" "this" {
  name     = "${var.name}-job-queue"
  state    = "ENABLED"
  priority = 1
  tags     = var.tags

  dynamic "compute_environment_order" {
    for_each = [for kind in ["spot", "on_demand"] : aws_batch_compute_environment.this[kind].arn if kind != "spot" || var.spot]

    content {
      order               = compute_environment_order.key + 1
      compute_environment = compute_environment_order.value
    }
  }
}

# --- The container.

resource "aws_batch_job_definition" "this" {
  name                  = local.job_definition
  type                  = "container"
  platform_capabilities = ["EC2"]
  propagate_tags        = true
  tags                  = var.tags
  # Whoever submits names no revision and gets the latest. Earlier ones are no longer to be used.
  deregister_on_new_revision = true

  container_properties = jsonencode({
    image                  = var.image
    command                = []
    user                   = "65532:65532"
    readonlyRootFilesystem = true
    privileged             = false
    resourceRequirements = [
      { type = "VCPU", value = tostring(var.vcpus) },
      { type = "MEMORY", value = tostring(var.memory_mib) },
    ]
    environment      = [for name in sort(keys(local.environment)) : { name = name, value = local.environment[name] }]
    secrets          = [for name in sort(keys(local.secrets)) : { name = name, valueFrom = local.secrets[name] }]
    jobRoleArn       = aws_iam_role.job.arn
    executionRoleArn = aws_iam_role.execution.arn
    volumes          = [{ name = "spool", host = { sourcePath = local.spool_host_path } }]
    mountPoints      = [{ sourceVolume = "spool", containerPath = local.spool, readOnly = false }]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = var.log_group.name
        awslogs-region        = data.aws_region.current.name
        awslogs-stream-prefix = "processor"
        # Photos do not wait for CloudWatch.
        mode            = "non-blocking"
        max-buffer-size = "4m"
      }
    }
  })

  # Attempts bring back capacity that was lost; work is repeated by the queue. The exit codes are those
  # of `src/exit_code.rs`, and 137 is what the kernel kills.
  retry_strategy {
    attempts = 3

    evaluate_on_exit {
      on_status_reason = "Host EC2*"
      action           = "retry"
    }
    # Batch takes five rules in all. What begins with 13 is aborted (134) or killed by the kernel (137).
    dynamic "evaluate_on_exit" {
      for_each = ["75", "13*", "143"]

      content {
        on_exit_code = evaluate_on_exit.value
        action       = "retry"
      }
    }
    # Without this, whatever matches nothing would be tried again.
    evaluate_on_exit {
      on_reason = "*"
      action    = "exit"
    }
  }

  timeout {
    attempt_duration_seconds = var.timeout_seconds
  }
}
