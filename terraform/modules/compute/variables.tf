variable "name" {
  description = "Prefix of all names."
  type        = string
}

variable "tags" {
  description = "Tags of everything, instances and their disks included."
  type        = map(string)
  default     = {}
}

variable "subnet_ids" {
  description = "Subnets to start instances in."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) > 0
    error_message = "subnet_ids must name at least one subnet."
  }
}

variable "security_group_id" {
  description = "Security group of the instances."
  type        = string
}

variable "image" {
  description = "The container's image, by its digest: REPOSITORY@sha256:…"
  type        = string

  validation {
    condition     = can(regex("^[^@]+@sha256:[0-9a-f]{64}$", var.image))
    error_message = "image must name its digest (REPOSITORY@sha256:…): a tag may come to mean something else."
  }
}

variable "repository_arn" {
  description = "ARN of the ECR repository that the image is pulled from."
  type        = string
}

variable "architecture" {
  description = "What the image was built for: `x86_64` or `arm64`."
  type        = string
  default     = "x86_64"

  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "architecture must be \"x86_64\" or \"arm64\", as the image is."
  }
}

variable "instance_types" {
  description = "Instance types, the more the easier Spot capacity is found. None: network-optimized ones, see docs/deploy.md."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for type in var.instance_types : can(regex("^[a-z0-9-]+\\.[a-z0-9-]+$", type))])
    error_message = "instance_types must be types with their size, such as \"c6in.large\"; of whole families Batch would start sizes that the internet gateway does not let work."
  }
}

variable "max_vcpus" {
  description = "The most vCPUs that run at once, Spot or On-Demand; 0 to 10000. 0 lets nothing start."
  type        = number
  default     = 100

  validation {
    condition     = var.max_vcpus >= 0 && var.max_vcpus <= 10000 && floor(var.max_vcpus) == var.max_vcpus
    error_message = "max_vcpus must be a whole number between 0 and 10000."
  }
}

variable "spot" {
  description = "Whether Spot instances are tried first (cheaper; they may be taken away, and the job is done elsewhere)."
  type        = bool
  default     = true
}

variable "vcpus" {
  description = "vCPUs of a container."
  type        = number
  default     = 2

  validation {
    condition     = var.vcpus >= 1 && floor(var.vcpus) == var.vcpus
    error_message = "vcpus must be a whole number from 1 on."
  }
}

variable "memory_mib" {
  description = "Memory of a container, in MiB. Must leave room for the system and the ECS agent on every instance type."
  type        = number
  default     = 3400

  validation {
    condition     = var.memory_mib >= 512 && floor(var.memory_mib) == var.memory_mib
    error_message = "memory_mib must be a whole number from 512 on."
  }
}

variable "spool_gib" {
  description = "Disk for photos whose length only the download tells, in GiB for each container."
  type        = number
  default     = 10

  validation {
    condition     = var.spool_gib >= 1 && var.spool_gib <= 1000 && floor(var.spool_gib) == var.spool_gib
    error_message = "spool_gib must be a whole number between 1 and 1000."
  }
}

variable "timeout_seconds" {
  description = "How long a container may drain the queue; then it is stopped, gives its message back, and another one may go on. At least 60."
  type        = number
  default     = 21600

  validation {
    condition     = var.timeout_seconds >= 60 && floor(var.timeout_seconds) == var.timeout_seconds
    error_message = "timeout_seconds must be a whole number from 60 on (Batch's rule)."
  }
}

variable "environment" {
  description = "Environment of the container. Nothing in it is secret."
  type        = map(string)

  validation {
    condition     = alltrue([for name, value in var.environment : can(regex("^[A-Za-z_][A-Za-z0-9_]*$", name)) && !startswith(name, "AWS_BATCH")])
    error_message = "environment must have names of letters, digits and _, and none may begin with AWS_BATCH, which is Batch's own."
  }
}

variable "secrets" {
  description = "ARNs of secrets, by their name in the container's environment. One that is in `environment`, too, gives way."
  type        = map(string)
  default     = {}
}

variable "readable_secret_arns" {
  description = "Secrets that the container reads by itself."
  type        = list(string)
  default     = []
}

variable "queue_arn" {
  description = "The queue of jobs (SQS)."
  type        = string
}

variable "dead_letters_arn" {
  description = "Its dead-letter queue."
  type        = string
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

variable "log_group" {
  description = "Log group of the containers."
  type = object({
    name = string
    arn  = string
  })
}

variable "service_role_arn" {
  description = "The role by which Batch starts instances. None: AWSServiceRoleForBatch, which AWS makes by itself."
  type        = string
  default     = null
}
