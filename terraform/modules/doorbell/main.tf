# A queue from which a pipe submits Batch jobs. A caller that may only ring chooses neither the command nor the
# environment of a container. `batch:SubmitJob` allows both: IAM has no condition for `containerOverrides`.

data "aws_caller_identity" "current" {}

resource "aws_sqs_queue" "doorbell" {
  name = "${var.name}-doorbell"
  # From the pipe's look at a message to Batch's answer.
  visibility_timeout_seconds = 60
  # What Batch did not take by then, the alarm on waiting messages makes good (modules/queue).
  message_retention_seconds = 3600
  # Nothing is read of a message.
  max_message_size        = 1024
  sqs_managed_sse_enabled = true
  tags                    = var.tags
}

data "aws_iam_policy_document" "tls_only" {
  statement {
    sid       = "OnlyTls"
    effect    = "Deny"
    actions   = ["sqs:SendMessage", "sqs:ReceiveMessage"]
    resources = [aws_sqs_queue.doorbell.arn]

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

resource "aws_sqs_queue_policy" "tls_only" {
  queue_url = aws_sqs_queue.doorbell.id
  policy    = data.aws_iam_policy_document.tls_only.json
}

# One container for each message. Nothing of a message reaches Batch: neither parameters nor overrides are given.
resource "aws_pipes_pipe" "doorbell" {
  name        = "${var.name}-doorbell"
  description = "Submits a Batch job for each message"
  role_arn    = aws_iam_role.pipe.arn
  source      = aws_sqs_queue.doorbell.arn
  target      = var.job_queue_arn
  tags        = var.tags

  source_parameters {
    sqs_queue_parameters {
      batch_size = 1
    }
  }

  target_parameters {
    batch_job_parameters {
      job_name       = "photos-rung"
      job_definition = var.job_definition
    }
  }

  # The pipe looks into its queue as soon as it is made.
  depends_on = [aws_iam_role_policy.pipe]
}

data "aws_iam_policy_document" "pipe_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["pipes.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }
}

data "aws_iam_policy_document" "pipe" {
  statement {
    sid       = "TakeRings"
    actions   = ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"]
    resources = [aws_sqs_queue.doorbell.arn]
  }

  statement {
    sid       = "AskForAContainer"
    actions   = ["batch:SubmitJob"]
    resources = [var.job_queue_arn, var.job_definition_arn, "${var.job_definition_arn}:*"]
  }
}

resource "aws_iam_role" "pipe" {
  name               = "${var.name}-doorbell"
  assume_role_policy = data.aws_iam_policy_document.pipe_trust.json
  tags               = var.tags
}

resource "aws_iam_role_policy" "pipe" {
  name   = "take-rings-and-ask-for-a-container"
  role   = aws_iam_role.pipe.id
  policy = data.aws_iam_policy_document.pipe.json
}
