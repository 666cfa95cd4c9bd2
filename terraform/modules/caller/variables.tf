variable "name" {
  description = "Prefix of all names."
  type        = string
}

variable "tags" {
  description = "Tags of everything."
  type        = map(string)
  default     = {}
}

variable "queue_arn" {
  description = "The queue of jobs (SQS)."
  type        = string
}

variable "dead_letters_arn" {
  description = "Its dead-letter queue."
  type        = string
}

variable "job_queue_arn" {
  description = "The Batch job queue."
  type        = string
}

variable "job_definition_arn" {
  description = "ARN of the job definition, without a revision."
  type        = string
}

variable "with_doorbell" {
  description = "Whether callers ring at `doorbell_arn` instead of asking Batch."
  type        = bool
  default     = false
}

variable "doorbell_arn" {
  description = "The doorbell (SQS), where there is one."
  type        = string
  default     = null
}

variable "with_feedback" {
  description = "Whether SES reports to the queue at `feedback_arn`."
  type        = bool
  default     = false
}

variable "feedback_arn" {
  description = "The queue of what becomes of letters (SQS), where there is one."
  type        = string
  default     = null
}

variable "environment" {
  description = "What a caller is told, without secrets."
  type        = map(string)
}
