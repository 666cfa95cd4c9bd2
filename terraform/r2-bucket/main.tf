# The buckets at Cloudflare, their lifecycle, and a token for them alone. Jobs and archives are apart, since only
# archives may be public: manifests have the photos' tokens and the guests' addresses in them. Apart from the rest, since it needs
# Cloudflare's provider and a Cloudflare token that may make tokens.

# Until `keep_archives_days` after they are made, archives of before are in the jobs' bucket, too: both have
# these rules.
locals {
  archive_rules = [
    # Uploads that nobody will finish. A container aborts its own; this sweeps those of lost ones.
    {
      id         = "abort-incomplete-uploads"
      enabled    = true
      conditions = { prefix = "archives/" }
      abort_multipart_uploads_transition = {
        condition = { type = "Age", max_age = 86400 }
      }
    },
    {
      id         = "expire-archives"
      enabled    = true
      conditions = { prefix = "archives/" }
      delete_objects_transition = {
        condition = { type = "Age", max_age = var.keep_archives_days * 86400 }
      }
    },
  ]
}

resource "cloudflare_r2_bucket" "archives" {
  account_id   = var.account_id
  name         = var.archive_bucket
  jurisdiction = var.jurisdiction
  location     = upper(var.location)
}

resource "cloudflare_r2_bucket_lifecycle" "archives" {
  account_id   = var.account_id
  bucket_name  = cloudflare_r2_bucket.archives.name
  jurisdiction = var.jurisdiction

  rules = local.archive_rules
}

resource "cloudflare_r2_bucket" "this" {
  account_id   = var.account_id
  name         = var.bucket
  jurisdiction = var.jurisdiction
  location     = upper(var.location)
}

resource "cloudflare_r2_bucket_lifecycle" "this" {
  account_id   = var.account_id
  bucket_name  = cloudflare_r2_bucket.this.name
  jurisdiction = var.jurisdiction

  rules = concat(local.archive_rules, [
    {
      id         = "expire-jobs"
      enabled    = true
      conditions = { prefix = "jobs/" }
      delete_objects_transition = {
        condition = { type = "Age", max_age = var.keep_jobs_days * 86400 }
      }
    },
    # How many letters an address got on a day. Containers delete it, too, where there are any.
    {
      id         = "expire-counts-of-letters"
      enabled    = true
      conditions = { prefix = "mail/letters/" }
      delete_objects_transition = {
        condition = { type = "Age", max_age = 3 * 86400 }
      }
    },
  ])
}

data "cloudflare_api_token_permission_groups_list" "item_write" {
  name      = "Workers%20R2%20Storage%20Bucket%20Item%20Write"
  max_items = 1
}

# Object Read & Write on these buckets and no other.
resource "cloudflare_api_token" "this" {
  name = var.token_name

  policies = [{
    effect            = "allow"
    permission_groups = [{ id = data.cloudflare_api_token_permission_groups_list.item_write.result[0].id }]
    resources = {
      for bucket in [cloudflare_r2_bucket.this.name, cloudflare_r2_bucket.archives.name] :
      "com.cloudflare.edge.r2.bucket.${var.account_id}_${var.jurisdiction}_${bucket}" => "*"
    }
  }]
}
