# The queue of jobs (SQS): one message for each job that is to be done, and a dead-letter queue for those
# that nobody could deal with. And the safety net: when messages wait and nobody takes them, a container
# is asked for.

data "aws_region" "current" {}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  jobs = "${var.name}-jobs"
}

resource "aws_sqs_queue" "jobs" {
  name                       = local.jobs
  visibility_timeout_seconds = var.visibility_timeout
  receive_wait_time_seconds  = 20
  # The default, four days; what nobody did by then nobody waits for.
  message_retention_seconds = 345600
  sqs_managed_sse_enabled   = true
  tags                      = var.tags

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters.arn
    maxReceiveCount     = var.max_receive_count
  })
}

resource "aws_sqs_queue" "dead_letters" {
  name = "${var.name}-dead-letters"
  # The longest. A dead letter keeps the age that it had.
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
  tags                      = var.tags

  # By name: each queue would have to be there before the other.
  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = ["arn:${data.aws_partition.current.partition}:sqs:${data.aws_region.current.name}:${data.aws_caller_identity.current.account_id}:${local.jobs}"]
  })
}

data "aws_iam_policy_document" "tls_only" {
  for_each = { jobs = aws_sqs_queue.jobs.arn, dead_letters = aws_sqs_queue.dead_letters.arn }

  statement {
    sid       = "OnlyTls"
    effect    = "Deny"
    actions   = ["sqs:SendMessage", "sqs:ReceiveMessage"]
    resources = [each.value]

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
  for_each = { jobs = aws_sqs_queue.jobs.id, dead_letters = aws_sqs_queue.dead_letters.id }

  queue_url = each.value
  policy    = data.aws_iam_policy_document.tls_only[each.key].json
}

# --- When messages wait and nobody takes them: capacity was lost, or whoever handed in a job could not ask
# for a container. Who hands in jobs asks for containers as a rule, so this sleeps.

resource "aws_cloudwatch_metric_alarm" "waiting" {
  alarm_name          = "${var.name}-waiting"
  alarm_description   = "Messages wait and no container takes them: one is asked for. Nobody is called; see docs/deploy.md, \"waiting\"."
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 3
  datapoints_to_alarm = 3
  treat_missing_data  = "notBreaching"
  tags                = var.tags

  # What listens below is told of changes only. So that a container that comes to nothing is not the
  # last one, the alarm rests in the first minutes of each hour and changes again.
  metric_query {
    id          = "nobody_takes_them"
    label       = "Messages that nobody takes"
    expression  = "IF(waiting > 0 AND taken == 0 AND MINUTE(waiting) >= 5, waiting, 0)"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = { waiting = "ApproximateNumberOfMessagesVisible", taken = "ApproximateNumberOfMessagesNotVisible" }

    content {
      id          = metric_query.key
      return_data = false

      metric {
        namespace   = "AWS/SQS"
        metric_name = metric_query.value
        dimensions  = { QueueName = aws_sqs_queue.jobs.name }
        period      = 60
        stat        = "Maximum"
      }
    }
  }
}

resource "aws_cloudwatch_event_rule" "waiting" {
  name        = "${var.name}-waiting"
  description = "Asks Batch for a container when messages wait and nobody takes them"
  tags        = var.tags

  event_pattern = jsonencode({
    source      = ["aws.cloudwatch"]
    detail-type = ["CloudWatch Alarm State Change"]
    resources   = [aws_cloudwatch_metric_alarm.waiting.arn]
    detail      = { state = { value = ["ALARM"] } }
  })
}

resource "aws_cloudwatch_event_target" "container" {
  rule     = aws_cloudwatch_event_rule.waiting.name
  arn      = var.job_queue_arn
  role_arn = aws_iam_role.ask.arn

  # A container needs no parameters: it drains the queue.
  batch_target {
    job_name       = "photos-waiting"
    job_definition = var.job_definition
  }
}

data "aws_iam_policy_document" "ask_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }
}

data "aws_iam_policy_document" "ask" {
  statement {
    sid       = "AskForAContainer"
    actions   = ["batch:SubmitJob"]
    resources = [var.job_queue_arn, var.job_definition_arn, "${var.job_definition_arn}:*"]
  }
}

resource "aws_iam_role" "ask" {
  name               = "${var.name}-ask-for-container"
  assume_role_policy = data.aws_iam_policy_document.ask_trust.json
  tags               = var.tags
}

resource "aws_iam_role_policy" "ask" {
  name   = "ask-for-a-container"
  role   = aws_iam_role.ask.id
  policy = data.aws_iam_policy_document.ask.json
}
