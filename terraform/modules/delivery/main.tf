# How people are told: Amazon SES or any other mail server, and what webhooks are signed with.

data "aws_region" "current" {}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  ses = var.ses_domain != null
  # A password of SES has characters that a URL must escape.
  ses_url = local.ses ? format("smtps://%s:%s@email-smtp.%s.amazonaws.com:465",
    urlencode(aws_iam_access_key.smtp[0].id),
    urlencode(aws_iam_access_key.smtp[0].ses_smtp_password_v4),
  data.aws_region.current.name) : null
}

resource "aws_sesv2_email_identity" "this" {
  count = local.ses ? 1 : 0

  email_identity = var.ses_domain

  dkim_signing_attributes {
    next_signing_key_length = "RSA_2048_BIT"
  }
}

# SMTP needs a user with a key; SES makes the password of the key. The key is in Terraform's state, and it
# can do nothing but send from this domain.
resource "aws_iam_user" "smtp" {
  count = local.ses ? 1 : 0

  name = "${var.name}-smtp"
  tags = var.tags
}

data "aws_iam_policy_document" "smtp" {
  count = local.ses ? 1 : 0

  statement {
    sid       = "Send"
    actions   = ["ses:SendRawEmail"]
    resources = ["arn:${data.aws_partition.current.partition}:ses:${data.aws_region.current.name}:${data.aws_caller_identity.current.account_id}:identity/${var.ses_domain}"]
  }
}

resource "aws_iam_user_policy" "smtp" {
  count = local.ses ? 1 : 0

  name   = "send"
  user   = aws_iam_user.smtp[0].name
  policy = data.aws_iam_policy_document.smtp[0].json
}

resource "aws_iam_access_key" "smtp" {
  count = local.ses ? 1 : 0

  user = aws_iam_user.smtp[0].name

  # The new key is in the secret before the old one is gone.
  lifecycle {
    create_before_destroy = true
  }
}

module "smtp_url" {
  source = "../secret"
  count  = var.mail ? 1 : 0

  name        = "${var.name}/smtp-url"
  description = "The mail server of ${var.name}, as a URL with user and password"
  tags        = var.tags

  value = local.ses ? local.ses_url : var.smtp_url
  # A new key is a new number.
  value_version = local.ses ? parseint(substr(sha256(aws_iam_access_key.smtp[0].id), 0, 8), 16) : var.smtp_url_version
  recovery_days = var.secret_recovery_days
}

module "webhook_secret" {
  source = "../secret"
  count  = var.webhook_secret_version > 0 ? 1 : 0

  name        = "${var.name}/webhook-secret"
  description = "What the webhooks of ${var.name} are signed with (Standard Webhooks)"
  tags        = var.tags

  value         = var.webhook_secret
  value_version = var.webhook_secret_version
  recovery_days = var.secret_recovery_days
}
