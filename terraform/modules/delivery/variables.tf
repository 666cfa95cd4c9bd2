variable "name" {
  description = "Prefix of all names."
  type        = string
}

variable "tags" {
  description = "Tags of everything."
  type        = map(string)
  default     = {}
}

variable "ses_domain" {
  description = "Domain to send from with Amazon SES, such as example.com; its DKIM records are an output."
  type        = string
  default     = null

  validation {
    condition     = var.ses_domain == null || can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.ses_domain))
    error_message = "ses_domain must be a domain in lower case, such as example.com, without a mailbox or a scheme."
  }
}

variable "mail" {
  description = "Whether letters are sent at all: by SES, or by the server of `smtp_url`."
  type        = bool
}

variable "smtp_url" {
  description = "Another mail server, such as smtps://user:password@smtp.example.com. Needed when `smtp_url_version` is new."
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true
}

variable "smtp_url_version" {
  description = "A number that is raised when `smtp_url` is new."
  type        = number
  default     = 1
}

variable "webhook_secret" {
  description = "What webhooks are signed with: `whsec_` and 24 to 64 random bytes in base64. Needed when `webhook_secret_version` is new."
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true

  validation {
    condition     = var.webhook_secret == null ? true : can(regex("^whsec_[A-Za-z0-9+/]{32,86}={0,2}$", var.webhook_secret))
    error_message = "webhook_secret must be `whsec_` and 24 to 64 random bytes in base64: echo whsec_$(head -c 32 /dev/urandom | base64)."
  }
}

variable "webhook_secret_version" {
  description = "A number that is raised when `webhook_secret` is new; 0: no webhooks."
  type        = number
  default     = 0
}

variable "unsubscribe_secret" {
  description = "What unsubscribe links are signed with: `whsec_` and 24 to 64 random bytes in base64. Needed when `unsubscribe_secret_version` is new."
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true

  validation {
    condition     = var.unsubscribe_secret == null ? true : can(regex("^whsec_[A-Za-z0-9+/]{32,86}={0,2}$", var.unsubscribe_secret))
    error_message = "unsubscribe_secret must be `whsec_` and 24 to 64 random bytes in base64: echo whsec_$(head -c 32 /dev/urandom | base64)."
  }
}

variable "unsubscribe_secret_version" {
  description = "A number that is raised when `unsubscribe_secret` is new; 0: no such links."
  type        = number
  default     = 0
}

variable "secret_recovery_days" {
  description = "For how many days destroyed secrets can be restored: 0, or 7 to 30."
  type        = number
  default     = 7
}
