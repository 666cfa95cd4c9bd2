variable "name" {
  description = "Prefix of all names."
  type        = string
}

variable "tags" {
  description = "Tags of everything."
  type        = map(string)
  default     = {}
}

variable "existing" {
  description = "A VPC and subnets to use instead of new ones. The subnets need a way to the internet."
  type = object({
    vpc_id     = string
    subnet_ids = list(string)
  })
  default = null
}

variable "cidr" {
  description = "Addresses of the new VPC; its subnets take a sixteenth each."
  type        = string
  default     = "10.42.0.0/16"

  validation {
    condition     = can(cidrsubnet(var.cidr, 4, 15)) && try(tonumber(split("/", var.cidr)[1]) >= 16 && tonumber(split("/", var.cidr)[1]) <= 24, false)
    error_message = "cidr must be a block of IPv4 addresses between /16 and /24, such as 10.42.0.0/16."
  }
}

variable "zones" {
  description = "Availability zones of the new subnets, at least two. None: the first three of the region."
  type        = list(string)
  default     = []

  validation {
    condition     = length(var.zones) == 0 || (length(distinct(var.zones)) >= 2 && length(var.zones) == length(distinct(var.zones)))
    error_message = "zones must name at least two availability zones, each once: Spot capacity differs from zone to zone."
  }
}

variable "egress_ports" {
  description = "TCP ports on the internet that containers may connect to."
  type        = set(number)
  default     = [443]

  validation {
    condition     = alltrue([for port in var.egress_ports : port >= 1 && port <= 65535])
    error_message = "egress_ports must be between 1 and 65535."
  }
}

variable "flow_logs" {
  description = "Whether connections are logged (priced by the gigabyte of log)."
  type        = bool
  default     = false
}

variable "log_retention_days" {
  description = "How long flow logs are kept, in days."
  type        = number
  default     = 30
}
