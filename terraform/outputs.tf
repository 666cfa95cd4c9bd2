output "caller_environment" {
  description = "The environment of whoever hands in jobs; lines without a value are secrets, to be filled in."
  value       = module.caller.environment
}

output "caller" {
  description = "Who hands in jobs: the user whose keys a Worker gets, and policies for roles."
  value = {
    user               = module.caller.user
    submit_policy_arn  = module.caller.submit_policy_arn
    operate_policy_arn = module.caller.operate_policy_arn
  }
}

output "queue" {
  description = "The queues at SQS."
  value = {
    url             = module.queue.url
    arn             = module.queue.arn
    dead_letter_url = module.queue.dead_letters.url
  }
}

output "batch" {
  description = "Where containers run. Whoever submits the job definition's ARN gets its latest revision."
  value = {
    job_queue_arn                = module.compute.job_queue_arn
    job_definition               = module.compute.job_definition
    job_definition_arn           = module.compute.job_definition_arn
    job_definition_revision_arn  = module.compute.job_definition_revision_arn
    compute_environments         = module.compute.compute_environments
    instance_types               = module.compute.instance_types
    containers_for_each_instance = module.compute.fits
  }
}

output "image" {
  description = "Where images are pushed, and which one is in use."
  value = {
    repository = local.repository
    digest     = var.image_digest
  }
}

output "r2_secret_arn" {
  description = "The secret with the keys of R2."
  value       = module.r2.secret_arn
}

output "dkim_records" {
  description = "CNAME records that the domain of `ses_domain` needs."
  value       = module.delivery.dkim_records
}

output "log_group" {
  description = "Log group of the containers."
  value       = module.observability.log_group.name
}

output "alarm_topic_arn" {
  description = "The SNS topic of all alarms."
  value       = module.observability.alarm_topic_arn
}

output "dashboard_url" {
  description = "Where the dashboard is."
  value       = module.observability.dashboard_url
}
