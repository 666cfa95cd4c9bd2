variable "name" {
  description = "Prefix of all names."
  type        = string
}

variable "tags" {
  description = "Tags of everything."
  type        = map(string)
  default     = {}
}

variable "log_retention_days" {
  description = "How long the containers' logs are kept, in days."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be a number that CloudWatch Logs takes: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731 and more."
  }
}

variable "alarm_emails" {
  description = "Who is called: e-mail addresses, each of which must confirm once."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for address in var.alarm_emails : can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", address))])
    error_message = "alarm_emails must be e-mail addresses."
  }
}

variable "queue_name" {
  description = "The queue of jobs (SQS)."
  type        = string
}

variable "dead_letters_name" {
  description = "Its dead-letter queue."
  type        = string
}

variable "job_queue_arn" {
  description = "The Batch job queue, whose failed containers are reported."
  type        = string
}

variable "oldest_message_minutes" {
  description = "After how many minutes a message that waits is an alarm."
  type        = number
  default     = 30

  validation {
    condition     = var.oldest_message_minutes >= 5 && var.oldest_message_minutes <= 1440
    error_message = "oldest_message_minutes must be between 5 and 1440: a container takes some minutes to start."
  }
}

variable "no_progress_minutes" {
  description = "After how many minutes without any job ending, while there are some, is an alarm. More than your largest event takes; at most a day."
  type        = number
  default     = 120

  validation {
    condition     = var.no_progress_minutes >= 15 && var.no_progress_minutes <= 1440 && var.no_progress_minutes % 5 == 0
    error_message = "no_progress_minutes must be a multiple of 5 between 15 and 1440 (CloudWatch looks back a day at most)."
  }
}

variable "egress_usd_per_gb" {
  description = "What a gigabyte to the internet costs, for the dashboard's estimate."
  type        = number
  default     = 0.09
}

variable "instance_usd_per_hour" {
  description = "What a container's instance costs in an hour, for the dashboard's estimate."
  type        = number
  default     = 0.12
}

variable "monthly_budget_usd" {
  description = "Monthly costs of what has our `Project` tag that somebody is told of at 80 % and at 100 %. None: no budget."
  type        = number
  default     = null

  validation {
    condition     = var.monthly_budget_usd == null ? true : var.monthly_budget_usd > 0
    error_message = "monthly_budget_usd must be more than 0."
  }
}
