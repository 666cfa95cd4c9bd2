# --- What every deployment must say.

variable "image_digest" {
  description = "The image's digest in the registry, sha256:…; `ci/deploy` sets it."
  type        = string

  validation {
    condition     = can(regex("^sha256:[0-9a-f]{64}$", var.image_digest))
    error_message = "image_digest must be `sha256:` and 64 hexadecimal digits, as `ci/deploy` prints it; a tag may come to mean something else."
  }
}

variable "r2_endpoint" {
  description = "Address of R2: https://<account>.r2.cloudflarestorage.com, or https://<account>.eu.r2.cloudflarestorage.com for a bucket in a jurisdiction."
  type        = string

  validation {
    condition     = can(regex("^https://[A-Za-z0-9.-]+(:[0-9]+)?$", var.r2_endpoint))
    error_message = "r2_endpoint must be https:// and a host, without a path, such as https://<account>.r2.cloudflarestorage.com."
  }
}

variable "r2_archive_bucket" {
  description = "A bucket for archives alone, the only one that may be public (`public_base_url`). Without it, archives are in `r2_bucket`."
  type        = string
  default     = null

  validation {
    condition     = var.r2_archive_bucket == null ? true : can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.r2_archive_bucket)) && var.r2_archive_bucket != var.r2_bucket
    error_message = "r2_archive_bucket must be a name of 3 to 63 lower-case letters, digits and hyphens (R2's rule), and another one than r2_bucket."
  }
}

variable "r2_bucket" {
  description = "The bucket of jobs, which nobody else should be able to read; and of archives, unless they have `r2_archive_bucket`."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.r2_bucket))
    error_message = "r2_bucket must be a name of 3 to 63 lower-case letters, digits and hyphens (R2's rule)."
  }
}

# --- Secrets. They go to Secrets Manager and are in no plan, no state and no output. Each is needed when it
# --- is first written, and when its `…_version` is raised; otherwise it is not looked at.

variable "r2_access_key" {
  description = "Access key id of an R2 token with Object Read & Write on the bucket, or both buckets."
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true
}

variable "r2_secret_key" {
  description = "Secret access key of that token."
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true
}

variable "r2_keys_version" {
  description = "A number that is raised when the keys of R2 are new."
  type        = number
  default     = 1

  validation {
    condition     = var.r2_keys_version >= 1 && floor(var.r2_keys_version) == var.r2_keys_version
    error_message = "r2_keys_version must be a whole number from 1 on."
  }
}

variable "smtp_url" {
  description = "The mail server, such as smtps://user:password@smtp.example.com, if it is not Amazon SES (`ses_domain`). User and password percent-encoded."
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true

  validation {
    condition     = var.smtp_url == null ? true : can(regex("^smtps?://[^/\\s]+$", var.smtp_url)) || can(regex("^smtps?://[^/\\s]+\\?tls=[a-z]+$", var.smtp_url))
    error_message = "smtp_url must begin with smtps:// (TLS, port 465) or smtp:// (STARTTLS, port 587) and have a host, user and password percent-encoded."
  }
}

variable "smtp_url_version" {
  description = "A number that is raised when `smtp_url` is new."
  type        = number
  default     = 1

  validation {
    condition     = var.smtp_url_version >= 1 && floor(var.smtp_url_version) == var.smtp_url_version
    error_message = "smtp_url_version must be a whole number from 1 on."
  }
}

variable "webhook_secret" {
  description = "What webhooks are signed with: `whsec_` and 24 to 64 random bytes in base64."
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true
}

variable "webhook_secret_version" {
  description = "A number that is raised when `webhook_secret` is new; 0: no webhooks."
  type        = number
  default     = 0

  validation {
    condition     = var.webhook_secret_version >= 0 && floor(var.webhook_secret_version) == var.webhook_secret_version
    error_message = "webhook_secret_version must be a whole number: 0 for no webhooks, then 1, and one more for each new secret."
  }
}

variable "unsubscribe_secret" {
  description = "What links are signed with by which recipients get no more letters: `whsec_` and 24 to 64 random bytes in base64."
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true
}

variable "unsubscribe_secret_version" {
  description = "A number that is raised when `unsubscribe_secret` is new; 0: no such links."
  type        = number
  default     = 0

  validation {
    condition     = var.unsubscribe_secret_version >= 0 && floor(var.unsubscribe_secret_version) == var.unsubscribe_secret_version
    error_message = "unsubscribe_secret_version must be a whole number: 0 for no such links, then 1, and one more for each new secret."
  }
  validation {
    condition     = (var.unsubscribe_secret_version > 0) == (var.unsubscribe_url != null)
    error_message = "unsubscribe_url and unsubscribe_secret_version belong together: a link needs a page and a signature."
  }
}

variable "unsubscribe_url" {
  description = "The page where recipients say that they want no more letters, such as the example Worker's https://photos.example.com/unsubscribe."
  type        = string
  default     = null

  validation {
    condition     = var.unsubscribe_url == null ? true : can(regex("^https://[^/?#\\s]+/[^?#\\s]+$", var.unsubscribe_url))
    error_message = "unsubscribe_url must begin with https:// and have a path, and no query."
  }
}

variable "mail_max_per_address" {
  description = "The most e-mails that one address gets in a day, whichever jobs they are about."
  type        = number
  default     = 20

  validation {
    condition     = var.mail_max_per_address >= 1 && var.mail_max_per_address <= 10000
    error_message = "mail_max_per_address must be 1 to 10000."
  }
}

variable "webhook_hosts" {
  description = "Hosts of webhooks that are called, written like `allowed_hosts`; `*`: any on the public internet."
  type        = list(string)
  default     = ["*"]

  validation {
    condition     = length(var.webhook_hosts) > 0 && alltrue([for host in var.webhook_hosts : can(regex("^(\\*|(\\*\\.)?[^*\\s,/:@?#\\[\\]]+|\\[[0-9A-Fa-f:.]+\\])(/[^\\s,?#%\\\\]*)?$", host))])
    error_message = "webhook_hosts must be names of hosts like those of allowed_hosts, without a scheme and a port; `*` for any. For no webhooks, leave webhook_secret_version at 0."
  }
}

variable "google_credentials" {
  description = "Key of a Google service account (JSON) that may read private photos (`gs://`)."
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true

  validation {
    condition     = var.google_credentials == null ? true : can(jsondecode(var.google_credentials).type)
    error_message = "google_credentials must be the text of a service account's key: JSON with a `type`."
  }
}

variable "google_credentials_version" {
  description = "A number that is raised when `google_credentials` is new; 0: no private photos of Google's."
  type        = number
  default     = 0

  validation {
    condition     = var.google_credentials_version >= 0 && floor(var.google_credentials_version) == var.google_credentials_version
    error_message = "google_credentials_version must be a whole number: 0 for none, then 1, and one more for each new key."
  }
}

variable "secret_recovery_days" {
  description = "For how many days a destroyed secret can be restored (its name is taken for that long): 0, or 7 to 30."
  type        = number
  default     = 7
}

# --- Names.

variable "name" {
  description = "Prefix of all names, so that several deployments can be in one account."
  type        = string
  default     = "wedding-photo-processor"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,35}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 37 lower-case letters, digits and hyphens, and begin with a letter: names of roles are made of it, and have 64 at most."
  }
}

variable "tags" {
  description = "Tags of everything, beside `Project` = `name`."
  type        = map(string)
  default     = {}
}

# --- Callers.

variable "doorbell" {
  description = "Whether callers ring at a queue instead of asking Batch for containers: a stolen key of theirs then starts no container of its own making (docs/deploy.md)."
  type        = bool
  default     = false
}

# --- Where photos come from.

variable "firebase_bucket" {
  description = "The project's own bucket, such as my-project.appspot.com: photos then come from it alone, unless `allowed_hosts` says otherwise. None: from every bucket at Firebase and Google Cloud Storage."
  type        = string
  default     = null

  validation {
    condition     = var.firebase_bucket == null ? true : can(regex("^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$", var.firebase_bucket))
    error_message = "firebase_bucket must be the name of a bucket, such as my-project.appspot.com, without gs://."
  }
}

variable "allowed_hosts" {
  description = "Hosts that photos may come from; `*.example.com` allows every host below example.com, `example.com/folder/` only that folder. None: those of `firebase_bucket`."
  type        = list(string)
  default     = null

  validation {
    condition     = var.allowed_hosts == null ? true : alltrue([for host in var.allowed_hosts : can(regex("^(\\*|(\\*\\.)?[^*\\s,/:@?#\\[\\]]+|\\[[0-9A-Fa-f:.]+\\])(/[^\\s,?#%\\\\]*)?$", host))])
    error_message = "allowed_hosts must be names of hosts in any script, or addresses (those of IPv6 in brackets), without a scheme and a port; a folder may follow, without escapes."
  }
}

variable "allowed_buckets" {
  description = "Private buckets that photos may come from: `gs://bucket`, `s3://bucket/folder/` (of the store at `r2_endpoint`)."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for bucket in var.allowed_buckets : can(regex("^(gs|s3)://[^,\\s]+$", bucket))])
    error_message = "allowed_buckets must begin with gs:// or s3://."
  }
}

# --- Machines.

variable "architecture" {
  description = "What the image was built for: `x86_64` or `arm64`."
  type        = string
  default     = "x86_64"
}

variable "instance_types" {
  description = "Instance types, the more the easier Spot capacity is found. None: network-optimized ones (docs/deploy.md)."
  type        = list(string)
  default     = []
}

variable "max_vcpus" {
  description = "The most vCPUs that run at once in each compute environment, Spot and On-Demand; callers ask for no more than these in all. 0 lets nothing start."
  type        = number
  default     = 100
}

variable "spot" {
  description = "Whether Spot instances are tried first; On-Demand is behind them in any case."
  type        = bool
  default     = true
}

variable "container_vcpus" {
  description = "vCPUs of a container."
  type        = number
  default     = 2
}

variable "container_memory_mib" {
  description = "Memory of a container, in MiB."
  type        = number
  default     = 3400
}

variable "spool_gib" {
  description = "Disk for photos whose length only the download tells, in GiB for each container."
  type        = number
  default     = 10
}

variable "timeout_seconds" {
  description = "How long a container may drain the queue before it is stopped and another one goes on; at least 60."
  type        = number
  default     = 21600
}

variable "visibility_timeout" {
  description = "Seconds after which the job of a container that was lost is taken over."
  type        = number
  default     = 60
}

variable "max_receive_count" {
  description = "A message received more often than that becomes a dead letter; at least 10, because containers that are stopped give messages back."
  type        = number
  default     = 20
}

# --- Network.

variable "existing_network" {
  description = "A VPC and subnets to use instead of new ones."
  type = object({
    vpc_id     = string
    subnet_ids = list(string)
  })
  default = null

  validation {
    condition     = var.existing_network == null ? true : length(var.existing_network.subnet_ids) > 0 && startswith(var.existing_network.vpc_id, "vpc-") && alltrue([for id in var.existing_network.subnet_ids : startswith(id, "subnet-")])
    error_message = "existing_network needs a vpc_id (vpc-…) and at least one of its subnets in subnet_ids (subnet-…)."
  }
}

variable "cidr" {
  description = "Addresses of the new VPC, between /16 and /24."
  type        = string
  default     = "10.42.0.0/16"
}

variable "zones" {
  description = "Availability zones of the new subnets, at least two. None: the first three of the region."
  type        = list(string)
  default     = []
}

variable "egress_ports" {
  description = "TCP ports that containers may connect to, beside 443 and the mail server's."
  type        = set(number)
  default     = []
}

variable "flow_logs" {
  description = "Whether connections of the new VPC are logged."
  type        = bool
  default     = false
}

# --- Telling people.

variable "mail_from" {
  description = "Sender of letters, such as `Photos <photos@example.com>`. None: no letters."
  type        = string
  default     = null

  validation {
    condition     = var.mail_from == null ? true : can(regex("^([^<>@]*<[^<>@\\s]+@[^<>@\\s]+>|[^<>@\\s]+@[^<>@\\s]+)$", var.mail_from))
    error_message = "mail_from must be an address, such as `photos@example.com` or `Photos <photos@example.com>`."
  }
}

variable "mail_reply_to" {
  description = "Where answers to letters go."
  type        = string
  default     = null
}

variable "ses_domain" {
  description = "Domain to send from with Amazon SES. None: `smtp_url` says by which server."
  type        = string
  default     = null
  validation {
    condition     = var.ses_domain == null ? true : var.mail_from == null ? false : can(regex("[@.]${var.ses_domain}>?$", lower(var.mail_from)))
    error_message = "ses_domain needs a sender of this domain, from which alone SES sends: set mail_from, such as photos@example.com."
  }
}

variable "smtp_port" {
  description = "Port of the mail server, which containers may connect to: 465 for smtps://, 587 for smtp://."
  type        = number
  default     = 465

  validation {
    condition     = contains([465, 587, 2465, 2587], var.smtp_port) || var.smtp_port > 1024
    error_message = "smtp_port must be 465 or 587 (or another one above 1024): EC2 lets nobody send by port 25."
  }
}

variable "alert_to" {
  description = "Operators who get an e-mail when a job has failed for good, by the mail server above."
  type        = list(string)
  default     = []

  validation {
    condition     = length(var.alert_to) == 0 || var.mail_from != null
    error_message = "alert_to needs a sender: set mail_from, too."
  }
}

variable "public_base_url" {
  description = "Where everyone can see the bucket of archives (`r2_archive_bucket`, which it needs), such as https://photos.example.com. None: links are signed and live for seven days at most."
  type        = string
  default     = null

  validation {
    condition     = var.public_base_url == null ? true : can(regex("^https://[^\\s?#]+$", var.public_base_url))
    error_message = "public_base_url must begin with https:// and have no query."
  }

  validation {
    condition     = var.public_base_url == null || var.r2_archive_bucket != null
    error_message = "public_base_url needs r2_archive_bucket: in r2_bucket, everyone could read the manifests with the photos' tokens and the guests' addresses."
  }
}

# --- Being called.

variable "alarm_emails" {
  description = "Who is called by alarms: e-mail addresses, each of which must confirm once."
  type        = set(string)
  default     = []
}

variable "oldest_message_minutes" {
  description = "After how many minutes a job that waits is an alarm."
  type        = number
  default     = 30
}

variable "no_progress_minutes" {
  description = "After how many minutes without any job ending, while there are some, is an alarm; more than your largest event takes."
  type        = number
  default     = 120
}

variable "log_retention_days" {
  description = "How long logs are kept, in days."
  type        = number
  default     = 30
}

variable "monthly_budget_usd" {
  description = "Monthly costs, of which `alarm_emails` are told at 80 % and at 100 %. A budget stops nothing. null: none."
  type        = number
  default     = 100
}

# --- Seldom needed.

variable "image_repository" {
  description = "Another registry than the one that is made here, such as registry.example.com/photos."
  type        = string
  default     = null
}

variable "extra_environment" {
  description = "More environment of the container, or other values: any `WPP_…` setting, private endpoints. Nothing secret."
  type        = map(string)
  default     = {}
}

variable "batch_service_role_arn" {
  description = "The role by which Batch starts instances. None: AWSServiceRoleForBatch, which AWS makes by itself."
  type        = string
  default     = null
}

variable "force_delete" {
  description = "Whether `destroy` removes the registry with images in it."
  type        = bool
  default     = false
}
