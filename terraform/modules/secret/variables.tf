variable "name" {
  description = "Name of the secret."
  type        = string
}

variable "description" {
  description = "What it is for."
  type        = string
}

variable "tags" {
  description = "Tags of the secret."
  type        = map(string)
  default     = {}
}

variable "value" {
  description = "The secret. Needed when `value_version` is new, ignored otherwise; in no plan and no state."
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true
}

variable "value_version" {
  description = "A number that changes when `value` is to be written."
  type        = number
}

variable "recovery_days" {
  description = "For how many days a destroyed secret can be restored (its name is taken for that long): 0, or 7 to 30."
  type        = number
  default     = 7

  validation {
    condition     = var.recovery_days == 0 || (var.recovery_days >= 7 && var.recovery_days <= 30)
    error_message = "recovery_days must be 0 or between 7 and 30 (Secrets Manager allows no other)."
  }
}
