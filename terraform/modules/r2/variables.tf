variable "name" {
  description = "Prefix of the secret's name."
  type        = string
}

variable "tags" {
  description = "Tags of the secret."
  type        = map(string)
  default     = {}
}

variable "endpoint" {
  description = "Address of the store, such as https://<account>.r2.cloudflarestorage.com."
  type        = string
}

variable "bucket" {
  description = "The bucket of jobs and archives."
  type        = string
}

variable "access_key" {
  description = "Access key id of an R2 token with Object Read & Write on the bucket. Needed when `keys_version` is new."
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true
}

variable "secret_key" {
  description = "Secret access key of that token."
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true
}

variable "keys_version" {
  description = "A number that is raised when the keys are new."
  type        = number
  default     = 1
}

variable "secret_recovery_days" {
  description = "For how many days a destroyed secret can be restored: 0, or 7 to 30."
  type        = number
  default     = 7
}
