# One secret, whose value Terraform hands on and forgets (a write-only argument).

resource "aws_secretsmanager_secret" "this" {
  name                    = var.name
  description             = var.description
  recovery_window_in_days = var.recovery_days
  tags                    = var.tags
}

resource "aws_secretsmanager_secret_version" "this" {
  secret_id = aws_secretsmanager_secret.this.id
  # Written only where the version is new. Then a value that was not given is an error of Secrets Manager's,
  # which takes no empty one; until then nobody needs it.
  secret_string_wo         = var.value == null ? "" : var.value
  secret_string_wo_version = var.value_version
}
