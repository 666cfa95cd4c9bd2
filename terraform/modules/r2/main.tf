# Cloudflare R2, as far as AWS knows about it: the keys, which containers read by themselves whenever
# they need them, so that keys are changed without a deployment. The bucket itself is Cloudflare's (see
# `terraform/r2-bucket`).

module "keys" {
  source = "../secret"

  name        = "${var.name}/r2"
  description = "Keys of the R2 bucket ${var.bucket}, with which the containers of ${var.name} read and write"
  tags        = var.tags

  # `src/aws` reads `access_key` and `secret_key`; the others tell people what the keys are for.
  value = var.access_key == null || var.secret_key == null ? null : jsonencode({
    endpoint   = var.endpoint
    bucket     = var.bucket
    access_key = var.access_key
    secret_key = var.secret_key
  })
  value_version = var.keys_version
  recovery_days = var.secret_recovery_days
}
