# tflint-ignore-file: terraform_standard_module_structure
# One file, to be copied.

# Everything that can be set, set: letters by Amazon SES, webhooks, private photos of Firebase, alarms by
# e-mail, a budget. Copy this folder, change the names, keep its state in a bucket (below).

terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }

  # backend "s3" {
  #   bucket       = "my-terraform-state"
  #   key          = "wedding-photo-processor.tfstate"
  #   region       = "eu-central-1"
  #   encrypt      = true
  #   use_lockfile = true
  # }
}

provider "aws" {
  region = "eu-central-1"
}

variable "image_digest" {
  description = "The image's digest; `ci/deploy` sets it."
  type        = string
}

variable "image_repository" {
  description = "Another registry than ECR; `ci/deploy` sets it."
  type        = string
  default     = null
}

variable "r2_access_key" {
  description = "TF_VAR_r2_access_key"
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true
}

variable "r2_secret_key" {
  description = "TF_VAR_r2_secret_key"
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true
}

variable "webhook_secret" {
  description = "TF_VAR_webhook_secret"
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true
}

variable "google_credentials" {
  description = "TF_VAR_google_credentials"
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true
}

module "photos" {
  source = "../.."

  name = "smith-studio-photos"
  tags = { Team = "web" }

  image_digest     = var.image_digest
  image_repository = var.image_repository

  r2_endpoint       = "https://0123456789abcdef0123456789abcdef.r2.cloudflarestorage.com"
  r2_bucket         = "wedding-photos"
  r2_archive_bucket = "wedding-photos-archives"
  r2_access_key     = var.r2_access_key
  r2_secret_key     = var.r2_secret_key

  # Photos of Firebase: by download URL, and from the private bucket.
  allowed_buckets            = ["gs://smith-studio.appspot.com"]
  google_credentials         = var.google_credentials
  google_credentials_version = 1

  mail_from              = "Smith Studio <photos@smith-studio.example>"
  mail_reply_to          = "studio@smith-studio.example"
  ses_domain             = "smith-studio.example"
  alert_to               = ["night@smith-studio.example"]
  webhook_secret         = var.webhook_secret
  webhook_secret_version = 1
  public_base_url        = "https://photos.smith-studio.example"

  max_vcpus          = 200
  instance_types     = ["c6in.large", "c5n.large", "m6in.large", "m5n.large", "c6in.xlarge", "c5n.xlarge"]
  flow_logs          = true
  alarm_emails       = ["night@smith-studio.example"]
  monthly_budget_usd = 200
}

output "caller_environment" {
  description = "The environment of whoever hands in jobs."
  value       = module.photos.caller_environment
}

output "caller" {
  description = "Who hands in jobs."
  value       = module.photos.caller
}

output "queue" {
  description = "The queues at SQS."
  value       = module.photos.queue
}

output "batch" {
  description = "Where containers run."
  value       = module.photos.batch
}

output "image" {
  description = "Where images are pushed."
  value       = module.photos.image
}

output "r2_secret_arn" {
  description = "The secret with the keys of R2."
  value       = module.photos.r2_secret_arn
}

output "log_group" {
  description = "Log group of the containers."
  value       = module.photos.log_group
}

output "dkim_records" {
  description = "Records for the domain's DNS."
  value       = module.photos.dkim_records
}

output "dashboard_url" {
  description = "Where the dashboard is."
  value       = module.photos.dashboard_url
}
