variable "name" {
  description = "Prefix of all names."
  type        = string
}

variable "tags" {
  description = "Tags of everything."
  type        = map(string)
  default     = {}
}

variable "job_queue_arn" {
  description = "The Batch job queue that a container is asked of."
  type        = string
}

variable "job_definition" {
  description = "Name of the Batch job definition of that container; its latest revision is used."
  type        = string
}

variable "job_definition_arn" {
  description = "ARN of the job definition, without a revision."
  type        = string
}
