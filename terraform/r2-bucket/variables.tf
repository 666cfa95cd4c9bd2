variable "account_id" {
  description = "The Cloudflare account: 32 hexadecimal digits."
  type        = string

  validation {
    condition     = can(regex("^[0-9a-f]{32}$", var.account_id))
    error_message = "account_id must be the 32 hexadecimal digits that the dashboard shows."
  }
}

variable "archive_bucket" {
  description = "Name of the bucket of archives: the only one that may be public."
  type        = string
  default     = "wedding-photos-archives"

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.archive_bucket)) && var.archive_bucket != var.bucket
    error_message = "archive_bucket must be a name of 3 to 63 lower-case letters, digits and hyphens (R2's rule), and another one than bucket."
  }
}

variable "bucket" {
  description = "Name of the bucket of jobs, which is never public."
  type        = string
  default     = "wedding-photos"

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "bucket must be a name of 3 to 63 lower-case letters, digits and hyphens (R2's rule)."
  }
}

variable "jurisdiction" {
  description = "Where the data must stay: `default` (anywhere) or `eu`."
  type        = string
  default     = "default"

  validation {
    condition     = contains(["default", "eu", "fedramp"], var.jurisdiction)
    error_message = "jurisdiction must be \"default\", \"eu\" or \"fedramp\"."
  }
}

variable "location" {
  description = "Where the buckets are best, such as `enam` (eastern North America, as us-east-1) or `weur`."
  type        = string
  default     = "enam"

  validation {
    condition     = contains(["apac", "eeur", "enam", "oc", "weur", "wnam"], var.location)
    error_message = "location must be apac, eeur, enam, oc, weur or wnam."
  }
}

variable "keep_archives_days" {
  description = "After how many days archives are deleted. Signed links live for seven at most."
  type        = number
  default     = 14

  validation {
    condition     = var.keep_archives_days >= 8
    error_message = "keep_archives_days must be at least 8, so that no archive goes before its links do."
  }
}

variable "keep_jobs_days" {
  description = "After how many days jobs (manifests with their tokens, states) are deleted. The same photos handed in later are a new job."
  type        = number
  default     = 90

  validation {
    condition     = var.keep_jobs_days > var.keep_archives_days
    error_message = "keep_jobs_days must be more than keep_archives_days: a job whose archive is gone can be done again, an archive without its job says nothing."
  }
}

variable "token_name" {
  description = "Name of the token, in the dashboard."
  type        = string
  default     = "wedding-photo-processor"
}
