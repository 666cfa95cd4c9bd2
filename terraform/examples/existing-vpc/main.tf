# tflint-ignore-file: terraform_standard_module_structure
# One file, to be copied.

# In a VPC that is there: private subnets work as well, if they have a NAT gateway (which takes its share of
# every gigabyte) and, better, an endpoint for S3.

terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }
}

provider "aws" {
  region = "us-east-1"
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

variable "vpc_name" {
  description = "Name of the VPC (its tag)."
  type        = string
  default     = "main"
}

data "aws_vpc" "this" {
  tags = { Name = var.vpc_name }
}

data "aws_subnets" "public" {
  filter {
    name   = "vpc-id"
    values = [data.aws_vpc.this.id]
  }

  filter {
    name   = "map-public-ip-on-launch"
    values = ["true"]
  }
}

module "photos" {
  source = "../.."

  image_digest     = var.image_digest
  image_repository = var.image_repository

  r2_endpoint       = "https://0123456789abcdef0123456789abcdef.r2.cloudflarestorage.com"
  r2_bucket         = "wedding-photos"
  r2_archive_bucket = "wedding-photos-archives"
  r2_access_key     = var.r2_access_key
  r2_secret_key     = var.r2_secret_key

  existing_network = {
    vpc_id     = data.aws_vpc.this.id
    subnet_ids = data.aws_subnets.public.ids
  }
}

output "caller_environment" {
  description = "The environment of whoever hands in jobs."
  value       = module.photos.caller_environment
}

# The rest is what `ci/deploy` and `ci/destroy` ask for.

output "caller" {
  description = "Who hands in jobs."
  value       = module.photos.caller
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

output "batch" {
  description = "Where containers run."
  value       = module.photos.batch
}
