# The whole system: `submit` → queue → containers → R2 → letters. Modules in the order in which a job
# meets them.

locals {
  # One host serves the buckets of all of Google's customers.
  allowed_hosts = var.allowed_hosts != null ? var.allowed_hosts : var.firebase_bucket != null ? [
    "firebasestorage.googleapis.com/v0/b/${var.firebase_bucket}/",
    "storage.googleapis.com/${var.firebase_bucket}/",
  ] : ["firebasestorage.googleapis.com", "storage.googleapis.com"]

  tags = merge({ Project = var.name }, var.tags)

  repository = coalesce(var.image_repository, module.registry.repository_url)
  mail       = var.mail_from != null

  # What both sides are told alike.
  common = {
    BATCH_AWS_REGION          = data.aws_region.current.name
    BATCH_SQS_QUEUE_URL       = module.queue.url
    R2_ENDPOINT               = var.r2_endpoint
    R2_BUCKET                 = var.r2_bucket
    R2_ARCHIVE_BUCKET         = var.r2_archive_bucket == null ? "" : var.r2_archive_bucket
    PUBLIC_BASE_URL           = var.public_base_url == null ? "" : var.public_base_url
    WPP_SOURCE__ALLOWED_HOSTS = join(",", local.allowed_hosts)
    # What `ci/deploy` tries a deployment with is in the bucket itself.
    WPP_SOURCE__ALLOWED_BUCKETS = join(",", concat(["s3://${var.r2_bucket}/smoke/"], var.allowed_buckets))
    WPP_DELIVER__WEBHOOK_HOSTS  = join(",", var.webhook_hosts)
  }

  container = {
    R2_SECRET_ARN                 = module.r2.secret_arn
    WPP_QUEUE__VISIBILITY_TIMEOUT = "${var.visibility_timeout}s"
    MAIL_FROM                     = var.mail_from == null ? "" : var.mail_from
    MAIL_REPLY_TO                 = var.mail_reply_to == null ? "" : var.mail_reply_to
    ALERT_TO                      = join(",", var.alert_to)
    UNSUBSCRIBE_URL               = var.unsubscribe_url == null ? "" : var.unsubscribe_url
    MAIL_FEEDBACK_URL             = var.ses_domain == null ? "" : module.delivery.feedback.url
    WPP_DELIVER__MAX_PER_ADDRESS  = tostring(var.mail_max_per_address)
  }

  caller = merge(
    { WPP_BATCH__MAX_CONTAINERS = tostring(module.compute.max_containers) },
    var.doorbell ? { BATCH_DOORBELL_URL = one(module.doorbell[*].url) } : {
      BATCH_JOB_QUEUE_ARN               = module.compute.job_queue_arn
      BATCH_JOB_DEFINITION_ARN          = module.compute.job_definition_arn
    },
  )
}

data "aws_region" "current" {}

module "caller" {
  source = "./modules/caller"

  name               = var.name
  tags               = local.tags
  queue_arn          = module.queue.arn
  dead_letters_arn   = module.queue.dead_letters.arn
  job_queue_arn      = module.compute.job_queue_arn
  job_definition_arn = module.compute.job_definition_arn
  with_doorbell      = var.doorbell
  doorbell_arn       = one(module.doorbell[*].arn)
  with_feedback      = var.ses_domain != null
  feedback_arn       = module.delivery.feedback.arn
  environment        = { for name, value in merge(local.common, local.caller) : name => value if value != "" }
}

module "queue" {
  source = "./modules/queue"

  name               = var.name
  tags               = local.tags
  visibility_timeout = var.visibility_timeout
  max_receive_count  = var.max_receive_count
  job_queue_arn      = module.compute.job_queue_arn
  job_definition     = module.compute.job_definition
  job_definition_arn = module.compute.job_definition_arn
}

module "doorbell" {
  source = "./modules/doorbell"
  count  = var.doorbell ? 1 : 0

  name               = var.name
  tags               = local.tags
  job_queue_arn      = module.compute.job_queue_arn
  job_definition     = module.compute.job_definition
  job_definition_arn = module.compute.job_definition_arn
}

module "network" {
  source = "./modules/network"

  name               = var.name
  tags               = local.tags
  existing           = var.existing_network
  cidr               = var.cidr
  zones              = var.zones
  egress_ports       = setunion([443], var.egress_ports, local.mail ? [var.smtp_port] : [])
  flow_logs          = var.flow_logs
  log_retention_days = var.log_retention_days
}

module "registry" {
  source = "./modules/registry"

  name         = var.name
  tags         = local.tags
  force_delete = var.force_delete
}

module "r2" {
  source = "./modules/r2"

  name                 = var.name
  tags                 = local.tags
  endpoint             = var.r2_endpoint
  bucket               = var.r2_bucket
  access_key           = var.r2_access_key
  secret_key           = var.r2_secret_key
  keys_version         = var.r2_keys_version
  secret_recovery_days = var.secret_recovery_days
}

# A service account of Google's, for private photos in Firebase.
module "google_credentials" {
  source = "./modules/secret"
  count  = var.google_credentials_version > 0 ? 1 : 0

  name          = "${var.name}/google-credentials"
  description   = "The service account with which ${var.name} reads private photos"
  tags          = local.tags
  value         = var.google_credentials
  value_version = var.google_credentials_version
  recovery_days = var.secret_recovery_days
}

module "delivery" {
  source = "./modules/delivery"

  name                   = var.name
  tags                   = local.tags
  mail                   = local.mail
  ses_domain             = var.ses_domain
  smtp_url               = var.smtp_url
  smtp_url_version       = var.smtp_url_version
  webhook_secret         = var.webhook_secret
  webhook_secret_version = var.webhook_secret_version

  unsubscribe_secret         = var.unsubscribe_secret
  unsubscribe_secret_version = var.unsubscribe_secret_version

  secret_recovery_days = var.secret_recovery_days
}

module "compute" {
  source = "./modules/compute"

  name                 = var.name
  tags                 = local.tags
  subnet_ids           = module.network.subnet_ids
  security_group_id    = module.network.security_group_id
  image                = "${local.repository}@${var.image_digest}"
  repository_arn       = module.registry.repository_arn
  architecture         = var.architecture
  instance_types       = var.instance_types
  max_vcpus            = var.max_vcpus
  spot                 = var.spot
  vcpus                = var.container_vcpus
  memory_mib           = var.container_memory_mib
  spool_gib            = var.spool_gib
  timeout_seconds      = var.timeout_seconds
  environment          = merge({ for name, value in merge(local.common, local.container) : name => value if value != "" }, var.extra_environment)
  secrets              = merge(module.delivery.secrets, { for secret in module.google_credentials : "GOOGLE_APPLICATION_CREDENTIALS" => secret.arn })
  readable_secret_arns = [module.r2.secret_arn]
  queue_arn            = module.queue.arn
  dead_letters_arn     = module.queue.dead_letters.arn
  with_feedback        = var.ses_domain != null
  feedback_arn         = module.delivery.feedback.arn
  log_group            = module.observability.log_group
  service_role_arn     = var.batch_service_role_arn
}

module "observability" {
  source = "./modules/observability"

  name                   = var.name
  tags                   = local.tags
  log_retention_days     = var.log_retention_days
  alarm_emails           = var.alarm_emails
  queue_name             = module.queue.name
  dead_letters_name      = module.queue.dead_letters.name
  job_queue_arn          = module.compute.job_queue_arn
  oldest_message_minutes = var.oldest_message_minutes
  no_progress_minutes    = var.no_progress_minutes
  monthly_budget_usd     = var.monthly_budget_usd
}
