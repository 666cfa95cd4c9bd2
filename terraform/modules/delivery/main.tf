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

# SES reports bounces and complaints.
resource "aws_sesv2_configuration_set" "this" {
  count = local.ses ? 1 : 0

  configuration_set_name = var.name
  tags                   = var.tags

  reputation_options {
    reputation_metrics_enabled = true
  }

  # SES sends nothing more to addresses that bounced or complained.
  suppression_options {
    suppressed_reasons = ["BOUNCE", "COMPLAINT"]
  }
}

resource "aws_sesv2_configuration_set_event_destination" "feedback" {
  count = local.ses ? 1 : 0

  configuration_set_name = aws_sesv2_configuration_set.this[0].configuration_set_name
  event_destination_name = "feedback"

  event_destination {
    enabled              = true
    matching_event_types = ["BOUNCE", "COMPLAINT", "REJECT"]

    sns_destination {
      topic_arn = aws_sns_topic.feedback[0].arn
    }
  }

  # SES tries the topic when it is told of it.
  depends_on = [aws_sns_topic_policy.feedback]
}

resource "aws_sns_topic" "feedback" {
  count = local.ses ? 1 : 0

  name = "${var.name}-mail-feedback"
  tags = var.tags
}

data "aws_iam_policy_document" "topic" {
  count = local.ses ? 1 : 0

  statement {
    sid       = "SesReports"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.feedback[0].arn]

    principals {
      type        = "Service"
      identifiers = ["ses.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }
}

resource "aws_sns_topic_policy" "feedback" {
  count = local.ses ? 1 : 0

  arn    = aws_sns_topic.feedback[0].arn
  policy = data.aws_iam_policy_document.topic[0].json
}

# A container or `submit status` reads it. Its messages contain addresses.
resource "aws_sqs_queue" "feedback" {
  count = local.ses ? 1 : 0

  name                      = "${var.name}-mail-feedback"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
  tags                      = var.tags
}

data "aws_iam_policy_document" "queue" {
  count = local.ses ? 1 : 0

  statement {
    sid       = "TopicSends"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.feedback[0].arn]

    principals {
      type        = "Service"
      identifiers = ["sns.amazonaws.com"]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [aws_sns_topic.feedback[0].arn]
    }
  }

  statement {
    sid       = "OnlyTls"
    effect    = "Deny"
    actions   = ["sqs:ReceiveMessage"]
    resources = [aws_sqs_queue.feedback[0].arn]

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_sqs_queue_policy" "feedback" {
  count = local.ses ? 1 : 0

  queue_url = aws_sqs_queue.feedback[0].id
  policy    = data.aws_iam_policy_document.queue[0].json
}

resource "aws_sns_topic_subscription" "feedback" {
  count = local.ses ? 1 : 0

  topic_arn            = aws_sns_topic.feedback[0].arn
  protocol             = "sqs"
  endpoint             = aws_sqs_queue.feedback[0].arn
  raw_message_delivery = true
}

resource "aws_sesv2_email_identity" "this" {
  count = local.ses ? 1 : 0

  email_identity = var.ses_domain
  # For all that is sent from the domain, so that no letter must name it.
  configuration_set_name = aws_sesv2_configuration_set.this[0].configuration_set_name

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
    sid     = "Send"
    actions = ["ses:SendRawEmail"]
    # A configuration set that is used must be allowed, too, also where it is the identity's own.
    resources = [for resource in ["identity/${var.ses_domain}", "configuration-set/${var.name}"] :
      "arn:${data.aws_partition.current.partition}:ses:${data.aws_region.current.name}:${data.aws_caller_identity.current.account_id}:${resource}"
    ]
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

module "unsubscribe_secret" {
  source = "../secret"
  count  = var.unsubscribe_secret_version > 0 ? 1 : 0

  name        = "${var.name}/unsubscribe-secret"
  description = "What links are signed with by which recipients get no more letters of ${var.name}"
  tags        = var.tags

  value         = var.unsubscribe_secret
  value_version = var.unsubscribe_secret_version
  recovery_days = var.secret_recovery_days
}
