output "endpoint" {
  description = "`r2_endpoint` of the deployment."
  value       = var.jurisdiction == "default" ? "https://${var.account_id}.r2.cloudflarestorage.com" : "https://${var.account_id}.${var.jurisdiction}.r2.cloudflarestorage.com"
}

output "bucket" {
  description = "`r2_bucket` of the deployment."
  value       = cloudflare_r2_bucket.this.name
}

output "archive_bucket" {
  description = "`r2_archive_bucket` of the deployment."
  value       = cloudflare_r2_bucket.archives.name
}

output "access_key" {
  description = "`r2_access_key` of the deployment: the token's id (R2 documentation, \"Authentication\")."
  value       = cloudflare_api_token.this.id
  sensitive   = true
}

output "secret_key" {
  description = "`r2_secret_key` of the deployment: SHA-256 of the token."
  value       = sha256(cloudflare_api_token.this.value)
  sensitive   = true
}
