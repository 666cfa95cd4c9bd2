# What the modules come to together. `tests/data/contract.json` is what the programs say of themselves; tests in
# `src/exit_code.rs` and `src/processor/metrics.rs` compare it with the code.

mock_provider "aws" {
  source = "./tests/aws"
}

variables {
  image_digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  r2_endpoint  = "https://account.r2.cloudflarestorage.com"
  r2_bucket    = "wedding-photos"

  # `terraform test` applies only where every ephemeral input has a value.
  r2_access_key      = "key"
  r2_secret_key      = "secret"
  smtp_url           = "smtps://user:password@smtp.example.com"
  webhook_secret     = "whsec_dGhlIHNlY3JldCB3aXRoIHdoaWNoIHRlc3RzIHNpZ24="
  unsubscribe_secret = "whsec_dGhlIHNlY3JldCB3aXRoIHdoaWNoIHRlc3RzIHNpZ24="
  google_credentials = "{\"type\": \"service_account\"}"
}

run "defaults" {
  assert {
    condition = { for pair in jsondecode(module.compute.container_properties).environment : pair.name => pair.value } == {
      BATCH_AWS_REGION              = "eu-central-1"
      BATCH_SQS_QUEUE_URL           = "https://sqs.eu-central-1.amazonaws.com/123456789012/mocked"
      R2_BUCKET                     = "wedding-photos"
      R2_ENDPOINT                   = "https://account.r2.cloudflarestorage.com"
      R2_SECRET_ARN                 = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:mocked"
      WPP_DELIVER__MAX_PER_ADDRESS  = "20"
      WPP_DELIVER__WEBHOOK_HOSTS    = "*"
      WPP_ENGINE__SPOOL_DIR         = "/spool"
      WPP_ENGINE__SPOOL_LIMIT       = "10GiB"
      WPP_QUEUE__VISIBILITY_TIMEOUT = "60s"
      WPP_SOURCE__ALLOWED_BUCKETS   = "s3://wedding-photos/smoke/"
      WPP_SOURCE__ALLOWED_HOSTS     = "firebasestorage.googleapis.com,storage.googleapis.com"
    }
    error_message = "The container's environment is another one."
  }

  assert {
    condition     = length(jsondecode(module.compute.container_properties).secrets) == 0
    error_message = "Without letters, webhooks and private photos there are no secrets but the keys of R2, which the container reads by itself."
  }

  assert {
    condition = alltrue([
      jsondecode(module.compute.container_properties).readonlyRootFilesystem,
      !jsondecode(module.compute.container_properties).privileged,
      jsondecode(module.compute.container_properties).user == "65532:65532",
      endswith(jsondecode(module.compute.container_properties).image, "@${var.image_digest}"),
    ])
    error_message = "The container is not hardened, or its image is not named by its digest."
  }

  # Exit codes that are worth another attempt, and no others, are tried again; the last rule ends it. 134 is an abort, which
  # from the second attempt on is 70, and 137 is the kernel's.
  assert {
    condition = alltrue([
      for row in concat(jsondecode(file("../tests/data/contract.json")).exit_codes, [{ code = 134, retry = true }, { code = 137, retry = true }]) :
      row.retry == anytrue([
        for rule in module.compute.retry_rules : can(regex("^${replace(rule.on_exit_code, "*", ".*")}$", tostring(row.code)))
        if rule.action == "retry" && rule.on_exit_code != null && rule.on_exit_code != ""
      ])
    ])
    error_message = "The rules of the job definition are not those of src/exit_code.rs."
  }

  assert {
    condition     = module.compute.retry_rules[length(module.compute.retry_rules) - 1].action == "exit" && module.compute.retry_rules[length(module.compute.retry_rules) - 1].on_reason == "*"
    error_message = "The last rule must end the job, or whatever matches none would be tried again."
  }

  assert {
    condition     = contains([for rule in module.compute.retry_rules : rule.on_status_reason if rule.action == "retry"], "Host EC2*")
    error_message = "A Spot instance that is taken away must be tried again."
  }

  # 2 vCPUs and 3,400 MiB: one on a .large, whichever of them Batch starts.
  assert {
    condition     = output.batch.containers_for_each_instance == { for type in output.batch.instance_types : type => 1 }
    error_message = "A container does not fit an instance type, or its figures are not known."
  }

  assert {
    condition = alltrue([
      strcontains(output.caller_environment, "BATCH_AWS_REGION=eu-central-1\n"),
      strcontains(output.caller_environment, "BATCH_JOB_QUEUE_ARN=arn:aws:batch:eu-central-1:123456789012:job-queue/mocked\n"),
      strcontains(output.caller_environment, "BATCH_JOB_DEFINITION_ARN=arn:aws:batch:eu-central-1:123456789012:job-definition/wedding-photo-processor-job-def\n"),
      strcontains(output.caller_environment, "BATCH_SQS_QUEUE_URL=https://sqs.eu-central-1.amazonaws.com/123456789012/mocked\n"),
      strcontains(output.caller_environment, "R2_ENDPOINT=https://account.r2.cloudflarestorage.com\n"),
      strcontains(output.caller_environment, "R2_BUCKET=wedding-photos\n"),
      strcontains(output.caller_environment, "WPP_BATCH__MAX_CONTAINERS=50\n"),
      strcontains(output.caller_environment, "\nBATCH_AWS_ACCESS_KEY=\nBATCH_AWS_SECRET_KEY=\n"),
      strcontains(output.caller_environment, "\nR2_ACCESS_KEY=\nR2_SECRET_KEY=\n"),
    ])
    error_message = "The caller's environment lacks a name that the Worker uses."
  }

  # Every metric that the dashboard shows and alarms watch is one that the container writes.
  assert {
    condition     = length(setsubtract(module.observability.metrics, jsondecode(file("../tests/data/contract.json")).metrics.names)) == 0
    error_message = "A chart shows a metric that nobody writes."
  }

  assert {
    condition     = length(setsubtract(jsondecode(file("../tests/data/contract.json")).metrics.names, module.observability.metrics)) == 0
    error_message = "A metric is on no chart."
  }

  assert {
    condition     = module.observability.namespace == jsondecode(file("../tests/data/contract.json")).metrics.namespace
    error_message = "The metrics are in another namespace."
  }

  assert {
    condition     = length(module.network.subnet_ids) == 3
    error_message = "There are not three zones."
  }

  assert {
    condition     = module.network.egress_ports == toset([443])
    error_message = "Containers may connect to more than they need."
  }
}

run "everything" {
  variables {
    mail_from                  = "Photos <photos@example.com>"
    mail_reply_to              = "studio@example.com"
    ses_domain                 = "example.com"
    alert_to                   = ["night@example.com", "day@example.com"]
    alarm_emails               = ["night@example.com"]
    webhook_secret_version     = 1
    unsubscribe_secret_version = 1
    unsubscribe_url            = "https://photos.example.com/unsubscribe"
    mail_max_per_address       = 50
    webhook_hosts              = ["hooks.example.com", "*.example.org"]
    google_credentials_version = 1
    allowed_buckets            = ["gs://my-project.appspot.com", "s3://wedding-photos/events/"]
    r2_archive_bucket          = "wedding-archives"
    firebase_bucket            = "our-project.appspot.com"
    public_base_url            = "https://photos.example.com"
    monthly_budget_usd         = 100
    flow_logs                  = true
    zones                      = ["eu-central-1a", "eu-central-1b"]
    extra_environment          = { WPP_LOG__LEVEL = "debug", WPP_QUEUE__VISIBILITY_TIMEOUT = "90s" }
  }

  assert {
    condition = { for secret in jsondecode(module.compute.container_properties).secrets : secret.name => secret.valueFrom } == {
      GOOGLE_APPLICATION_CREDENTIALS = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:mocked"
      SMTP_URL                       = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:mocked"
      UNSUBSCRIBE_SECRET             = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:mocked"
      WEBHOOK_SECRET                 = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:mocked"
    }
    error_message = "The container's secrets are others."
  }

  assert {
    condition = { for pair in jsondecode(module.compute.container_properties).environment : pair.name => pair.value if !startswith(pair.name, "BATCH_") && !startswith(pair.name, "R2_") } == {
      ALERT_TO                      = "night@example.com,day@example.com"
      MAIL_FEEDBACK_URL             = "https://sqs.eu-central-1.amazonaws.com/123456789012/mocked"
      MAIL_FROM                     = "Photos <photos@example.com>"
      MAIL_REPLY_TO                 = "studio@example.com"
      PUBLIC_BASE_URL               = "https://photos.example.com"
      UNSUBSCRIBE_URL               = "https://photos.example.com/unsubscribe"
      WPP_DELIVER__MAX_PER_ADDRESS  = "50"
      WPP_DELIVER__WEBHOOK_HOSTS    = "hooks.example.com,*.example.org"
      WPP_ENGINE__SPOOL_DIR         = "/spool"
      WPP_ENGINE__SPOOL_LIMIT       = "10GiB"
      WPP_LOG__LEVEL                = "debug"
      WPP_QUEUE__VISIBILITY_TIMEOUT = "90s"
      WPP_SOURCE__ALLOWED_BUCKETS   = "s3://wedding-photos/smoke/,gs://my-project.appspot.com,s3://wedding-photos/events/"
      WPP_SOURCE__ALLOWED_HOSTS     = "firebasestorage.googleapis.com/v0/b/our-project.appspot.com/,storage.googleapis.com/our-project.appspot.com/"
    }
    error_message = "The container's environment is another one."
  }

  # Letters that came back are known by this, whatever sends from the domain.
  assert {
    condition = alltrue([
      module.delivery.feedback.events == toset(["BOUNCE", "COMPLAINT", "REJECT"]),
      module.delivery.feedback.raw_message_delivery,
      module.delivery.feedback.of_identity == "wedding-photo-processor",
    ])
    error_message = "SES does not report what becomes of letters."
  }

  # SES takes letters at this port.
  assert {
    condition     = module.network.egress_ports == toset([443, 465])
    error_message = "The mail server is out of reach, or more than that is in reach."
  }

  assert {
    condition     = output.dkim_records["second._domainkey.example.com"] == "second.dkim.amazonses.com" && length(output.dkim_records) == 3
    error_message = "The records for the domain are not those of SES."
  }

  assert {
    condition     = length(module.network.subnet_ids) == 2
    error_message = "There is not one subnet for each zone."
  }

  assert {
    condition     = strcontains(output.caller_environment, "PUBLIC_BASE_URL=https://photos.example.com\n") && strcontains(output.caller_environment, "R2_ARCHIVE_BUCKET=wedding-archives\n")
    error_message = "The caller does not know where everyone sees the bucket."
  }
}

run "doorbell" {
  variables {
    doorbell = true
  }

  assert {
    condition     = strcontains(output.caller_environment, "BATCH_DOORBELL_URL=https://sqs.eu-central-1.amazonaws.com/123456789012/mocked\n") && !strcontains(output.caller_environment, "BATCH_JOB_")
    error_message = "Callers are not told to ring, or are told of Batch."
  }

  # Overrides, parameters or dependencies taken from a message would be the caller's choice.
  assert {
    condition = alltrue([
      module.doorbell[0].asks_for.target == output.batch.job_queue_arn,
      module.doorbell[0].asks_for.batch_size == 1,
      coalesce(module.doorbell[0].asks_for.target_parameters.input_template, "none") == "none",
      module.doorbell[0].asks_for.target_parameters.batch_job_parameters[0].job_definition == output.batch.job_definition,
      module.doorbell[0].asks_for.target_parameters.batch_job_parameters[0].job_name == "photos-rung",
      length(module.doorbell[0].asks_for.target_parameters.batch_job_parameters[0].container_overrides) == 0,
      length(coalesce(module.doorbell[0].asks_for.target_parameters.batch_job_parameters[0].parameters, {})) == 0,
    ])
    error_message = "The pipe asks Batch for something else than one container as it is defined."
  }
}

# What is given by hand wins over a secret of that name, which ECS would take for a contradiction.
run "environment_wins_over_a_secret" {
  command = plan

  variables {
    mail_from         = "photos@example.com"
    extra_environment = { SMTP_URL = "smtp://relay.internal?tls=none" }
  }

  assert {
    condition     = length(jsondecode(module.compute.container_properties).secrets) == 0
    error_message = "SMTP_URL is told twice."
  }
}

run "an_existing_network" {
  variables {
    existing_network = { vpc_id = "vpc-1", subnet_ids = ["subnet-1", "subnet-2"] }
  }

  assert {
    condition     = module.network.vpc_id == "vpc-1" && module.network.subnet_ids == tolist(["subnet-1", "subnet-2"])
    error_message = "Another network is used than the one that was named."
  }
}

run "on_demand_only_on_arm" {
  variables {
    spot         = false
    architecture = "arm64"
  }

  assert {
    condition     = output.batch.compute_environments == { on_demand = "wedding-photo-processor-compute-env-on-demand" }
    error_message = "There is more than one compute environment, or it has another name."
  }

  assert {
    condition     = output.batch.instance_types == tolist(["c7gn.large", "c8gn.large", "c6gn.large"]) && alltrue([for type, containers in output.batch.containers_for_each_instance : containers == 1])
    error_message = "These are other instance types, or a container does not fit them."
  }
}

run "spot_first" {
  assert {
    condition = output.batch.compute_environments == {
      spot      = "wedding-photo-processor-compute-env"
      on_demand = "wedding-photo-processor-compute-env-on-demand"
    }
    error_message = "The compute environments have other names."
  }
}
