variable "name" {
  description = "Prefix of all names."
  type        = string
}

variable "tags" {
  description = "Tags of everything."
  type        = map(string)
  default     = {}
}

variable "visibility_timeout" {
  description = "For how many seconds a received message is hidden, unless its container hides it again: the lease. What a lost container was at is taken over after this time."
  type        = number
  default     = 60

  validation {
    condition     = var.visibility_timeout >= 10 && var.visibility_timeout <= 43200
    error_message = "visibility_timeout must be between 10 and 43200 seconds, which `WPP_QUEUE__VISIBILITY_TIMEOUT` takes."
  }
}

variable "max_receive_count" {
  description = "A message received more often than that becomes a dead letter. Containers that are stopped give messages back, which counts."
  type        = number
  default     = 20

  validation {
    condition     = var.max_receive_count >= 10 && var.max_receive_count <= 1000
    error_message = "max_receive_count must be between 10 and 1000: every stop of a container counts as a receive, and failures are counted in the job's state anyway."
  }
}

variable "job_queue_arn" {
  description = "The Batch job queue that a container is asked of when messages wait."
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
