variable "name" {
  description = "Name of the repository."
  type        = string
}

variable "tags" {
  description = "Tags of everything."
  type        = map(string)
  default     = {}
}

variable "keep_images" {
  description = "How many images are kept, the newest ones; earlier ones cannot be rolled back to."
  type        = number
  default     = 20

  validation {
    condition     = var.keep_images >= 2
    error_message = "keep_images must be at least 2: the image in use, and one to roll back to."
  }
}

variable "force_delete" {
  description = "Whether `destroy` removes the repository with images in it."
  type        = bool
  default     = false
}
