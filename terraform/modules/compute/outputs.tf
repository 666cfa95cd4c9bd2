output "job_queue_arn" {
  description = "ARN of the Batch job queue."
  value       = aws_batch_job_queue.this.arn
}

output "job_definition" {
  description = "Name of the job definition."
  value       = local.job_definition
}

output "job_definition_arn" {
  description = "ARN of the job definition without a revision: whoever submits it gets the latest."
  value       = local.job_definition_arn
}

output "job_definition_revision_arn" {
  description = "ARN of the latest revision."
  value       = aws_batch_job_definition.this.arn
}

output "max_containers" {
  description = "How many containers `max_vcpus` is enough for."
  value       = max(1, floor(var.max_vcpus / var.vcpus))
}

output "compute_environments" {
  description = "Names of the compute environments."
  value       = { for kind, environment in aws_batch_compute_environment.this : kind => environment.compute_environment_name }
}

output "instance_types" {
  description = "The instance types in use."
  value       = local.instance_types
}

output "fits" {
  description = "How many containers fit each of them, as far as its figures are known here."
  value       = local.fits
}

output "container_properties" {
  description = "What the job definition says of the container, as JSON."
  value       = aws_batch_job_definition.this.container_properties
}

output "retry_rules" {
  description = "Which ends of a container are tried again, in the order in which Batch looks."
  value       = aws_batch_job_definition.this.retry_strategy[0].evaluate_on_exit
}
